"""Kills a run at random moments (kill -9), resumes it each time, and compares its end with that of
a run that was never killed: every tensor of the last state must be the same, bit for bit.

    python tests/pipelines/training/kills.py --stage tokenizer --kills 20
    python tests/pipelines/training/kills.py --stage bidirectional --kills 20

The moments are chosen by lot, half of them within the writing of a state or a checkpoint. Each
attempt is a process of
its own, forked from one that has everything imported.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file

from pipelines import train_bidirectional, train_tokenizer
from pipelines.training import storage
from pipelines.training.checkpoint import open_checkpoint

STEPS = 16
THREADS = 2
"""Of each run; the process that they are forked from keeps to one, for a pool of threads does not
survive a fork."""
SHORT = [
    f"training.steps={STEPS}",
    "training.save_every=1",
    "training.validate_every=4",
    "training.validation_batches=1",
    "training.sample_every=0",
    "training.log_every=1",
    "training.trackers=[]",
    "training.batch_size=8",
]
STAGES = {
    "tokenizer": (
        train_tokenizer.main,
        [
            "--config",
            "configs/tokenizer/tiny.yaml",
            "objective.adversarial_weight=0.5",
            "discriminator.base_channels=8",
            "discriminator.layers=2",
        ],
    ),
    "bidirectional": (
        train_bidirectional.main,
        ["--config", "configs/bidirectional/tiny.yaml", "model.dropout=0.1", "deepspeed=null"],
    ),
}


def start(stage: str, output: Path, log: Path, *more: str) -> int:
    """The process number of a run of its own."""
    number = os.fork()
    if number:
        return number
    # The child never returns to what the parent was doing.
    os.setpgrp()
    code = 1
    torch.set_num_threads(THREADS)
    try:
        with log.open("a") as file:
            os.dup2(file.fileno(), 2)
            main, arguments = STAGES[stage]
            main([*arguments, f"output={output}", *SHORT, *more])
            code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        os._exit(code)


def is_writing(run: Path) -> bool:
    return any(run.glob(f"state/*{storage.WRITING}")) or (run / "checkpoint.writing").exists()


def wait(number: int, seconds: float, until: Callable[[], bool] = lambda: False) -> int | None:
    """Its exit code, or None where it still runs after so many seconds, or at a moment."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not until():
        ended, status = os.waitpid(number, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.0005)
    return None


def what_is_there(run: Path) -> str:
    """What a killed run was doing, by what it left; and that what it left is whole."""
    steps = storage.saved_steps(run / "state")
    for step in steps:
        for file in (run / "state" / f"step_{step}").rglob("*.safetensors"):
            load_file(file)
    names = {path.name for path in run.iterdir()} if run.exists() else set()
    if (run / "checkpoint").exists() or {"checkpoint.new", "checkpoint.old"} & names:
        open_checkpoint(run)
    if names & {"checkpoint.writing", "checkpoint.new", "checkpoint.old"}:
        return "writing the checkpoint"
    states = run / "state"
    left = {path.suffix for path in states.iterdir()} if states.exists() else set()
    if storage.WRITING in left:
        return "writing a state"
    return "removing a state" if ".removing" in left else "between writings"


def assert_equal(ours: Path, theirs: Path) -> int:
    """How many tensors were compared."""
    compared = 0
    for file in sorted(ours.rglob("*.safetensors")):
        one, other = load_file(file), load_file(theirs / file.relative_to(ours))
        assert one.keys() == other.keys(), file
        for name, value in one.items():
            assert torch.equal(value, other[name]), f"{file.name}: {name} differs"
            compared += 1
    return compared


def assert_same_end(straight: Path, killed: Path) -> None:
    for part in (Path("state") / f"step_{STEPS}", Path("checkpoint")):
        assert assert_equal(straight / part, killed / part) > 10
    assert open_checkpoint(killed).step == open_checkpoint(straight).step


def kill_and_resume(stage: str, kills: int, folder: Path, seed: int = 0) -> Counter[str]:
    """Where the kills fell; raises AssertionError where a promise is broken."""
    torch.set_num_threads(1)
    lot, log = random.Random(seed), folder / "log.txt"
    straight, killed = folder / "straight", folder / "killed"
    more = []
    if stage == "bidirectional":
        assert wait(start("tokenizer", folder / "tokenizer", log), 600) == 0, log.read_text()
        more = [f"tokenizer={folder / 'tokenizer'}", "tokenizer_config=null"]
    before = time.monotonic()
    assert wait(start(stage, straight, log, *more), 600) == 0, log.read_text()
    whole = time.monotonic() - before
    found: Counter[str] = Counter()
    done = 0
    while sum(found.values()) < kills:
        process = start(stage, killed, log, *more, "--resume")
        code = wait(process, lot.uniform(0.05, 0.4) * whole)
        if code is None and lot.random() < 0.5:  # writing takes little of the time
            code = wait(process, whole, until=lambda: is_writing(killed))
            if code is None:
                code = wait(process, lot.uniform(0, 0.01))
        if code is not None:  # it came to its end first
            assert code == 0, log.read_text()
            assert_same_end(straight, killed)
            killed.rename(folder / f"killed_{sum(found.values())}")
            done = 0
            continue
        os.killpg(process, signal.SIGKILL)
        os.waitpid(process, 0)
        found[what_is_there(killed)] += 1
        steps = storage.saved_steps(killed / "state")
        assert not steps or steps[-1] >= done, "a saved state was lost"
        done = steps[-1] if steps else 0
    assert wait(start(stage, killed, log, *more, "--resume"), 600) == 0, log.read_text()
    assert_same_end(straight, killed)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stage", choices=STAGES, required=True)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = kill_and_resume(arguments.stage, arguments.kills, Path(folder), arguments.seed)
    print(
        f"{arguments.kills} kills: {dict(found)}; the end is the same, bit for bit", file=sys.stderr
    )


if __name__ == "__main__":
    main()
