"""What turns are made of: a batch as the players take it, and terms with their weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from einops import rearrange
from torch import Tensor, nn

from gan.text_encoders import TextBatch

Batch = dict[str, Tensor]
Turn = tuple[str, Iterator[dict[str, Tensor]]]
Terms = dict[str, tuple[float, Tensor]]
"""Weight and values (of pictures, or one number) of each term; figures have weight 0."""

LARGEST_PRIME = 2**31 - 1


class AllProcesses(Protocol):
    """The global batch: what a loss compares pictures with is that of all processes."""

    rank: int
    world_size: int

    def with_gradients(self, rows: Tensor) -> Tensor:
        """Rows [n, ...] of all processes; gradients are those of a mean over processes."""


@dataclass(frozen=True)
class Seen:
    """A batch as both players take it.

    groups: [b] numbers, equal where texts are.
    """

    pixels: Tensor
    texts: TextBatch | None = None
    groups: Tensor | None = None
    attributes: Tensor | None = None


def weighed(terms: Terms) -> dict[str, Tensor]:
    """The mean of each term, and "loss", their weighted sum."""
    means = {name: values.float().mean() for name, (_, values) in terms.items()}
    loss = torch.stack([weight * means[name] for name, (weight, _) in terms.items() if weight])
    return {**{name: mean.detach() for name, mean in means.items()}, "loss": loss.sum()}


def row_numbers(ids: Tensor, length: Tensor) -> Tensor:
    """A number for each row of ids [b, n], the same for the same first `length` [b] ids."""
    places = torch.arange(ids.shape[1], device=ids.device)
    real = places < rearrange(length, "b -> b 1")
    # Squared, so that two places cannot make up for each other; products stay below 2^62.
    mixed = (ids + 1) * 48271 % LARGEST_PRIME ^ (places + 1) * 16807 % LARGEST_PRIME
    mixed = mixed * mixed % LARGEST_PRIME
    return (mixed * mixed % LARGEST_PRIME * real).sum(dim=1)


def wrong_partners(groups: Tensor) -> tuple[Tensor, Tensor]:
    """For each text the next one in the batch that says something else [b], and whether there is
    one [b]: the pictures that it is wrong for."""
    count = len(groups)
    steps = torch.arange(1, count + 1, device=groups.device)
    others = (
        rearrange(steps, "k -> 1 k") + torch.arange(count, device=groups.device)[:, None]
    ) % count
    differs = groups[others] != rearrange(groups, "b -> b 1")
    first = differs.int().argmax(dim=1, keepdim=True)
    return others.gather(1, first)[:, 0], differs.any(dim=1)


def detached(texts: TextBatch | None) -> TextBatch | None:
    """Texts from which no gradient goes on to their encoder."""
    return None if texts is None else texts.map(Tensor.detach)


@contextmanager
def untouched(module: nn.Module) -> Iterator[None]:
    """The module passes gradients on, and neither collects any nor changes what it keeps (vectors
    of spectral normalization, statistics)."""
    training = module.training
    parameters = [p for p in module.parameters() if p.requires_grad]
    module.eval()
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        module.train(training)
        for parameter in parameters:
            parameter.requires_grad_(True)
