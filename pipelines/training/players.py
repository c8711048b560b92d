"""What the loop does with one player of an objective: clear, go backward, step."""

import math
from collections.abc import Iterator, Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from pipelines.training.distributed import Processes
from pipelines.training.optimizer import (
    Optimizer,
    clip_gradients,
    load_optimizer_state,
    optimizer_state,
    schedule_factor,
    set_learning_rate,
)
from pipelines.training.settings import OptimizerSettings
from pipelines.training.weights import Weights, WholeWeights, trainable


class NotFinite(Exception):
    """A gradient is infinite or not a number; the weights were left as they were."""


class Player(Protocol):
    """One module that takes turns. `step` returns the norm of the gradient before clipping."""

    module: nn.Module
    weights: Weights

    def start(self) -> None: ...

    def backward(self, loss: Tensor) -> None: ...

    def step(self, step: int, progress: float) -> float: ...

    @property
    def learning_rate(self) -> float: ...

    def optimizer_state(self) -> Iterator[tuple[str, Tensor]]:
        """The optimizer's whole tensors, named `KIND/PARAMETER`; every process takes all."""

    def load(self, weights: Mapping[str, Tensor], optimizer: Mapping[str, Tensor]) -> None:
        """Goes on from what `weights.all` and `optimizer_state` gave.

        Raises:
            ValueError: they are another module's or another optimizer's.
        """

    def close(self) -> None:
        """Lets go of what outlives the player otherwise; it does not step any more."""


class PlainPlayer:
    """A player stepped by a torch optimizer; gradients are averaged over processes here."""

    def __init__(
        self,
        module: nn.Module,
        optimizer: Optimizer,
        settings: OptimizerSettings,
        processes: Processes,
    ) -> None:
        self.module = module
        self.weights: Weights = WholeWeights(module)
        self.optimizer = optimizer
        self.settings = settings
        self.processes = processes
        self.learning_rate = 0.0
        self._parameters = list(trainable(module).values())

    def start(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)

    def backward(self, loss: Tensor) -> None:
        loss.backward()

    def step(self, step: int, progress: float) -> float:
        """One optimizer step from the gradients gathered since `start`.

        Raises:
            NotFinite: the gradient is not finite.
        """
        for parameter in self._parameters:
            if parameter.grad is None:
                # The same list of gradients in every process, whatever part each one used.
                parameter.grad = torch.zeros_like(parameter)
        self.processes.average(p.grad for p in self._parameters)  # type: ignore[misc]
        norm = float(clip_gradients(self._parameters, self.settings.gradient_clipping))
        if not math.isfinite(norm):
            raise NotFinite
        self.learning_rate = self.settings.learning_rate * schedule_factor(
            self.settings, step, progress
        )
        set_learning_rate(self.optimizer, self.learning_rate)
        self.optimizer.step()
        return norm

    def optimizer_state(self) -> Iterator[tuple[str, Tensor]]:
        yield from optimizer_state(self.module, self.optimizer)

    def load(self, weights: Mapping[str, Tensor], optimizer: Mapping[str, Tensor]) -> None:
        self.weights.load(weights)
        load_optimizer_state(self.module, self.optimizer, optimizer)

    def close(self) -> None:
        """Nothing to do."""
