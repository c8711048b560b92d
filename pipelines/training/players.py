"""What the loop does with one player of an objective: clear, go backward, step."""

import math
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from pipelines.training import storage
from pipelines.training.distributed import Processes
from pipelines.training.optimizer import (
    Optimizer,
    clip_gradients,
    load_optimizer_state,
    schedule_factor,
    set_learning_rate,
)
from pipelines.training.settings import OptimizerSettings


class NotFinite(Exception):
    """A gradient is infinite or not a number; the weights were left as they were."""


class Player(Protocol):
    """One module that takes turns. `step` returns the norm of the gradient before clipping."""

    module: nn.Module

    def start(self) -> None: ...

    def backward(self, loss: Tensor) -> None: ...

    def step(self, step: int, progress: float) -> float: ...

    @property
    def learning_rate(self) -> float: ...

    def save(self, folder: Path, name: str) -> None:
        """Writes the optimizer's state; called by every process."""

    def load(self, folder: Path, name: str) -> None:
        """Reads it; raises ValueError where it was saved by another way of training."""

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
        self.optimizer = optimizer
        self.settings = settings
        self.processes = processes
        self.learning_rate = 0.0
        self._parameters = [p for p in module.parameters() if p.requires_grad]

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

    def save(self, folder: Path, name: str) -> None:
        if self.processes.is_main:
            storage.write_tree(folder / "optimizer" / name, self.optimizer.state_dict())

    def load(self, folder: Path, name: str) -> None:
        if not (folder / "optimizer" / f"{name}.json").is_file():
            raise ValueError("it was saved under DeepSpeed")
        state = storage.read_tree(folder / "optimizer" / name)
        load_optimizer_state(self.optimizer, state)

    def close(self) -> None:
        """Nothing to do."""
