"""Rotary positions: queries and keys turn with their place, so that products see distances."""

import math

import torch
from einops import rearrange
from torch import Tensor

TURNED_SHARE = 0.5
"""Of each head's dimensions; the others compare contents wherever they stand, also text with image,
between whose places there is no distance (GPT-NeoX, 2204.06745, section 2.1.1, turns a quarter)."""


def turned_pairs(head_dim: int) -> int:
    """How many pairs of a head's dimensions turn."""
    return int(head_dim * TURNED_SHARE) // 2


def frequencies(count: int, positions: int) -> Tensor:
    """Radians a position, [count], in a geometric row as in RoFormer (2104.09864, section 3.2.2).

    From a quarter turn, which tells neighbours apart, down to 1 / positions, which tells the ends
    apart without turning further: slower ones would be the same everywhere.
    """
    fastest, slowest = math.pi / 2, 1 / positions
    return fastest * (slowest / fastest) ** (torch.arange(count) / max(1, count - 1))


def text_angles(positions: int, pairs: int) -> Tensor:
    """Radians [position, pairs] of the text positions."""
    return torch.arange(positions)[:, None] * frequencies(pairs, positions)


def image_angles(height: int, width: int, pairs: int) -> Tensor:
    """Radians [h * w, pairs] in raster order: half of the pairs turn with the row, half with the
    column (axial; 2403.13298, section 3.2)"""
    rows = torch.arange(height)[:, None] * frequencies(pairs // 2, height)
    columns = torch.arange(width)[:, None] * frequencies(pairs // 2, width)
    grid = [
        rearrange(rows, "h p -> h 1 p").expand(height, width, -1),
        rearrange(columns, "w p -> 1 w p").expand(height, width, -1),
    ]
    return rearrange(torch.cat(grid, dim=-1), "h w p -> (h w) p")


def turns(angles: Tensor) -> Tensor:
    """Cosines and sines [2, ...] of angles [...]."""
    return torch.stack([angles.cos(), angles.sin()])


def rotate(tensor: Tensor, turns: Tensor) -> Tensor:
    """Turns queries or keys [..., position, dim] by the cosines and sines `turns`
    [2, ..., position, pairs]: dimension i and i + pairs together (2104.09864, section 3.2.2, where
    neighbours are); the others stay."""
    pairs = turns.shape[-1]
    cos, sin = turns.to(tensor.dtype).unbind()
    first, second, rest = tensor.split([pairs, pairs, tensor.shape[-1] - 2 * pairs], dim=-1)
    turned = (
        torch.addcmul(first * cos, second, sin, value=-1),
        torch.addcmul(second * cos, first, sin),
    )
    return torch.cat([*turned, rest], dim=-1)


def sinusoids(positions: int, width: int) -> Tensor:
    """Start of a position embedding, [positions, width] of variance 1 (1706.03762, section 3.5):
    near places are alike, and a step of one place is the same turn everywhere."""
    angles = torch.arange(positions)[:, None] * frequencies(width // 2, positions)
    return math.sqrt(2) * torch.cat([angles.sin(), angles.cos()], dim=1)
