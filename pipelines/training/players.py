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
    parts_of,
    schedule_factor,
    set_learning_rate,
)
from pipelines.training.settings import OptimizerSettings
from pipelines.training.weights import Weights, WholeWeights, trainable


class Player(Protocol):
    """One module that takes turns.

    `step` returns the norm of the gradient before clipping, the same in every process; where that
    is not finite the weights are left as they are.
    """

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

    def loss_scale(self) -> dict[str, float]:
        """What keeps the loss scale, where there is one."""

    def set_loss_scale(self, state: dict[str, float]) -> None:
        """Goes on from that."""

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
        precision: str = "fp32",
    ) -> None:
        self.module = module
        # Gradients of fp16 fall below its range where their loss is not scaled up (1710.03740).
        self.scaler = torch.amp.GradScaler(processes.device.type, enabled=precision == "fp16")
        self.weights: Weights = WholeWeights(module)
        self.optimizer = optimizer
        self.settings = settings
        self.processes = processes
        self.learning_rate = 0.0
        self._parameters = list(trainable(module).values())

    def start(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)

    def backward(self, loss: Tensor) -> None:
        self.scaler.scale(loss).backward()

    def step(self, step: int, progress: float) -> float:
        """One optimizer step from the gradients gathered since `start`."""
        for parameter in self._parameters:
            if parameter.grad is None:
                # The same list of gradients in every process, whatever part each one used.
                parameter.grad = torch.zeros_like(parameter)
        self.processes.average(p.grad for p in self._parameters)  # type: ignore[misc]
        parts = parts_of(self.optimizer)
        for part in parts:
            self.scaler.unscale_(part)
        norm = float(clip_gradients(self._parameters, self.settings.gradient_clipping))
        if math.isfinite(norm):
            self.learning_rate = self.settings.learning_rate * schedule_factor(
                self.settings, step, progress
            )
            set_learning_rate(self.optimizer, self.learning_rate)
            for part in parts:
                self.scaler.step(part)
        self.scaler.update()
        return norm

    def optimizer_state(self) -> Iterator[tuple[str, Tensor]]:
        yield from optimizer_state(self.module, self.optimizer)

    def load(self, weights: Mapping[str, Tensor], optimizer: Mapping[str, Tensor]) -> None:
        self.weights.load(weights)
        load_optimizer_state(self.module, self.optimizer, optimizer)

    def loss_scale(self) -> dict[str, float]:
        return self.scaler.state_dict()

    def set_loss_scale(self, state: dict[str, float]) -> None:
        if state and self.scaler.is_enabled():
            self.scaler.load_state_dict(state)

    def close(self) -> None:
        """Nothing to do."""
