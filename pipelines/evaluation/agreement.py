"""How far raters agree beyond chance."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

Value = TypeVar("Value", int, str)
Distances = Callable[[np.ndarray], np.ndarray]


def ordinal(counts: np.ndarray) -> np.ndarray:
    """Squared distances between values in ascending order, by how many answers lie between."""
    up_to = counts.cumsum() - counts / 2  # half of its own: the difference has half of either end
    return np.square(up_to[:, None] - up_to[None, :])


def nominal(counts: np.ndarray) -> np.ndarray:
    """1 between different values."""
    return 1 - np.eye(len(counts))


def krippendorff_alpha(units: Sequence[Sequence[Value]], distances: Distances) -> float | None:
    """1 where raters agree, 0 where they do as by chance, less where they contradict each other.

    Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section D, which takes any
    number of raters and answers that are missing.

    Args:
        units: the answers to each thing that was rated, by those who answered.
        distances: `ordinal` or `nominal`.

    Returns:
        None where nothing was rated twice, or all answers are the same: there is nothing that
        raters could have told apart.
    """
    paired = [unit for unit in units if len(unit) > 1]
    values = sorted({value for unit in paired for value in unit})
    if len(values) < 2:
        return None
    coincidences = np.zeros((len(values), len(values)))
    for unit in paired:
        counts = np.array([unit.count(value) for value in values], float)
        # All ordered pairs of two raters' answers.
        coincidences += (np.outer(counts, counts) - np.diag(counts)) / (len(unit) - 1)
    totals = coincidences.sum(axis=0)
    squares = distances(totals)
    observed = (coincidences * squares).sum()
    expected = (np.outer(totals, totals) * squares).sum() / (totals.sum() - 1)
    return float(1 - observed / expected)
