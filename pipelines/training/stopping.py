"""Stopping early without losing anything: SIGTERM and Ctrl-C finish the step and save, or leave at
once what is whole at any moment."""

import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from pipelines.training.distributed import started_by_deepspeed

# A terminal's Ctrl-C reaches a process both directly and through its launcher.
SAME_PRESS_SECONDS = 2.0


class StopSignals:
    """While entered, notes SIGTERM and SIGINT instead of dying of them.

    A second signal, pressed later than `SAME_PRESS_SECONDS`, stops at once.
    """

    def __init__(self) -> None:
        self.requested = False
        self._first = 0.0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.requested and now - self._first > SAME_PRESS_SECONDS:
            raise KeyboardInterrupt
        if not self.requested:
            self.requested = True
            self._first = now


@contextmanager
def leaving_by_exception() -> Iterator[None]:
    """While entered, SIGTERM and SIGINT raise SystemExit, so that what is under `finally` is done;
    more of them are then ignored. The exit code is a shell's, 128 and the signal's number."""

    def leave(number: int, frame: FrameType | None) -> None:
        for one in previous:
            signal.signal(one, signal.SIG_IGN)
        raise SystemExit(128 + number)

    previous = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)}
    for one in previous:
        signal.signal(one, leave)
    try:
        yield
    finally:
        for one, handler in previous.items():
            signal.signal(one, handler)


def resume_command(processes: int) -> str:
    """The command line that continues this run; on several nodes, how to make it.

    There a launcher's options (a hostfile, who is the master) are known to the launcher alone.
    """
    if started_by_deepspeed() and int(os.environ.get("CROSS_SIZE", "1")) > 1:
        return "the same deepspeed command (on every node where it was given), and --resume"
    arguments = [a for a in sys.argv if a != "--resume" and not a.startswith("--local_rank")]
    several = processes > 1
    if started_by_deepspeed():
        launcher = ["deepspeed", "--num_gpus", str(processes)] if several else ["deepspeed"]
    elif "ACCELERATE_MIXED_PRECISION" in os.environ:
        launcher = ["accelerate", "launch"]
        launcher += ["--multi_gpu", "--num_processes", str(processes)] if several else []
    elif several:
        launcher = ["torchrun", "--nproc_per_node", str(processes)]
    else:
        launcher = ["python"]
    return shlex.join([*launcher, *arguments, "--resume"])
