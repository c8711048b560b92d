"""fp16 with its loss scale beside bf16, on a CPU, or a GPU where there is one."""

import pytest

from pipelines import train_bidirectional
from pipelines.training.metrics import read_metrics

SHORT = ["training.steps=120", "training.log_every=10", "training.sample_every=0"]


@pytest.mark.slow
def test_fp16_learns_what_bf16_learns(tokenizer_checkpoint, tmp_path):
    """Noise is what two seeds of bf16 differ by, and some."""
    losses = {}
    for name, precision, seed in (("bf16", "bf16", 0), ("other", "bf16", 1), ("fp16", "fp16", 0)):
        config = ["--config", "configs/bidirectional/tiny.yaml", f"output={tmp_path / name}"]
        more = [f"tokenizer={tokenizer_checkpoint}", f"training.precision={precision}"]
        train_bidirectional.main([*config, *more, *SHORT, f"seed={seed}", "deepspeed=null"])
        rows = read_metrics(tmp_path / name / "metrics.jsonl")
        losses[name] = [row["validation_loss"] for row in rows if "validation_loss" in row][-1]
        skipped = [row["skipped_steps"] for row in rows if "skipped_steps" in row][-1]
        assert skipped <= (8 if precision == "fp16" else 0)  # while the loss scale is found
    noise = abs(losses["bf16"] - losses["other"])
    assert abs(losses["fp16"] - losses["bf16"]) < noise + 0.02 * losses["bf16"]
    first = next(row for row in rows if "loss" in row)["loss"]
    assert losses["fp16"] < 0.8 * first
