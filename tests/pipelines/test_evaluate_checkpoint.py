"""The command that measures a checkpoint."""

import json
import re
import shutil
from pathlib import Path

import launching
import numpy as np
import pytest
from PIL import Image

from pipelines import BidirectionalPipeline, caption_images, generate_images
from pipelines.drawing import Artist
from pipelines.evaluate_checkpoint import main
from pipelines.fingerprints import folder_fingerprint
from unified_transformer import UnifiedTransformer, UnifiedTransformerConfig


@pytest.fixture
def own(checkpoint, tmp_path):
    """A checkpoint that may be written to."""
    return str(shutil.copytree(checkpoint, tmp_path / "checkpoint"))


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(4):
        Image.fromarray(rng.integers(0, 256, (40, 30, 3), np.uint8)).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"a large red circle number {number}")
    return str(folder)


@pytest.fixture(autouse=True)
def without_java(monkeypatch):
    """METEOR takes seconds to start; its own tests let it."""
    monkeypatch.setattr("pipelines.evaluation.java_programs.shutil.which", lambda name: None)


def run(*arguments):
    main(list(map(str, arguments)))


def refusal(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        run(*arguments)
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_pictures_too_small_for_the_reader_are_refused(own, tmp_path, capsys):
    error = refusal(
        capsys, "--checkpoint", own, "--data", "scenes", "--output", tmp_path / "report"
    )
    assert "32 x 32" in error and "64" in error


def make_large_enough(checkpoint):
    """For the reader, and for captions of two objects."""
    config = UnifiedTransformerConfig.from_pretrained(f"{checkpoint}/transformer")
    config.grid_height = config.grid_width = 8  # 64 pixels
    config.text_positions = 40
    UnifiedTransformer(config).save_pretrained(f"{checkpoint}/transformer")


def test_scenes(own, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("pipelines.evaluation.scene_report.TEMPERATURES", (0.5,))
    monkeypatch.setattr("pipelines.evaluation.scene_report.GUIDANCE_SCALES", (3.0,))
    monkeypatch.setattr("pipelines.evaluation.scene_questions.TRAINING_SCENES", 20)
    make_large_enough(own)
    index = json.loads((Path(own) / "model_index.json").read_text())
    index["tasks"].append("question_answering")
    (Path(own) / "model_index.json").write_text(json.dumps(index))
    output = tmp_path / "report"
    run("--checkpoint", own, "--data", "scenes:test", "--output", output, "--rows", 2,
        "--choose-sampling", "--text-column", "text_zh")  # fmt: skip
    report = json.loads((output / "report.json").read_text())
    assert report["rows"] == 2 and report["tasks"][0] == "reconstruction"
    assert report["sampling"]["guidance_scale"] == 3.0
    index = json.loads((tmp_path / "checkpoint/model_index.json").read_text())
    assert index["sampling"] == report["sampling"]
    figures = report["figures"]
    assert figures["questions_asked"]["all"] == sum(
        number for kind, number in figures["questions_asked"].items() if kind != "all"
    )
    for group in ("answers", "answers_to_another_picture", "commonest_answers"):
        assert figures[group].keys() == figures["questions_asked"].keys()
    assert "count" in figures["scenes_described"] and "exact" in figures["scenes_drawn"]
    assert "two_object_accuracy" in figures["scene_sets"]
    assert "Chinese by character" in figures["image_to_text"]["tokenizer"]
    out = capsys.readouterr().out
    assert "two objects with their relation drawn" in out and "colour" in out
    assert "guidance_scale 3.0" in (output / "report.md").read_text()
    assert min(Image.open(output / "samples.png").size) > 300
    assert (output / "plots" / "answers.png").is_file()


def test_captioned_pictures(own, pictures, tmp_path, capsys):
    output = tmp_path / "report"
    run("--checkpoint", own, "--data", f"{pictures}:train", "--output", output, "--rows", 3,
        "--guidance-scale", 2)  # fmt: skip
    report = json.loads((output / "report.json").read_text())
    figures = report["figures"]
    assert report["rows"] == 3 and report["sampling"]["guidance_scale"] == 2
    assert figures["likelihood"]["bits_per_image_id"] > 0
    assert figures["likelihood"]["found_among"] == 3
    # What cannot be had is null, with a reason, and never zero.
    assert figures["text_to_image"]["fid"] is None
    assert "--inception-weights" in report["missing"]["text_to_image.fid"]
    out = capsys.readouterr().out
    assert "PSNR" in out and "| FID | missing |" in out
    page = (output / "report.html").read_text()
    for found in re.findall(r'src="([^"]+)"', page):
        assert (output / found).is_file()
    assert page.count("_drawn.png") >= 3 and page.count("_reconstructed.png") >= 3
    assert "a large red circle number 0" in page and "<script" not in page
    drawn = Image.open(output / "pictures" / "000002_drawn.png")
    texts = drawn.text
    pipe = BidirectionalPipeline.from_pretrained(own, "cpu")
    (again,) = pipe.generate_images([texts["prompt"]], seed=int(texts["seed"]), guidance_scale=2)
    assert np.abs(np.subtract(drawn, again, dtype=int)).max() <= 1 and texts["seed"] == "2"
    assert texts["checkpoint"] == report["checkpoint"] == folder_fingerprint(Path(own))
    settings = json.loads(texts["settings"])
    assert settings == {**report["sampling"], "rerank": 1, "decoder": "codebook"}
    assert not Image.open(output / "pictures" / "000002_real.png").text
    assert min(Image.open(output / "rows.png").size) > 300
    assert "![the first rows](rows.png)" in (output / "report.md").read_text()
    assert report["height_width"] == [32, 32] and report["versions"].keys() >= {"torch", "python"}
    assert (output / "rating" / "sheet.html").is_file()
    assert len(json.loads((output / "rating_key.json").read_text())["items"]) == 3


def test_a_page_shows_texts_as_they_are(own, pictures, tmp_path):
    (Path(pictures) / "0.txt").write_text("<b>a large</b> & red circle")
    output = tmp_path / "report"
    run("--checkpoint", own, "--data", f"{pictures}:train", "--output", output, "--rows", 4)
    assert "&lt;b&gt;a large&lt;/b&gt; &amp; red circle" in (output / "report.html").read_text()


def test_a_tokenizer_alone(tokenizer_checkpoint, pictures, tmp_path):
    output = tmp_path / "report"
    run("--checkpoint", tokenizer_checkpoint, "--data", f"{pictures}:train", "--output", output,
        "--size", 32, 48)  # fmt: skip
    report = json.loads((output / "report.json").read_text())
    assert report["figures"].keys() == {"tokenizer"} and report["figures"]["tokenizer"]["psnr"] > 3
    assert Image.open(next((output / "pictures").glob("*_real.png"))).size == (48, 32)


def test_pictures_of_another_system(own, pictures, tmp_path, clip):
    """Those that generate_images.py draws are measured as the checkpoint itself is."""
    drawn, captions = tmp_path / "drawn", tmp_path / "prompts.txt"
    texts = [(Path(pictures) / f"{n}.txt").read_text() for n in range(4)]
    captions.write_text("\n".join(texts))
    generate_images.main(
        ["--checkpoint", own, "--prompts-file", str(captions), "--output", str(drawn)]
    )
    output = tmp_path / "report"
    run("--images", drawn, "--data", f"{pictures}:train", "--output", output, "--matcher", clip)
    report = json.loads((output / "report.json").read_text())
    assert report["figures"].keys() == {"text_to_image"} and report["rows"] == 4
    figures = report["figures"]["text_to_image"]
    assert figures["r_precision_candidates"] == 4 and report["matcher"] == str(clip)
    page = (output / "report.html").read_text()
    assert "Best drawn" in page and "_real.png" in page
    # By the same rules as the checkpoint itself, but for the seeds, which go by rows there.
    run("--checkpoint", own, "--data", f"{pictures}:train", "--output", tmp_path / "ours",
        "--matcher", clip, "--tasks", "text_to_image")  # fmt: skip
    ours = json.loads((tmp_path / "ours" / "report.json").read_text())
    assert ours["figures"].keys() == {"tokenizer", "text_to_image", "likelihood"}
    assert ours["figures"]["text_to_image"]["clip_score"] == pytest.approx(
        figures["clip_score"], rel=0.2
    )


def test_pictures_of_other_prompts_are_compared_as_a_set(own, pictures, tmp_path, capsys):
    drawn, output = tmp_path / "drawn", tmp_path / "report"
    generate_images.main(
        ["--checkpoint", own, "--prompt", "a small star", "a circle", "--output", str(drawn)]
    )
    data = ("--images", drawn, "--data", f"{pictures}:train", "--output", output)
    classes = ("--classifier", "x/y", "--label-column", "text")
    assert "have no class; leave --classifier out" in refusal(capsys, *data, *classes)
    assert not output.exists()
    run(*data)
    assert json.loads((output / "report.json").read_text())["rows"] == 2
    assert "compared as sets" in (output / "report.md").read_text()
    assert "_real.png" not in (output / "report.html").read_text()
    assert not (output / "rating").exists()
    assert "No rating sheet" in capsys.readouterr().out


def test_bad_input_of_other_systems_leaves_nothing_behind(pictures, tmp_path, capsys):
    drawn, output = tmp_path / "drawn", tmp_path / "report"
    drawn.mkdir()
    for number in range(3):
        Image.new("RGB", (20, 10), "red").save(drawn / f"{number}.png")
    rows = [json.dumps({"file_name": f"{n}.png", "text": "a"}) for n in range(3)]
    (drawn / "metadata.jsonl").write_text("\n".join(rows))
    (drawn / "2.png").write_bytes(b"no picture")
    said = tmp_path / "said.json"
    said.write_text(json.dumps([{"image": "9.png", "caption": "a star"}]))
    for arguments, words in (
        (["--images", drawn], "2.png"),
        (["--captions", said], "has a caption of 9.png"),
        (["--images", tmp_path], "metadata.jsonl cannot be read"),
    ):
        data = ["--data", f"{pictures}:train", "--output", output]
        error = refusal(capsys, *arguments, *data)
        assert words in error and error.count("error:") == 1
        assert not output.exists()


def test_captions_of_another_system(own, pictures, tmp_path, capsys):
    paths = [str(Path(pictures) / f"{n}.png") for n in range(4)]
    caption_images.main(["--checkpoint", own, *paths])
    said = tmp_path / "said.jsonl"
    said.write_text(capsys.readouterr().out)
    output = tmp_path / "report"
    run("--captions", said, "--data", f"{pictures}:train", "--output", output)
    theirs = json.loads((output / "report.json").read_text())["figures"]
    assert theirs.keys() == {"image_to_text"}
    run("--checkpoint", own, "--data", f"{pictures}:train", "--output", tmp_path / "ours")
    ours = json.loads((tmp_path / "ours" / "report.json").read_text())["figures"]
    assert theirs["image_to_text"] == ours["image_to_text"]


@pytest.mark.slow
def test_processes_share_the_rows(own, tmp_path):
    """Three blocks, the last one short: one process has two of them."""
    rng = np.random.default_rng(1)
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(230):
        picture = rng.integers(0, 256, (4, 4, 3), np.uint8)
        Image.fromarray(picture).resize((32, 32)).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"a large red circle number {number}")
    (folder / "7.png").write_bytes(b"no picture")
    one, two = of_one_and_two_processes(tmp_path, "--checkpoint", own, "--data", f"{folder}:train")
    assert one["rows"] == two["rows"] == 229 and one["unreadable"] == two["unreadable"] == 1
    assert one["missing"].keys() == two["missing"].keys()
    same_figures(one, two)


@pytest.mark.slow
def test_processes_share_the_scenes(own, tmp_path):
    """In two parts, one of them short."""
    make_large_enough(own)
    one, two = of_one_and_two_processes(
        tmp_path, "--checkpoint", own, "--data", "scenes", "--rows", "130"
    )
    assert {"scene_sets", "scenes_drawn", "scenes_described"} <= one["figures"].keys()
    same_figures(one, two)


def of_one_and_two_processes(folder, *arguments):
    """Their reports."""
    script = launching.REPOSITORY / "pipelines" / "evaluate_checkpoint.py"
    reports = []
    for processes in (1, 2):
        output = folder / f"report_{processes}"
        whole = [*arguments, "--device", "cpu", "--output", str(output)]
        launching.run("accelerate", processes, script, *whole, cwd=folder)
        reports.append(json.loads((output / "report.json").read_text()))
        assert len(list((output / "pictures").glob("*_drawn.png"))) >= 24
    return reports


def same_figures(one, two):
    for group, figures in one["figures"].items():
        for name, value in figures.items():
            theirs = two["figures"][group][name]
            if isinstance(value, float):
                assert theirs == pytest.approx(value, rel=1e-5), (group, name)
            else:
                assert theirs == value


@pytest.mark.parametrize("decoder", ["codebook", "hidden"])
def test_the_decoder_can_be_chosen(end_to_end_checkpoint, pictures, tmp_path, monkeypatch, decoder):
    painted = []
    paint = Artist.paint
    monkeypatch.setattr(
        Artist, "paint", lambda self, drawn, by, *rest: painted.append(by) or paint(self, drawn, by)
    )
    output = tmp_path / "report"
    run("--checkpoint", end_to_end_checkpoint, "--data", f"{pictures}:train", "--output", output,
        *(["--decoder", decoder] if decoder == "codebook" else []))  # fmt: skip
    assert set(painted) == {decoder}
    assert json.loads((output / "report.json").read_text())["decoder"] == decoder
    source = {"codebook": "ids", "hidden": "hidden states"}[decoder]
    assert f"painted from {source}." in (output / "report.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--data", "scenes", "--decoder", "hidden"], "was not trained end to end"),
        (["--data", "scenes:train"], "measured on their test split"),
        (["--data", "scenes", "--text-column", "text_fr"], "give text or text_zh"),
        (["--data", "scenes", "--rows", "1"], "--rows is 1"),
        (["--data", "scenes", "--temperature", "-1"], "temperature"),
        (["--data", "nowhere.parquet"], "nowhere.parquet"),
        (["--data", "owner/name", "--choose-sampling"], "needs --data scenes"),
        (["--data", "scenes", "--choose-sampling", "--top-k", "5"], "give it none of them"),
        (["--data", "scenes", "--size", "64"], "takes pictures of (32, 32)"),
        (["--data", "scenes", "--rerank", "0"], "--rerank is 0"),
        (["--data", "scenes", "--classifier", "x"], "--label-column"),
        (["--data", "scenes", "--tasks", "question_answering"], "was not trained for question"),
    ],
)
def test_mistakes_are_refused_before_anything_is_written(
    own, tmp_path, capsys, arguments, sentence
):
    output = tmp_path / "report"
    error = refusal(capsys, "--checkpoint", own, "--output", output, *arguments)
    assert sentence in error and error.count("\n") == 1
    assert not output.exists()


def test_sampling_is_not_chosen_for_a_checkpoint_of_the_hub(tmp_path, capsys):
    arguments = ("--data", "scenes", "--choose-sampling", "--output", tmp_path / "report")
    error = refusal(capsys, "--checkpoint", "owner/name", *arguments)
    assert "owner/name is on the hub; name a copy of it" in error


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--images", "x", "--temperature", "1"], "--temperature is about a checkpoint"),
        (["--captions", "x", "--rerank", "4"], "--rerank is about a checkpoint"),
        (["--captions", "x", "--matcher", "y"], "--matcher is about pictures, and captions are"),
        (["--images", "x", "--tasks", "text_to_image"], "--tasks is about a checkpoint"),
    ],
)
def test_what_would_have_no_effect_is_refused(tmp_path, capsys, arguments, sentence):
    error = refusal(capsys, *arguments, "--data", "scenes", "--output", tmp_path / "report")
    assert sentence in error and not (tmp_path / "report").exists()


def test_a_size_that_a_tokenizer_does_not_take(tokenizer_checkpoint, pictures, tmp_path, capsys):
    error = refusal(
        capsys, "--checkpoint", tokenizer_checkpoint, "--data", f"{pictures}:train",
        "--output", tmp_path / "report", "--size", "33",
    )  # fmt: skip
    assert "multiples of" in error and not (tmp_path / "report").exists()


def test_data_that_cannot_be_read_have_no_report(own, pictures, tmp_path, capsys):
    for number in range(1, 4):
        (Path(pictures) / f"{number}.png").write_bytes(b"no picture")
    output = tmp_path / "report"
    error = refusal(capsys, "--checkpoint", own, "--data", f"{pictures}:train", "--output", output)
    assert "of 4 rows 1 could be read" in error and not output.exists()


def test_a_checkpoint_that_cannot_be_written_to_keeps_its_settings(
    own, tmp_path, capsys, monkeypatch
):
    def refuse(folder, sampling):
        raise PermissionError("read-only")

    monkeypatch.setattr("pipelines.evaluation.command.recommend_sampling", refuse)
    monkeypatch.setattr(
        "pipelines.evaluation.command.choose_sampling", lambda pipe, *_, **__: pipe.sampling
    )
    monkeypatch.setattr("pipelines.evaluation.command.scene_groups", lambda *_: {})
    monkeypatch.setattr("pipelines.evaluation.command.check_readable", lambda size: None)
    monkeypatch.setattr("pipelines.evaluation.scene_measures.read_scene", lambda picture: None)
    output = tmp_path / "report"
    error = refusal(
        capsys, "--checkpoint", own, "--data", "scenes", "--output", output, "--rows", "2",
        "--choose-sampling",
    )  # fmt: skip
    assert "cannot be kept" in error and "read-only" in error and not output.exists()
