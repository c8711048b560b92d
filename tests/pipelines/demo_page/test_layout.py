"""The page before it is served."""

import re

import pytest
from gradio.data_classes import ImageData
from gradio.utils import get_upload_folder
from PIL import Image

from pipelines import BidirectionalPipeline
from pipelines.demo_page.answers import pictures, telling, texts, wrong
from pipelines.demo_page.asking import path_of
from pipelines.demo_page.drawing_form import DrawingForm
from pipelines.demo_page.layout import build_page
from pipelines.describing import Caption


@pytest.fixture(scope="module")
def pipe(checkpoint):
    return BidirectionalPipeline.from_pretrained(checkpoint)


def tabs(page):
    return [block.label for block in page.blocks.values() if type(block).__name__ == "Tab"]


def test_there_is_a_tab_for_what_the_checkpoint_was_trained_for(pipe, monkeypatch):
    assert tabs(build_page(pipe, "small", 8)) == ["Draw", "Describe", "Complete"]
    monkeypatch.setattr(pipe, "tasks", ("text_to_image",))
    assert tabs(build_page(pipe, "small", 8)) == ["Draw", "Complete"]
    monkeypatch.setattr(pipe, "tasks", ("image_to_text", "question_answering"))
    assert tabs(build_page(pipe, "small", 8)) == ["Describe", "Ask"]


def test_there_is_one_queue_and_nothing_beside_the_page(pipe):
    page = build_page(pipe, "small", 8)
    asked = [function for function in page.fns.values() if function.fn is not None]
    assert {function.api_visibility for function in page.fns.values()} == {"private"}
    of_the_model = [function for function in asked if function.inputs]
    assert len(of_the_model) == 3
    assert {(one.concurrency_id, one.concurrency_limit) for one in of_the_model} == {("model", 1)}
    assert not page.analytics_enabled and page.delete_cache is not None


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


def test_drawing_fills_in_and_ends_in_the_pictures_of_the_seed(pipe):
    form = DrawingForm(pipe, max_images=8)
    shown = list(form.draw("a small red 火山", 2, 2, 1.5, "4"))
    assert any(re.search(r"\d+% drawn", one) for one in shown)
    assert "2 of 5 tokens of the prompt are unknown" in shown[-1]
    images = pipe.generate_images(["a small red 火山"], 2, seed=4, rerank=2, guidance_scale=1.5)
    captions = pipe.describe(images)
    expected = pictures(images, ["seed 4", "seed 6"], captions)
    assert shown[-1].startswith(expected)


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
def test_what_is_wrong_is_shown_in_a_sentence(pipe, values, words):
    (shown,) = telling(DrawingForm(pipe, max_images=8).draw)(*values)
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
    for shown in (texts(said), pictures([image], ["<script>"], said), wrong("<script>")):
        assert "<script>" not in shown and "&lt;script&gt;" in shown
