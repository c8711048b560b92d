"""What the steps between two reports have in common: means, rates, utilisation."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pipelines.training.contracts import Reading, Work
from pipelines.training.distributed import Processes


@dataclass
class StepFigures:
    """Gathers the figures of steps, of this process; `take` gives those of all processes.

    Args:
        reading: tells how long data were waited for.
        peak_flops: what a process can do in a second at best; None where that is not known.
    """

    processes: Processes
    reading: Reading
    peak_flops: float | None
    _sums: dict[str, Tensor | float] = field(default_factory=dict)
    _added: dict[str, int] = field(default_factory=dict)  # how often to a sum
    _steps: int = 0
    _tokens: int = 0
    _flops: int = 0
    _waited_before: float = 0.0

    def begin_step(self, work: Iterable[Work]) -> None:
        """Counts a step and what its micro-batches take."""
        self._steps += 1
        for one in work:
            self._tokens += one.tokens
            self._flops += one.flops

    def add(self, figures: dict[str, Tensor | float]) -> None:
        """Of a turn; not every step has every turn."""
        for name, value in figures.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._added[name] = self._added.get(name, 0) + 1

    def take(self, seconds: float) -> dict[str, float]:
        """The means of what was added in these `seconds`, each over the turns that had it; and

        steps_per_second; tokens_per_second, of all processes; model_flops_utilisation (PaLM,
        2204.02311, section 4.1); data_wait, the share of the time that data were waited for.
        """
        names = sorted(self._sums)
        values = [float(self._sums[name]) / self._added[name] for name in names]
        waited = self.reading.counts.seconds
        values += [float(self._tokens), float(self._flops), waited - self._waited_before]
        means = self.processes.mean(torch.tensor(values, dtype=torch.float64)).tolist()
        *means, tokens, flops, wait = means
        row = dict(zip(names, means, strict=True))
        row |= {"data_wait": wait / seconds, "steps_per_second": self._steps / seconds}
        if tokens:
            row["tokens_per_second"] = self.processes.count * tokens / seconds
        if flops and self.peak_flops is not None:
            row["model_flops_utilisation"] = flops / seconds / self.peak_flops
        self._sums, self._added, self._waited_before = {}, {}, waited
        self._steps = self._tokens = self._flops = 0
        return row
