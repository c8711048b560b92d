"""A GAN's checkpoint is measured like any other."""

import json

import pytest

from pipelines.evaluate_checkpoint import main
from tests.pipelines.gan.conftest import NOISE_ALONE


def measured(run, folder, *options):
    arguments = ["--checkpoint", str(run), "--data", "scenes", "--output", str(folder)]
    main([*arguments, "--rows", "4", "--rate", "2", "--device", "cpu", *options])
    return json.loads((folder / "report.json").read_text())


def test_scenes(trained, dual_encoder_checkpoint, tmp_path):
    report = measured(
        trained("adma_gan", "data.size=64"), tmp_path / "report",
        "--matcher", str(dual_encoder_checkpoint),
    )  # fmt: skip
    figures = report["figures"]
    assert report["tasks"] == ["text_to_image"] and report["rows"] == 4
    assert set(figures["scene_sets"]) == {
        "one_object_accuracy", "two_object_accuracy", "held_out_pair_accuracy",
    }  # fmt: skip
    assert 0 <= figures["scenes_drawn"]["exact"] <= 1
    assert "dual_encoder_r_precision" in figures["text_to_image"]
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count("_drawn.png") >= 4
    assert len(json.loads((tmp_path / "report/rating_key.json").read_text())["items"]) == 2


def test_noise_alone(trained, tmp_path):
    report = measured(trained("infomax_gan", "data.size=64", *NOISE_ALONE), tmp_path / "report")
    assert report["tasks"] == ["image_generation"]
    assert set(report["figures"]) == {"image_generation"}
    assert "image_generation.fid" in report["missing"]


@pytest.mark.parametrize(
    "option", [["--temperature", "1"], ["--rerank", "2"], ["--tasks", "text_to_image"]]
)
def test_options_of_transformers_are_refused(option, trained, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        measured(trained("adma_gan", "data.size=64"), tmp_path / "report", *option)
    assert stopped.value.code == 2 and option[0] in capsys.readouterr().err


def test_another_size_is_refused(trained, tmp_path, capsys):
    with pytest.raises(SystemExit):
        measured(trained("adma_gan", "data.size=64"), tmp_path / "report", "--size", "32")
    assert "--size is (32, 32)" in capsys.readouterr().err
