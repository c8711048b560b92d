"""What makes training on a CPU fast: no more threads than cores, and memory that stays."""

import ctypes
import os
import sys

import torch

# <malloc.h> of the GNU C library, and the largest threshold it takes.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST_MMAP_THRESHOLD = 32 * 2**20


def keep_freed_memory() -> None:
    """Lets the process keep up to its peak instead of handing freed memory back at once.

    A step frees and asks for the same tensors again and again, and pages that come anew from the
    system are cleared one by one: 3 to 8% of a step (`benchmarks/training_step.py`'s, with and
    without). Only the GNU C library is told; others are left as they are.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)


def share_cores() -> None:
    """Divides the cores among the processes of this machine where nobody said how many to use.

    Thread pools that together exceed the cores slow each other down many times over. `accelerate
    launch` always says how many threads, and where nobody told it, one: that is not taken for a
    choice. (Who wants one uses `taskset`, whose cores are counted here.)
    """
    by_default = "ACCELERATE_MIXED_PRECISION" in os.environ  # the launcher sets it
    chosen = os.environ.get("OMP_NUM_THREADS")
    local = os.environ.get("LOCAL_WORLD_SIZE") or os.environ.get("LOCAL_SIZE")
    if (chosen is None and local is not None) or (chosen == "1" and by_default):
        threads = max(1, _usable_cores() // int(local or 1))
        os.environ["OMP_NUM_THREADS"] = str(threads)
        torch.set_num_threads(threads)


def _usable_cores() -> int:
    """Those that this process may run on, where the system tells."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
