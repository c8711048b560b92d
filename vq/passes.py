"""Passing micro-batches through a generator no more often than need be, and alike each time."""

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor

Output = TypeVar("Output")


class Passes(Generic[Output]):
    """The passes of a step's micro-batches through the generator.

    With a single micro-batch one pass serves all turns: the discriminator's step does not change
    the generator. With several only their pixels are kept in memory, and a pass made again draws
    the same random numbers (dropout, noise), so that what was found for its values holds.
    """

    def __init__(self, generate: Callable[[int], Output], count: int, device: torch.device) -> None:
        self.generate, self.single, self.device = generate, count == 1, device
        self._kept: Output | None = None
        self._random: dict[int, Tensor] = {}

    def for_values(self, index: int) -> Output:
        """Of a micro-batch; its graph is there only where it costs nothing."""
        if self.single:
            return self.for_gradients(index)
        with torch.no_grad():
            output = self._again(index)
        # Autocast would hand the weights it cast without a graph to the next pass, which needs one.
        torch.clear_autocast_cache()
        return output

    def for_gradients(self, index: int) -> Output:
        """Of a micro-batch, with its graph."""
        if not self.single:
            return self._again(index)
        if self._kept is None:
            self._kept = self.generate(index)
        return self._kept

    def _again(self, index: int) -> Output:
        generator = torch.get_device_module(self.device) if self.device.type != "cpu" else torch
        if index not in self._random:
            self._random[index] = generator.get_rng_state()
            return self.generate(index)
        now = generator.get_rng_state()
        generator.set_rng_state(self._random[index])
        try:
            return self.generate(index)
        finally:
            generator.set_rng_state(now)
