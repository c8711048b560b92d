"""Sums that grow by a block of rows at a time, over all processes."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torchmetrics import Metric

from pipelines.evaluation.figures import Figure, Missing


@contextmanager
def without_update_allowed() -> Iterator[None]:
    """For `compute`: a process that was dealt no block has nothing to add, which is no mistake."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The ``compute`` method of metric")
        yield


class StreamedSums(Metric):
    """Named sums in float64, all that a metric keeps of the rows it has seen.

    Subclasses add to them in `update`, by `self.NAME += self.double_here(…)`. Several processes
    each add rows of their own, and `sums` adds the processes up: their figures are those of one
    process but for float64 rounding. Under nccl a metric must be moved to the process's GPU first
    (`.to(device)`); under gloo it may stay on the CPU.

    Args:
        shapes: of each sum by its name.
    """

    full_state_update = False

    def __init__(self, **shapes: tuple[int, ...]) -> None:
        super().__init__()
        for name, shape in shapes.items():
            zeros = torch.zeros(shape, dtype=torch.float64)
            self.add_state(name, zeros, dist_reduce_fx="sum")
        self.shapes = shapes

    def double_here(self, values: Tensor) -> Tensor:
        """In float64 on the sums' own device; moved first, since not every device has float64."""
        return values.detach().to(self.device).double()

    def compute(self) -> dict[str, Tensor]:
        """This process's sums; those of all processes where torchmetrics calls it, in `sums`."""
        return {name: getattr(self, name) for name in self.shapes}

    def sums(self) -> dict[str, Tensor]:
        """Those of all processes. Every process must call it.

        Figures are read off them and not returned by `compute`, because torchmetrics rebuilds what
        that returns and cannot rebuild a frozen dataclass such as `Missing`.
        """
        with without_update_allowed():
            found: dict[str, Tensor] = self.compute()
        return {name: found[name].reshape(shape) for name, shape in self.shapes.items()}


class Mean(StreamedSums):
    """The mean of all numbers given, whatever blocks they come in."""

    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__(total=(), count=())

    def update(self, values: Tensor, count: int | None = None) -> None:
        """Adds numbers of any shape. `count`: of how many things they are the sum, where that is
        not their own number."""
        self.total += self.double_here(values).sum()
        self.count += values.numel() if count is None else count

    def figure(self, nothing: str = "there were no rows to measure.") -> Figure:
        """`nothing`: the sentence where no number was given."""
        sums = self.sums()
        if sums["count"] == 0:
            return Missing(nothing)
        return (sums["total"] / sums["count"]).item()
