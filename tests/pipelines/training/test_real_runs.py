"""Equalities promised for the real stages: two processes and one, resumed and never stopped."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import real_runs
import torch
from safetensors.torch import load_file

from pipelines.training.distributed import Processes
from pipelines.training.metrics import read_metrics

SCRIPT = Path(__file__).with_name("real_runs.py")


@pytest.fixture(scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def processes():
    return Processes(torch.device("cpu"))


@pytest.fixture(scope="module")
def one_process(tmp_path_factory, processes, one_thread):
    folder = tmp_path_factory.mktemp("one")
    real_runs.run_both(folder, folder / "tokenizer", processes)
    return folder


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory, one_process):
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    ranks = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(folder), str(one_process / "tokenizer")],
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    assert [rank.wait() for rank in ranks] == [0, 0]
    return folder


@pytest.mark.parametrize("stage", ["tokenizer", "bidirectional", "muon", "end_to_end"])
def test_two_processes_equal_one(one_process, two_processes, stage):
    found = [
        [row for row in read_metrics(folder / stage / "metrics.jsonl")]
        for folder in (one_process, two_processes)
    ]
    assert len(found[0]) == len(found[1]) == 12
    for ours, theirs in zip(*found, strict=True):
        for name in ours:
            if name.endswith(("loss", "question_answering")):
                assert ours[name] == pytest.approx(theirs[name], abs=1e-4), (ours["step"], name)
    ours, theirs = (load_file(f / f"{stage}.safetensors") for f in (one_process, two_processes))
    assert ours.keys() == theirs.keys()
    for name in ours:
        # Each player's gradient is clipped to 1; parts of it are zero but for rounding.
        size = ours[name].norm().clamp(min=1e-2)
        assert (ours[name] - theirs[name]).norm() < 1e-5 * size, name


def stop_in_step(trainer, steps):
    batches = trainer.task.batches

    def stopping(step):
        if step == steps - 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return batches(step)

    object.__setattr__(trainer.task, "batches", stopping)
    return trainer


@pytest.mark.parametrize("stage", ["tokenizer", "bidirectional", "end_to_end"])
def test_resuming_equals_never_having_stopped(one_process, processes, tmp_path, stage, one_thread):
    def trainer(resume):
        if stage == "tokenizer":
            return real_runs.tokenizer_trainer(tmp_path / "run", processes, resume)
        tokenizer = one_process / "tokenizer"
        changes = [*real_runs.PAINTING, *real_runs.ASKING] if stage == "end_to_end" else []
        return real_runs.bidirectional_trainer(
            tmp_path / "run", tokenizer, processes, resume, *changes
        )

    assert not stop_in_step(trainer(resume=False), 6).train(resume=False)
    assert trainer(resume=True).train(resume=True)
    last = Path("state") / "step_10"
    compared = 0
    for file in sorted((one_process / stage / last).rglob("*.safetensors")):
        if file.name.startswith("random"):
            continue
        ours = load_file(file)
        theirs = load_file(tmp_path / "run" / last / file.relative_to(one_process / stage / last))
        assert ours.keys() == theirs.keys()
        for name in ours:
            assert torch.equal(ours[name], theirs[name]), (file.name, name)
            compared += 1
    assert compared > 50
