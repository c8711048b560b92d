import os
import signal

import pytest

from pipelines.training import stopping
from pipelines.training.stopping import StopSignals, resume_command


def test_a_signal_is_noted_and_a_later_one_stops_at_once(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(stopping.time, "monotonic", lambda: now[0])
    before = signal.getsignal(signal.SIGTERM)
    with StopSignals() as signals:
        assert not signals.requested
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.requested
        now[0] += 0.5  # the launcher passes the same Ctrl-C on
        os.kill(os.getpid(), signal.SIGINT)
        now[0] += 10
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("environment", "processes", "expected"),
    [
        ({}, 1, "python train.py --config a.yaml 'x=[1, 2]' --resume"),
        ({}, 2, "torchrun --nproc_per_node 2 train.py --config a.yaml 'x=[1, 2]' --resume"),
        (
            {"ACCELERATE_MIXED_PRECISION": "no"},
            2,
            "accelerate launch --multi_gpu --num_processes 2 train.py --config a.yaml "
            "'x=[1, 2]' --resume",
        ),
        (
            {"CROSS_RANK": "0", "LOCAL_SIZE": "2"},
            2,
            "deepspeed --num_gpus 2 train.py --config a.yaml 'x=[1, 2]' --resume",
        ),
        (
            {"CROSS_RANK": "1", "LOCAL_SIZE": "2", "CROSS_SIZE": "2"},
            4,
            "the same deepspeed command (on every node where it was given), and --resume",
        ),
    ],
)
def test_the_resume_command_repeats_the_launch(monkeypatch, environment, processes, expected):
    for name in ("ACCELERATE_MIXED_PRECISION", "CROSS_RANK", "CROSS_SIZE", "LOCAL_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    argv = ["train.py", "--local_rank=0", "--config", "a.yaml", "x=[1, 2]", "--resume"]
    monkeypatch.setattr(stopping.sys, "argv", argv)
    assert resume_command(processes) == expected
