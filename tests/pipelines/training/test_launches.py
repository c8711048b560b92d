"""Real launches of the training commands, on a CPU: each launcher, one process and two, kills."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import launching
import pytest
import torch
from safetensors.torch import load_file

from pipelines.training import storage
from pipelines.training.checkpoint import open_checkpoint
from pipelines.training.metrics import read_metrics

pytestmark = pytest.mark.slow

BIDIRECTIONAL, DUAL_ENCODER, TOKENIZER = (
    launching.BIDIRECTIONAL,
    launching.DUAL_ENCODER,
    launching.TOKENIZER,
)
SHORT, run, start = launching.SHORT, launching.run, launching.start


def test_the_smallest_run_as_its_file_says(tmp_path):
    """Both stages under the deepspeed launcher, ZeRO 1, the tokenizer trained first."""
    config = ("--config", "configs/bidirectional/tiny.yaml", "training.steps=4")
    run("deepspeed", 1, BIDIRECTIONAL, *config, cwd=tmp_path)
    assert open_checkpoint(tmp_path / "runs/bidirectional_tiny").tasks


def losses(folder: Path) -> list[float]:
    return [row["loss"] for row in read_metrics(folder / "metrics.jsonl") if "loss" in row]


def wait_for_state(folder: Path, step: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 300
    while not any(saved >= step for saved in storage.saved_steps(folder / "state")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)


def assert_same_weights(ours: Path, theirs: Path) -> None:
    files = sorted((ours / "checkpoint").rglob("model.safetensors"))
    assert files
    for file in files:
        other = load_file(theirs / file.relative_to(ours))
        for name, value in load_file(file).items():
            assert torch.equal(value, other[name]), name


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """Trained by plain python, from a folder that is not the repository."""
    folder = tmp_path_factory.mktemp("tokenizer")
    arguments = ["--config", "configs/tokenizer/tiny.yaml", "output=run", *SHORT]
    run("python", 1, TOKENIZER, *arguments, cwd=folder)
    return folder / "run"


def bidirectional_arguments(tokenizer: Path) -> list[str]:
    config = ["--config", "configs/bidirectional/tiny.yaml", "output=run"]
    return [*config, f"tokenizer={tokenizer}", "training.micro_batch_size=4", *SHORT]


@pytest.mark.parametrize("processes", [1, 2])
def test_accelerate_launch(tokenizer, tmp_path, processes):
    arguments = ["--config", "configs/tokenizer/tiny.yaml", "output=run", *SHORT]
    run("accelerate", processes, TOKENIZER, *arguments, cwd=tmp_path)
    assert open_checkpoint(tmp_path / "run", "tokenizer").step == 12
    # Ids may flip by rounding, so only the first steps are comparable here; see test_real_runs.
    assert losses(tmp_path / "run")[:2] == pytest.approx(losses(tokenizer)[:2], abs=1e-4)


def test_a_dual_encoder_compares_the_pairs_of_all_processes(tmp_path):
    arguments = ["--config", "configs/dual_encoder/tiny.yaml", "model.dropout=0", *SHORT]
    arguments += ["training.validate_every=6"]
    for name, processes in (("python", 1), ("accelerate", 2), ("deepspeed", 2)):
        run(name, processes, DUAL_ENCODER, *arguments, f"output={name}", cwd=tmp_path)
        assert open_checkpoint(tmp_path / name, "dual_encoder").step in (6, 12)
        # Near, since batch normalization sees half of the pictures; half of the pairs would be
        # log 2 easier.
        assert losses(tmp_path / name)[0] == pytest.approx(losses(tmp_path / "python")[0], abs=0.3)


def test_contrasts_compare_the_pictures_of_all_processes(tokenizer, tmp_path):
    """One process, two, and two with an engine for the generator, on the same micro-batch."""
    encoder = ["--config", "configs/dual_encoder/tiny.yaml", *SHORT, "output=encoder"]
    run("python", 1, DUAL_ENCODER, *encoder, cwd=tmp_path)
    arguments = [*bidirectional_arguments(tokenizer), *launching.PAINTING, "text_encoder=encoder"]
    arguments += ["training.micro_batch_size=null", "end_to_end.sampled_ids=0"]
    for name in ("sentence", "word", "real_fake", "local_global"):
        arguments.append(f"contrasts.{name}_weight=0.2")
    for name, processes in (("python", 1), ("accelerate", 2), ("deepspeed", 2)):
        engine = "deepspeed=configs/deepspeed/zero_2.json"
        run(name, processes, BIDIRECTIONAL, *arguments, engine, f"output={name}", cwd=tmp_path)
        found, alone = losses(tmp_path / name), losses(tmp_path / "python")
        assert len(found) == 12 and found == pytest.approx(alone, rel=1e-4)


def test_compiled_end_to_end_training_learns_the_same(tokenizer, tmp_path):
    arguments = [*bidirectional_arguments(tokenizer), "end_to_end.hidden_state=consumed"]
    arguments += ["reconstruction.perceptual_weight=0", "training.steps=3"]
    for name in ("plain", "compiled"):
        changes = [f"training.compile={str(name == 'compiled').lower()}", f"output={name}"]
        run("python", 1, BIDIRECTIONAL, *arguments, *changes, cwd=tmp_path)
    compiled = losses(tmp_path / "compiled")
    assert len(compiled) == 3 and compiled == pytest.approx(losses(tmp_path / "plain"), abs=1e-4)


def test_deepspeed_is_refused_for_a_tokenizer(tmp_path):
    arguments = ["--config", "configs/tokenizer/tiny.yaml", "output=run"]
    process = start("deepspeed", 1, TOKENIZER, *arguments, cwd=tmp_path)
    _, error = process.communicate()
    assert process.returncode == 2 and "trains without DeepSpeed, because" in error
    assert not (tmp_path / "run").exists()


def test_killed_and_resumed_equals_never_killed(tmp_path):
    arguments = ["--config", "configs/tokenizer/tiny.yaml", "training.steps=40"]
    arguments += ["training.save_every=5", "training.validate_every=8"]
    run("python", 1, TOKENIZER, *arguments, "output=straight", cwd=tmp_path)
    process = start("python", 1, TOKENIZER, *arguments, "output=killed", cwd=tmp_path)
    wait_for_state(tmp_path / "killed", 10, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert "Resumed at step" in run(
        "python", 1, TOKENIZER, *arguments, "output=killed", "--resume", cwd=tmp_path
    )
    assert_same_weights(tmp_path / "straight", tmp_path / "killed")


@pytest.mark.parametrize(
    ("launcher", "processes", "script", "number"),
    [
        ("python", 1, TOKENIZER, signal.SIGTERM),
        ("accelerate", 2, TOKENIZER, signal.SIGTERM),
        ("python", 1, BIDIRECTIONAL, signal.SIGINT),
    ],
)
def test_a_signal_saves_and_ends_well(tokenizer, tmp_path, launcher, processes, script, number):
    stage = "tokenizer" if script == TOKENIZER else "bidirectional"
    arguments = ["--config", f"configs/{stage}/tiny.yaml", "output=run", "training.save_every=5"]
    arguments += [f"tokenizer={tokenizer}"] * (stage == "bidirectional")
    endless = [*arguments, "training.steps=100000"]
    process = start(launcher, processes, script, *endless, cwd=tmp_path)
    wait_for_state(tmp_path / "run", 5, process)
    os.killpg(process.pid, number)
    _, error = process.communicate()
    assert "all saved. Continue with:" in error
    if processes == 1:  # torchrun, under accelerate, reports the signal that it got
        assert process.returncode == 0
    last = storage.saved_steps(tmp_path / "run" / "state")[-1]
    assert f"Stopped at step {last}" in error
    if number == signal.SIGINT:  # the command that it named, but for the end
        line = error[error.index("Continue with:") :].splitlines()[1]
        command = [*shlex.split(line)[1:], f"training.steps={last + 2}"]
        again = [sys.executable, *command]
        done = subprocess.run(again, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert f"Resumed at step {last}." in done.stderr


def test_tiny_trains_its_own_tokenizer_first(tmp_path):
    arguments = ["--config", "configs/bidirectional/tiny.yaml", "output=run"]
    run("python", 1, BIDIRECTIONAL, *arguments, cwd=tmp_path)
    assert open_checkpoint(tmp_path / "run", "bidirectional").step is not None
    assert open_checkpoint(tmp_path / "run" / "tokenizer", "tokenizer").step is not None
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"config.yaml", "loss_curve.png", "logs", "metrics.jsonl", "samples"} <= names
    assert list((tmp_path / "run" / "samples").glob("*.png"))
