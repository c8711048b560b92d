"""Reproducible noise: a number for every (seed, position, id), the same on every device.

Noise is a function, not a stream: it does not depend on what else is drawn beside a picture, nor on
the order in which its positions are drawn, and none of it is stored.
"""

import torch
from torch import Tensor

_INCREMENT = -7046029254386353131  # 0x9E3779B97F4A7C15
_MULTIPLIERS = (
    -4658895280553007687,  # 0xBF58476D1CE4E5B9
    -7723592293110705685,  # 0x94D049BB133111EB
)


def mix(x: Tensor) -> Tensor:
    """The finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): int64 -> int64, one to one,
    every bit of the result depending on every bit of `x`. Products wrap around."""
    first, second = _MULTIPLIERS
    x = (x ^ _shift(x, 30)) * first
    x = (x ^ _shift(x, 27)) * second
    return x ^ _shift(x, 31)


def gumbel_noise(seeds: Tensor, positions: Tensor, size: int) -> Tensor:
    """Standard Gumbel noise, float32 [..., size].

    `seeds` and `positions` are int64 of shapes that broadcast to [...]; the noise of an entry
    depends on its seed, its position and its place among the `size` alone. The id with the largest
    sum of log-probability and noise is a draw from the distribution (1411.0030, section 2).
    """
    state = mix(mix(seeds + _INCREMENT) + positions)
    places = torch.arange(1, size + 1, device=state.device) * _INCREMENT
    uniform = (_shift(mix(state[..., None] + places), 32).float() + 0.5) * 2.0**-32
    # Winners have uniforms near 0 in this form, where single precision is finest; near 1 it would
    # round to 1, which has no logarithm.
    return -torch.log(-torch.log1p(-uniform.clamp(max=1 - 2.0**-24)))


def _shift(x: Tensor, bits: int) -> Tensor:
    """Shifts right and fills with zeros (`>>` repeats the sign)."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)
