"""What the benchmarks share: alternating runs, peak memory in a process of its own, the machine."""

import argparse
import ctypes
import json
import multiprocessing
import platform
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import matplotlib.pyplot as plt
import torch

Name = TypeVar("Name")
"""What tells candidates apart: a text, or a case."""


def machine() -> dict[str, Any]:
    """What a figure depends on: processor or GPU, threads, versions, date."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if platform.system() == "Linux" else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    found = {
        "date": date.today().isoformat(),
        "processor": names[0] if names else platform.processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def seconds(function: Callable[[], object], device: str = "cpu") -> float:
    """Wall-clock seconds of one call."""
    start = time.perf_counter()
    function()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def medians(
    candidates: Mapping[Name, Callable[[], object]],
    repeats: int,
    device: str = "cpu",
) -> dict[Name, float]:
    """Median seconds of each candidate; they take turns, so that a drift of the machine's speed
    meets all of them. Each is called once before it is timed: what the one before it left in the
    caches does not count. The first turn does not either."""
    times: dict[Name, list[float]] = {name: [] for name in candidates}
    for repeat in range(1 + repeats):
        for name, function in candidates.items():
            function()
            spent = seconds(function, device)
            if repeat > 0:
                times[name].append(spent)
    return {name: median(spent) for name, spent in times.items()}


def peak_memory(prepare: Callable[..., Callable[[], object]], *arguments: Any) -> dict[str, float]:
    """MiB that a call adds to what is there before it, at its peak, and what was there.

    `prepare(*arguments)`, importable, makes the call; it runs in a new process, whose resident
    memory is read from the kernel (on a GPU from the allocator).
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_memory, (torch.get_num_threads(), prepare, arguments))


def _peak_memory(
    threads: int, prepare: Callable[..., Callable[[], object]], arguments: tuple
) -> dict:
    torch.set_num_threads(threads)
    call = prepare(*arguments)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        peak = torch.cuda.max_memory_allocated()
        return {"before": before / 2**20, "added": (peak - before) / 2**20}
    # What is done once in a process (thread pools, a library's own buffers) is no part of it.
    torch.randn(256, 256).matmul(torch.randn(256, 256))
    there = restart_peak()
    call()
    return {"before": there, "added": resident("VmHWM") - there}


def restart_peak() -> float:
    """Gives back what is free, and lets the kernel's peak of this process start anew; MiB that are
    there now."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return resident("VmRSS")


def resident(field: str) -> float:
    """MiB from the kernel's account of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def begin(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The arguments, with those that all have; sets the threads and says where it runs."""
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", required=True, metavar="FILE.json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    print(machine())
    return arguments


def plot_growth(
    rows: list[dict[str, Any]],
    names: Sequence[str],
    prefix: int,
    path: Path,
    fields: Sequence[str] = ("seconds", "peak_mib"),
) -> None:
    """A panel for each of `fields`: of each of `names` over the number of positions, of which
    `prefix` come before the image's `side` squared."""
    figure, panels = plt.subplots(1, len(fields), figsize=(5 * len(fields), 4), squeeze=False)
    for panel, field in zip(panels[0], fields, strict=True):
        for name in names:
            chosen = [row for row in rows if row["name"] == name]
            counts = [prefix + row["side"] ** 2 for row in chosen]
            panel.plot(counts, [row[field] for row in chosen], marker="o", label=name)
        panel.set(xscale="log", yscale="log", xlabel="positions", ylabel=field.replace("_", " "))
        panel.grid(visible=True, alpha=0.3)
    panels[0][0].legend()
    figure.tight_layout()
    figure.savefig(path)


def write_json(path: str, figures: Any) -> None:
    """The figures beside the machine they were measured on."""
    text = json.dumps({"machine": machine(), "figures": figures}, indent=2) + "\n"
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")
