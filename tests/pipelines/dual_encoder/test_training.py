"""Every YAML is read, and trains two steps when its sizes are made small; runs resume exactly."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from pipelines import train_dual_encoder
from pipelines.configuration.loading import REPOSITORY, load_configuration
from pipelines.configuration.schemas import DualEncoderRun
from pipelines.dual_encoder.matcher import Matcher
from pipelines.training.checkpoint import open_checkpoint
from pipelines.training.metrics import read_metrics

SMALL = [
    "data.source=scenes",
    "data.text_column=[text,text_zh]",
    "data.size=32",
    "training.steps=2",
    "training.minutes=null",
    "training.batch_size=4",
    "training.validation_batches=1",
    "training.validate_every=1",
    "training.sample_every=2",
    "training.export=best",
    "training.trackers=[]",
    "model.vision_hidden_sizes=[8,16]",
    "model.vision_depths=[1,1]",
    "model.text_hidden_size=16",
    "model.text_layers=1",
    "model.text_heads=2",
    "model.character_channels=[8,8]",
]
FILES = sorted((REPOSITORY / "configs" / "dual_encoder").glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_configurations(file, tmp_path):
    model, run, small = load_configuration(file, [], DualEncoderRun).model, tmp_path / "run", SMALL
    if model.text_encoder == "characters":
        small = [*SMALL, "data.text_column=text"]
    train_dual_encoder.main(["--config", str(file), *small, f"output={run}"])
    checkpoint = open_checkpoint(run, "dual_encoder")
    assert checkpoint.tasks == ("image_text_matching",)
    texts = ["a red circle", "大红色圆形"]
    features = Matcher.from_pretrained(run, "cpu").text_features(texts)
    assert features.shape[0] == 2 and features.isfinite().all()
    validated = [row for row in read_metrics(run / "metrics.jsonl") if "validation_loss" in row]
    assert [row["step"] for row in validated] == [1, 2]
    assert all(0 <= row["validation_r_precision"] <= 1 for row in validated)
    assert checkpoint.step == min(validated, key=lambda row: row["validation_loss"])["step"]
    assert (run / "samples" / "step_2.png").is_file()
    said = [json.loads(line) for line in (run / "samples" / "step_2.jsonl").open(encoding="utf-8")]
    assert len(said) == 4 and {row["nearest"] for row in said} <= {row["caption"] for row in said}


def test_a_character_encoder_refuses_what_it_does_not_read(tmp_path, capsys):
    arguments = ["--config", "dual_encoder/characters_scenes_64.yaml", *SMALL]
    with pytest.raises(SystemExit) as stopped:
        train_dual_encoder.main([*arguments, f"output={tmp_path}/run"])
    assert stopped.value.code == 2
    assert "model.text_encoder=bert" in capsys.readouterr().err


def test_a_resumed_run_is_one_that_never_stopped(tmp_path):
    arguments = ["--config", "dual_encoder/tiny.yaml", *SMALL, "training.steps=4"]
    arguments += ["training.save_every=2", "training.validate_every=0", f"output={tmp_path}/run"]
    train_dual_encoder.main(arguments)
    weights = tmp_path / "run" / "checkpoint" / "dual_encoder" / "model.safetensors"
    straight = load_file(weights)
    shutil.rmtree(tmp_path / "run" / "state" / "step_4")
    shutil.rmtree(tmp_path / "run" / "checkpoint")
    train_dual_encoder.main([*arguments, "--resume"])
    again = load_file(weights)
    assert again.keys() == straight.keys()
    assert all(torch.equal(again[name], value) for name, value in straight.items())
