"""Two processes compute what one does, where nothing is a process's own."""

import launching
import pytest
import torch
from safetensors.torch import load_file

from pipelines.training.metrics import read_metrics
from tests.pipelines.gan.conftest import SMALL

TRAIN = launching.REPOSITORY / "pipelines" / "train_gan.py"
# A wrong text is looked for among a process's own; without it nothing of these two is.
ALONE = ["objective.wrong_pairs_weight=0", "training.precision=fp32", "training.steps=4"]
ALONE += ["training.batch_size=8"]
# Adam's first steps are the gradients' signs, which blow rounding up where these are nearly 0.
ALONE += ["training.optimizer.epsilon=1e-4", "training.discriminator_optimizer.epsilon=1e-4"]


def launched(processes, name, source, folder, *options):
    arguments = ["--config", f"gan/{name}.yaml", *SMALL, f"text_encoder={source}", *ALONE, *options]
    run = folder / f"{name}_{processes}"
    launching.run("accelerate", processes, TRAIN, *arguments, f"output={run}", cwd=folder)
    return run


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adma_gan", "dual_contrastive"])
def test_two_processes_are_as_good_as_one(name, dual_encoder_checkpoint, tmp_path):
    one, two = (launched(n, name, dual_encoder_checkpoint, tmp_path) for n in (1, 2))
    weights = "checkpoint/generator/model.safetensors"
    expected, found = load_file(one / weights), load_file(two / weights)
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        assert torch.allclose(found[key], value, atol=1e-4), key
    rows = [
        [row for row in read_metrics(run / "metrics.jsonl") if "loss" in row][-1]
        for run in (one, two)
    ]
    for figure in rows[0]:
        if figure.endswith("loss") or "logit" in figure:
            assert rows[1][figure] == pytest.approx(rows[0][figure], rel=1e-3, abs=1e-4)


@pytest.mark.slow
def test_two_processes_with_statistics_of_their_own(dual_encoder_checkpoint, tmp_path):
    run = launched(2, "xmc_gan", dual_encoder_checkpoint, tmp_path)
    saved = load_file(run / "checkpoint/generator/model.safetensors")
    assert all(value.isfinite().all() for value in saved.values())
