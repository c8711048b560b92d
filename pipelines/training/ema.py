"""The running average of a player's weights, which is what gets validated and exported."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential moving average of a module's trainable parameters, in fp32.

    Frozen parameters and buffers (a codebook that has its own average, say) are not averaged:
    they are the module's own at any time.

    Args:
        decay: share of the average that stays at each update. Early on it is held down to
            (1 + n) / (10 + n) after n updates, so that the random start is soon forgotten
            (as in TensorFlow's `ExponentialMovingAverage`).
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self._parameters = {n: p for n, p in module.named_parameters() if p.requires_grad}
        self.weights: dict[str, Tensor] = {
            name: parameter.detach().to(torch.float32, copy=True)
            for name, parameter in self._parameters.items()
        }

    @torch.no_grad()
    def update(self) -> None:
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        current = [parameter.detach().float() for parameter in self._parameters.values()]
        torch._foreach_lerp_(list(self.weights.values()), current, 1 - decay)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """While inside, the module computes with the averaged weights."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def _exchange(self) -> None:
        for name, parameter in self._parameters.items():
            averaged = self.weights[name]
            self.weights[name] = parameter.data
            parameter.data = averaged

    def state_dict(self) -> dict[str, Tensor]:
        return self.weights

    def load_state_dict(self, weights: dict[str, Tensor], updates: int) -> None:
        """Takes up saved averages.

        Raises:
            ValueError: they belong to other parameters.
        """
        if weights.keys() != self.weights.keys():
            odd = sorted(weights.keys() ^ self.weights.keys())[0]
            raise ValueError(f"the saved averages do not fit this model: {odd!r} is on one side.")
        for name, value in weights.items():
            self.weights[name].copy_(value)
        self.updates = updates
