import json

import pytest

from pipelines.command_line import UserError
from pipelines.configuration.loading import REPOSITORY
from pipelines.training.deepspeed_engine import engine_configuration
from pipelines.training.settings import OptimizerSettings, TrainingSettings


def settings(**changes):
    return TrainingSettings(steps=1, batch_size=32, micro_batch_size=4, **changes)


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "zero.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


@pytest.mark.parametrize("name", ["zero_1", "zero_2"])
def test_our_own_files_are_filled_in(name):
    json_file = REPOSITORY / "configs" / "deepspeed" / f"{name}.json"
    clipped = OptimizerSettings(gradient_clipping=0.5)
    config = engine_configuration(json_file, settings(optimizer=clipped), processes=2)
    assert config["zero_optimization"]["stage"] == int(name[-1])
    assert config["train_batch_size"] == 32
    assert config["train_micro_batch_size_per_gpu"] == 4
    assert config["gradient_accumulation_steps"] == 4
    assert config["gradient_clipping"] == 0.5
    assert not config["torch_autocast"]["enabled"]


def test_precision_is_ours(file):
    config = engine_configuration(file({}), settings(precision="bf16"), processes=1)
    assert config["torch_autocast"]["enabled"] and "bf16" not in config


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "cannot be read as JSON"),
        ({"zero_optimization": {"stage": 3}}, "ZeRO stage 3"),
        ({"train_batch_size": 7}, "sets train_batch_size to 7, but the configuration means 32"),
        ({"optimizer": {"type": "Adam"}}, "remove it and set training.optimizer"),
        ({"bf16": {"enabled": True}}, "set training.precision"),
    ],
)
def test_contradictions_are_refused(file, content, sentence):
    with pytest.raises(UserError, match=sentence):
        engine_configuration(file(content), settings(), processes=1)


def test_muon_is_refused(file):
    muon = settings(optimizer=OptimizerSettings(name="muon"))
    with pytest.raises(UserError, match=r"set training\.optimizer\.name=adamw"):
        engine_configuration(file({}), muon, processes=1)


def test_importing_the_training_package_does_not_import_deepspeed():
    import subprocess
    import sys

    code = (
        "import sys, pipelines.training.deepspeed_engine, pipelines.training.trainer;"
        "sys.exit('deepspeed' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY).returncode == 0
