"""Noise that belongs to a picture's place in the global batch, whichever process draws it."""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from gan.generators import Generator

# Keeps the noise independent of what else is drawn from the same seed.
NOISE_STREAM = 0x6A4E


class AllProcesses(Protocol):
    """The global batch: what a loss compares pictures with is that of all processes."""

    rank: int
    world_size: int

    def with_gradients(self, rows: Tensor) -> Tensor:
        """Rows [n, ...] of all processes; gradients are those of a mean over processes."""


def noise_of_a_step(
    generator: Generator, count: int, processes: AllProcesses, key: tuple[int, ...]
) -> Tensor:
    """This process's part [count, noise_dim] of the noise of a pass, which has a key."""
    lots = np.random.SeedSequence((*key, NOISE_STREAM))
    everyones = torch.Generator().manual_seed(int(lots.generate_state(1)[0]))
    first = processes.rank * count
    return generator.noise(processes.world_size * count, everyones)[first : first + count]
