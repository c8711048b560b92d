"""Noise that belongs to a picture's place in the global batch, whichever process draws it."""

import numpy as np
import torch
from torch import Tensor

from gan.generators import Generator
from gan.terms import AllProcesses

# Keeps the noise independent of what else is drawn from the same seed.
NOISE_STREAM = 0x6A4E


def noise_of_a_step(
    generator: Generator, count: int, processes: AllProcesses, key: tuple[int, ...]
) -> Tensor:
    """This process's part [count, noise_dim] of the noise of a pass, which has a key."""
    lots = np.random.SeedSequence((*key, NOISE_STREAM))
    everyones = torch.Generator().manual_seed(int(lots.generate_state(1)[0]))
    first = processes.rank * count
    return generator.noise(processes.world_size * count, everyones)[first : first + count]
