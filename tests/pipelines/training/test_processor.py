import os
import subprocess
import sys

import pytest

from pipelines.training import processor
from pipelines.training.processor import share_cores

FAULTS = """
import resource, sys
import torch
from pipelines.training.processor import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def work():
    [torch.ones(2**20) for _ in range(32)]  # 4 MiB each

if sys.argv[1] == "kept":
    keep_freed_memory()
work()
before = faults()
for _ in range(10):
    work()
print(faults() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="tells the GNU C library")
def test_freed_memory_is_kept():
    counts = {}
    for case in ("kept", "as it is"):
        command = [sys.executable, "-c", FAULTS, case]
        counts[case] = int(subprocess.run(command, capture_output=True, check=True).stdout)
    assert 3 * counts["kept"] < counts["as it is"]


def test_cores_are_shared_where_nobody_chose(monkeypatch):
    chosen = []
    monkeypatch.setattr(processor.torch, "set_num_threads", chosen.append)
    monkeypatch.setattr(processor, "_usable_cores", lambda: 8)
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "")  # so that it is put back as it was
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    share_cores()
    assert chosen == [2] and os.environ["OMP_NUM_THREADS"] == "2"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    share_cores()
    assert chosen == [2]


@pytest.mark.parametrize(("said", "used"), [("1", [8]), ("3", [])])
def test_one_thread_by_accelerates_default_is_not_a_choice(monkeypatch, said, used):
    chosen = []
    monkeypatch.setattr(processor.torch, "set_num_threads", chosen.append)
    monkeypatch.setattr(processor, "_usable_cores", lambda: 8)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    monkeypatch.delenv("LOCAL_SIZE", raising=False)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    share_cores()
    assert chosen == used
