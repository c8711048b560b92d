"""Means over seeds, and what they decide."""

import math
from collections.abc import Sequence
from statistics import fmean, stdev

T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""Student's t at 97.5 % for 1, 2, ... degrees of freedom: two-sided intervals of 95 %."""

HOLDS, FAILS, UNDECIDED = "holds here", "does not hold here", "the noise cannot decide"
NOTHING = "—"
"""In a table, where nothing was run."""


def interval(differences: Sequence[float]) -> tuple[float, float]:
    """The 95 % confidence interval of the mean of paired differences, by Student's t; all numbers
    where there are fewer than two."""
    if len(differences) < 2:
        return -math.inf, math.inf
    freedom = min(len(differences) - 1, len(T_95))
    half = T_95[freedom - 1] * stdev(differences) / math.sqrt(len(differences))
    return fmean(differences) - half, fmean(differences) + half


def verdict(gains: Sequence[float], margin: float = 0.0) -> str:
    """Of the claim that something is better (or, with a `margin`, not worse by more than it), from
    its gain in each pair of runs with the same seed; positive is better."""
    low, high = interval(gains)
    if low > -margin:
        return HOLDS
    return FAILS if high < -margin else UNDECIDED


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Mean ± standard deviation over seeds, for a table."""
    if not values:
        return NOTHING
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{fmean(values):.{digits}f} ± {stdev(values):.{digits}f}"
