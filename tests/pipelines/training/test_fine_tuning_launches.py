"""Fine-tuning of adapters with new words under every launcher: what plain python computes."""

import json
import shutil

import launching
import pytest
from safetensors.torch import load_file

from pipelines.training.metrics import read_metrics

pytestmark = pytest.mark.slow

DIVIDED = "deepspeed=configs/deepspeed/zero_3.json"
LAUNCHES = {
    "python": ("python", 1, []),
    "accelerate": ("accelerate", 2, []),
    "zero_2": ("deepspeed", 2, ["deepspeed=configs/deepspeed/zero_2.json"]),
    "zero_3": ("deepspeed", 2, [DIVIDED]),
}


@pytest.fixture(scope="module")
def arguments(checkpoint):
    return [
        *["--config", "configs/bidirectional/tiny.yaml", "tokenizer_config=null", "output=run"],
        *[f"initialize_from={checkpoint}", "data.text_column=text_zh", "lora.rank=2"],
        *["model.hidden_size=32", "model.text_positions=16", "training.micro_batch_size=4"],
        *[*launching.SHORT, "training.validate_every=6", "training.validation_batches=2"],
        *["training.export=last", "training.sample_every=12"],
        *["training.save_every=6", "training.keep_states=9"],
    ]


@pytest.fixture(scope="module")
def trained(arguments, tmp_path_factory):
    """The runs of all launches, each made once."""
    made = {}

    def train(name):
        if name not in made:
            launcher, processes, changes = LAUNCHES[name]
            folder = tmp_path_factory.mktemp(name)
            line = [*arguments, *changes]
            launching.run(launcher, processes, launching.BIDIRECTIONAL, *line, cwd=folder)
            made[name] = folder / "run"
        return made[name]

    return train


def assert_same(ours, theirs):
    for name in ("loss", "validation_loss"):
        found = [
            [row[name] for row in read_metrics(run / "metrics.jsonl") if name in row]
            for run in (ours, theirs)
        ]
        assert found[0] == pytest.approx(found[1], abs=1e-4) and found[0], name
    for file in ("text_tokenizer/tokenizer.json", "transformer/config.json"):
        one, other = (json.loads((run / "checkpoint" / file).read_text()) for run in (ours, theirs))
        assert one == other, file
    one, other = (
        load_file(run / "checkpoint/transformer/model.safetensors") for run in (ours, theirs)
    )
    assert one.keys() == other.keys()
    for name in one:
        assert (one[name] - other[name]).norm() < 1e-4 * max(1.0, other[name].norm()), name


@pytest.mark.parametrize("launch", ["accelerate", "zero_2", "zero_3"])
def test_every_launch_computes_the_same(trained, launch):
    assert_same(trained(launch), trained("python"))


def test_a_divided_run_is_resumed_by_a_plain_one(arguments, trained, tmp_path):
    shutil.copytree(trained("zero_3"), tmp_path / "run")
    shutil.rmtree(tmp_path / "run/state/step_12")
    line = [*arguments, "--resume"]
    assert "Resumed at step 6" in launching.run(
        "python", 1, launching.BIDIRECTIONAL, *line, cwd=tmp_path
    )
    assert_same(tmp_path / "run", trained("python"))
