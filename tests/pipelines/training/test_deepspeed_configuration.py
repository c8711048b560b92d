import json

import pytest

from pipelines.command_line import UserError
from pipelines.configuration.loading import REPOSITORY
from pipelines.training.deepspeed_configuration import engine_configuration
from pipelines.training.settings import OptimizerSettings, TrainingSettings

CPU = {"device": "cpu"}


def zero(stage, **changes):
    return {"zero_optimization": {"stage": stage, **changes}}


ZERO_1 = zero(1)


def settings(**changes):
    return TrainingSettings(steps=1, batch_size=32, micro_batch_size=4, **changes)


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "zero.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


OWN = sorted((REPOSITORY / "configs" / "deepspeed").glob("*.json"))


@pytest.mark.parametrize("json_file", OWN, ids=lambda path: path.stem)
def test_our_own_files_are_filled_in(json_file):
    clipped = OptimizerSettings(gradient_clipping=0.5)
    config = engine_configuration(json_file, settings(optimizer=clipped), processes=2)
    assert config["zero_optimization"]["stage"] == int(json_file.stem.split("_")[1])
    assert ("offload_optimizer" in config["zero_optimization"]) == ("offload" in json_file.stem)
    assert config["train_batch_size"] == 32
    assert config["train_micro_batch_size_per_gpu"] == 4
    assert config["gradient_accumulation_steps"] == 4
    assert config["gradient_clipping"] == 0.5
    assert not config["torch_autocast"]["enabled"]


def test_precision_is_ours(file):
    config = engine_configuration(file(ZERO_1), settings(precision="bf16"), processes=1)
    assert config["torch_autocast"]["enabled"] and "bf16" not in config


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "is not a JSON object"),
        ({}, r"stage null; set zero_optimization\.stage to 1, 2 or 3"),
        ({"zero_optimization": True}, "ZeRO stage null"),
        ({"zero_optimization": {"stage": 4}}, "ZeRO stage 4"),
        ({"zero_optimization": {"stage": "3"}}, 'ZeRO stage "3"'),
        (zero(2, overlap_com=True), r"zero_optimization\.overlap_com: Extra inputs"),
        (zero(3, offload_param="cpu"), r"zero_optimization\.offload_param: Input should be"),
        (zero(2, offload_param=CPU), r"offload_param under ZeRO 2.*set zero_optimization\.stage"),
        (zero(3, offload_optimizer={"device": "nvme"}), r"offload_optimizer\.device to nvme"),
        (zero(3, offload_optimizer=CPU | {"ratio": 0.5}), r"offload_optimizer\.ratio"),
        (zero(3, zero_quantized_weights=True), "sets zero_quantized_weights"),
        (ZERO_1 | {"train_batch_size": 7}, "to 7, but the configuration means 32"),
        (ZERO_1 | {"optimizer": {"type": "Adam"}}, "remove it and set training.optimizer"),
        (ZERO_1 | {"bf16": {"enabled": True}}, "set training.precision"),
        (ZERO_1 | {"activation_checkpointing": {}}, "set training.activation_checkpointing"),
    ],
)
def test_contradictions_are_refused(file, content, sentence):
    with pytest.raises(UserError, match=sentence):
        engine_configuration(file(content), settings(), processes=1)


def test_compiling_what_zero_3_divides_is_refused(file):
    with pytest.raises(UserError, match=r"set training\.compile=false"):
        engine_configuration(file(zero(3)), settings(compile=True), processes=1)
    assert engine_configuration(file(zero(2)), settings(compile=True), processes=1)


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
