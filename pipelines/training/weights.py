"""How a process holds the weights of a player: whole, or (ZeRO 3) its share of each."""

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

import torch
from torch import Tensor, nn


class Weights(Protocol):
    """The weights of one module, by name.

    Attributes:
        held: what this process holds of each trainable weight. Who replaces its `data` does so
            within `changing`.
        shapes: of the whole trainable weights.
        size: the number of weights, trainable or not.
    """

    held: dict[str, Tensor]
    shapes: dict[str, torch.Size]
    size: int

    def whole(self, name: str, share: Tensor) -> Tensor:
        """What the shares that all processes hold make together; every process calls it."""

    def share(self, name: str, whole: Tensor) -> Tensor:
        """What this process holds of it."""

    def all(self) -> Iterator[tuple[str, Tensor]]:
        """The whole weights and buffers, one after the other; every process takes all of them."""

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Puts whole weights and buffers in place.

        Raises:
            ValueError: they are another module's.
        """

    def changing(self) -> AbstractContextManager:
        """Around every change of what is held."""

    def gathered(self, device: torch.device) -> AbstractContextManager:
        """While inside, the first process can use the module without the others. It then holds
        whole weights, on `device` where they had to be gathered."""


class WholeWeights:
    """Every process holds all of them."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self.held: dict[str, Tensor] = {**trainable(module)}
        self.shapes = {name: parameter.shape for name, parameter in self.held.items()}
        self.size = sum(parameter.numel() for parameter in module.parameters())

    def whole(self, name: str, share: Tensor) -> Tensor:
        return share

    def share(self, name: str, whole: Tensor) -> Tensor:
        return whole

    def all(self) -> Iterator[tuple[str, Tensor]]:
        yield from self._module.state_dict().items()

    def load(self, weights: Mapping[str, Tensor]) -> None:
        own = self._module.state_dict()
        check_fit(weights, {name: value.shape for name, value in own.items()})
        for name, value in own.items():
            value.copy_(weights[name])

    def changing(self) -> AbstractContextManager:
        return contextlib.nullcontext()

    def gathered(self, device: torch.device) -> AbstractContextManager:
        return contextlib.nullcontext()


def trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that are trained, by name."""
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


def check_fit(saved: Mapping[str, Tensor], own: Mapping[str, torch.Size]) -> None:
    """Raises:
    ValueError: the saved tensors have other names or shapes than our own.
    """
    if odd := sorted(saved.keys() ^ own.keys()):
        raise ValueError(f"{odd[0]!r} is on one side only")
    for name, shape in own.items():
        if saved[name].shape != shape:
            raise ValueError(
                f"{name!r} was {list(saved[name].shape)} and is {list(shape)} in this model"
            )
