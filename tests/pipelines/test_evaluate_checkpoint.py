"""The command that measures a checkpoint."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from pipelines.drawing import Artist
from pipelines.evaluate_checkpoint import main
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


def test_scenes(own, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("pipelines.evaluation.scene_report.TEMPERATURES", (0.5,))
    monkeypatch.setattr("pipelines.evaluation.scene_report.GUIDANCE_SCALES", (3.0,))
    config = UnifiedTransformerConfig.from_pretrained(f"{own}/transformer")
    config.grid_height = config.grid_width = 8  # 64 pixels
    config.text_positions = 40
    UnifiedTransformer(config).save_pretrained(f"{own}/transformer")
    output = tmp_path / "report"
    run("--checkpoint", own, "--data", "scenes:test", "--output", output, "--rows", 2,
        "--choose-sampling", "--text-column", "text_zh")  # fmt: skip
    report = json.loads((output / "report.json").read_text())
    assert report["scenes"] == 2 and report["language"] == "zh"
    assert report["sampling"]["guidance_scale"] == 3.0
    index = json.loads((tmp_path / "checkpoint/model_index.json").read_text())
    assert index["sampling"] == report["sampling"]
    assert "two objects with their relation drawn" in capsys.readouterr().out
    assert "guidance_scale 3.0" in (output / "report.md").read_text()
    assert min(Image.open(output / "samples.png").size) > 300


def test_captioned_pictures(own, pictures, tmp_path, capsys):
    output = tmp_path / "report"
    run("--checkpoint", own, "--data", f"{pictures}:train", "--output", output, "--rows", 3,
        "--guidance-scale", 2)  # fmt: skip
    report = json.loads((output / "report.json").read_text())
    assert report["pairs"] == 3 and report["sampling"]["guidance_scale"] == 2
    assert report["image_nats"] > 0 and 0 <= report["caption_found"] <= 1
    assert "PSNR" in capsys.readouterr().out
    assert (output / "samples.png").is_file() and (output / "report.md").is_file()


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
    ],
)
def test_mistakes_are_refused_before_anything_is_written(
    own, tmp_path, capsys, arguments, sentence
):
    output = tmp_path / "report"
    error = refusal(capsys, "--checkpoint", own, "--output", output, *arguments)
    assert sentence in error and error.count("\n") == 1
    assert not output.exists()
