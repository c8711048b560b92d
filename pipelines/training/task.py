"""What one run is about; assembly builds it, the trainer runs it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from pipelines.training.contracts import Batch, Objective, Reading, Work
from pipelines.training.optimizer import MatricesIn


@dataclass(frozen=True)
class Task:
    """What a run trains and what it leaves behind.

    Args:
        kind: of the checkpoint (`tokenizer`, `bidirectional`, `dual_encoder`).
        abilities: the checkpoint's `tasks`.
        objective: see `contracts.Objective`.
        averaged: the players that are averaged and exported.
        batches: the micro-batches of this process at a step, on the device.
        validation_batches: the same ones at every validation.
        describe: leaves in the run's folder what the run was told and what resuming needs of it.
        reading: what reads the data.
        write_parts: writes the checkpoint's folders; called in the first process, with the averaged
            weights in place.
        draw_samples: writes files whose path begins like the one given, about pictures of a
            validation batch; likewise.
        matrices_in: how many matrices that decay a parameter holds; they are Muon's where it is
            chosen.
        recomputed: the modules that activation checkpointing is about.
        work: what a micro-batch takes.
        figures: more to log, about what was read since they were asked for last; every process
            asks.
    """

    kind: str
    abilities: tuple[str, ...]
    objective: Objective
    averaged: tuple[str, ...]
    batches: Callable[[int], list[Batch]]
    validation_batches: Callable[[], Iterator[Batch]]
    describe: Callable[[Path], None]
    reading: Reading
    write_parts: Callable[[Path], None]
    draw_samples: Callable[[Path, Batch], None]
    matrices_in: MatricesIn
    recomputed: tuple[type[nn.Module], ...]
    work: Callable[[Batch], Work] = lambda batch: Work()
    figures: Callable[[], dict[str, float]] = dict
