"""The page before it is served."""

import base64
import io
import json
import re
from html import escape

import numpy as np
import pytest
from gradio.data_classes import ImageData
from gradio.utils import get_upload_folder
from PIL import Image

from pipelines import BidirectionalPipeline, generate_images
from pipelines.demo_page.answers import pictures, telling, texts, wrong
from pipelines.demo_page.asking import path_of
from pipelines.demo_page.drawing_form import DrawingForm
from pipelines.demo_page.layout import build_page
from pipelines.demo_page.limits import MOST_WAITING
from pipelines.describing import Caption


@pytest.fixture(scope="module")
def pipe(checkpoint):
    return BidirectionalPipeline.from_pretrained(checkpoint, "cpu")


@pytest.fixture
def form(pipe):
    return DrawingForm(pipe, max_images=8, checkpoint="0123")


def files_of(shown):
    """What the links to files hold."""
    links = re.findall(r'href="data:image/png;base64,([^"]+)"', shown)
    return [base64.b64decode(link) for link in links]


def tabs(page):
    return [block.label for block in page.blocks.values() if type(block).__name__ == "Tab"]


def test_there_is_a_tab_for_what_the_checkpoint_was_trained_for(pipe, monkeypatch):
    assert tabs(build_page(pipe, "small", 8)) == ["Draw", "Describe", "Complete"]
    monkeypatch.setattr(pipe, "tasks", ("text_to_image",))
    assert tabs(build_page(pipe, "small", 8)) == ["Draw", "Complete"]
    monkeypatch.setattr(pipe, "tasks", ("image_to_text", "question_answering"))
    assert tabs(build_page(pipe, "small", 8)) == ["Describe", "Ask"]


def handler(page, name):
    """What a button calls."""
    (found,) = [one.fn for one in page.fns.values() if getattr(one.fn, "__name__", "") == name]
    return found


def test_there_is_one_queue_and_nothing_beside_the_page(pipe):
    page = build_page(pipe, "small", 8)
    asked = [function for function in page.fns.values() if function.fn is not None]
    assert {function.api_visibility for function in page.fns.values()} == {"private"}
    of_the_model = [function for function in asked if function.inputs]
    assert len(of_the_model) == 3
    # Each of them can be stopped.
    stopped = {number for one in page.fns.values() for number in one.cancels}
    assert stopped == {one._id for one in of_the_model}
    assert {(one.concurrency_id, one.concurrency_limit) for one in of_the_model} == {("model", 1)}
    assert not page.analytics_enabled and page.delete_cache is not None
    assert page._queue.max_size == MOST_WAITING


def test_only_uploads_are_read(tmp_path, monkeypatch):
    """Whatever a request says of a file."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    inside = tmp_path / "uploads" / "0123" / "picture.png"
    outside = tmp_path / "picture.png"
    assert get_upload_folder() == str(tmp_path / "uploads")
    assert path_of(ImageData(path=str(inside))) == str(inside)
    for path in (str(outside), f"{tmp_path}/uploads/../picture.png", "/etc/passwd", "", None):
        assert path_of(ImageData(path=path)) is None
    inside.parent.mkdir(parents=True)
    inside.symlink_to(outside)
    assert path_of(ImageData(path=str(inside))) is None
    assert path_of(None) is None


def test_drawing_fills_in_and_ends_in_the_pictures_of_the_seed(pipe, form):
    shown = list(form.draw("a small red 火山", 2, 2, 1.5, "4"))
    assert any(re.search(r"\d+% drawn", one) for one in shown)
    assert "2 of 5 tokens of the prompt are unknown" in shown[-1]
    images = pipe.generate_images(["a small red 火山"], 2, seed=4, rerank=2, guidance_scale=1.5)
    drawn = [np.asarray(Image.open(io.BytesIO(file))) for file in files_of(shown[-1])]
    assert np.array_equal(drawn, [np.asarray(image) for image in images])
    assert re.findall(r'download="([^"]+)"', shown[-1]) == ["seed 4.png", "seed 6.png"]
    captions = [caption.text for caption in pipe.describe(images)]
    assert re.findall("<q>(.*?)</q>", shown[-1]) == [escape(caption) for caption in captions]


def test_files_are_those_of_generate_images(pipe, checkpoint, tmp_path):
    """To the byte, and so with prompt, seed, settings and checkpoint."""
    page = build_page(pipe, "small", 8)
    shown = list(handler(page, "draw")("a small red circle", 2, 2, 1.5, "4"))
    options = "--num-images 2 --rerank 2 --guidance-scale 1.5 --seed 4 --device cpu --prompt"
    where = ["--checkpoint", str(checkpoint), "--output", str(tmp_path / "drawn")]
    generate_images.main([*where, *options.split(), "a small red circle"])
    files = sorted((tmp_path / "drawn").glob("*.png"))
    assert files_of(shown[-1]) == [file.read_bytes() for file in files] and len(files) == 2


def test_unknown_words_of_a_question_are_counted(pipe, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(pipe, "tasks", ("question_answering",))
    Image.new("RGB", (32, 32), "red").save(tmp_path / "upload.png")
    ask = handler(build_page(pipe, "small", 8), "ask")
    assert "1 of 3 tokens of the question are unknown" in "".join(
        ask(str(tmp_path / "upload.png"), "a red 火")
    )


def test_completing_keeps_as_many_rows_as_were_chosen(pipe, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    picture = Image.effect_noise((32, 32), 90).convert("RGB")
    picture.save(tmp_path / "upload.png")
    complete = handler(build_page(pipe, "small", 8), "complete")
    shown = list(complete(str(tmp_path / "upload.png"), 3, "a star", 1, 1, 0, "4"))
    options = {"seed": 4, "guidance_scale": 0, "complete": picture}
    (kept,) = pipe.generate_images(["a star"], keep_rows=3, **options)
    (file,) = files_of(shown[-1])
    assert np.array_equal(Image.open(io.BytesIO(file)), kept)
    settings = json.loads(Image.open(io.BytesIO(file)).text["settings"])
    assert settings["complete"] == "an upload" and settings["keep_rows"] == 3


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (("", 1, 1, 1.0, ""), "is empty"),
        (("red " * 40, 1, 1, 1.0, ""), "16 text positions"),
        (("red " * 400, 1, 1, 1.0, ""), "1599 characters"),
        (("a star", 9, 1, 1.0, ""), "from 1 to 8"),
        (("a star", 1, 9, 1.0, ""), "number of candidates"),
        (("a star", 1, 1, -1.0, ""), "guidance_scale"),
        (("a star", 1, 1, 1.0, str(2**63)), "from 0 to"),
        (("a star", 1, 1, 1.0, "x"), "whole number"),
    ],
)
def test_what_is_wrong_is_shown_in_a_sentence(form, values, words):
    (shown,) = telling(form.draw)(*values)
    assert words in shown.lower() and 'role="alert"' in shown


def test_a_lack_of_memory_is_told_and_a_bug_is_not_hidden():
    def failing(error):
        raise error
        yield ""

    (shown,) = telling(failing)(MemoryError())
    assert "Out of memory" in shown
    with pytest.raises(RuntimeError, match="a bug"):
        list(telling(failing)(RuntimeError("a bug")))


def test_texts_are_never_taken_for_html():
    said = [Caption("<script>", -1.0)]
    image = Image.new("RGB", (4, 4))
    for shown in (texts(said), pictures([image], [{"seed": 0}], said), wrong("<script>")):
        assert "<script>" not in shown and "&lt;script&gt;" in shown
