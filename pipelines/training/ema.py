"""The running average of a player's weights, which is what gets validated and exported."""

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from pipelines.training.weights import Weights, check_fit


class WeightAverage:
    """Exponential moving average of a module's trainable parameters, in fp32.

    Frozen parameters and buffers (a codebook that has its own average, say) are not averaged:
    they are the module's own at any time. A process averages what it holds: where the weights are
    divided, so are their averages.

    Args:
        decay: share of the average that stays at each update. Early on it is held down to
            (1 + n) / (10 + n) after n updates, so that the random start is soon forgotten
            (as in TensorFlow's `ExponentialMovingAverage`).
    """

    def __init__(self, weights: Weights, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self._weights = weights
        self.held: dict[str, Tensor] = {
            name: own.detach().to(torch.float32, copy=True) for name, own in weights.held.items()
        }

    @torch.no_grad()
    def update(self) -> None:
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        current = [own.detach().float() for own in self._weights.held.values()]
        torch._foreach_lerp_(list(self.held.values()), current, 1 - decay)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """While inside, the module computes with the averaged weights."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def _exchange(self) -> None:
        with self._weights.changing():
            for name, own in self._weights.held.items():
                averaged = self.held[name]
                self.held[name] = own.data
                own.data = averaged

    def all(self) -> Iterator[tuple[str, Tensor]]:
        """The whole averages, one after the other; every process takes all of them."""
        for name, average in self.held.items():
            yield name, self._weights.whole(name, average)

    def load(self, averages: Mapping[str, Tensor], updates: int) -> None:
        """Takes up saved whole averages.

        Raises:
            ValueError: they belong to other parameters.
        """
        check_fit(averages, self._weights.shapes)
        for name, average in self.held.items():
            average.copy_(self._weights.share(name, averages[name]))
        self.updates = updates
