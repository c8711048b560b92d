"""Masks and neighbourhoods, in NumPy alone, so that reading needs no image library."""

import math
from functools import cache

import numpy as np


def connected_components(mask: np.ndarray, most: int) -> list[np.ndarray] | None:
    """The mask's 8-connected components, one mask [h, w] each, or None if more than `most`.

    Runs of pixels within rows are joined where runs of neighbouring rows touch.
    """
    steps = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    rows, starts = np.nonzero(steps == 1)
    stops = np.nonzero(steps == -1)[1]
    if len(rows) > most * len(mask):  # a row crosses a shape once or twice: this is clutter
        return None
    upper_runs, lower_runs = np.nonzero(
        (rows[:, None] + 1 == rows) & (starts[:, None] <= stops) & (starts <= stops[:, None])
    )
    roots = list(range(len(rows)))

    def root(run: int) -> int:
        while roots[run] != run:
            run = roots[run]
        return run

    for upper, lower in zip(upper_runs.tolist(), lower_runs.tolist(), strict=True):
        upper, lower = sorted((root(upper), root(lower)))
        roots[lower] = upper
    found: dict[int, np.ndarray] = {}
    for run, row in enumerate(rows.tolist()):
        component = found.setdefault(root(run), np.zeros_like(mask))
        component[row, starts[run] : stops[run]] = True
        if len(found) > most:
            return None
    return list(found.values())


def grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    """The mask [h, w] and all within so many pixels of it, diagonally too."""
    height, width = mask.shape
    return _window(height, pixels) @ mask.astype(np.float32) @ _window(width, pixels) > 0


def smoothed(maps: np.ndarray, sigma: float) -> np.ndarray:
    """Each map [..., h, w] filtered by a Gaussian (sigma in pixels), as if zeros lay around it."""
    height, width = maps.shape[-2:]
    return _gaussian(height, sigma) @ maps @ _gaussian(width, sigma)


@cache
def area_averaging(length: int, shorter_length: int) -> np.ndarray:
    """Matrix [shorter_length, length] that shrinks a line of pixels; each new pixel is the mean of
    what it covers, pixels in part counting in part."""
    edges = np.arange(shorter_length + 1) * (length / shorter_length)
    starts = np.arange(length)
    covered = np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts)
    return (np.maximum(covered, 0) * (shorter_length / length)).astype(np.float32)


# Filters as matrices: at 64 pixels, two products are faster than any convolution.
@cache
def _window(length: int, reach: int) -> np.ndarray:
    return (np.abs(_distances(length)) <= reach).astype(np.float32)


@cache
def _gaussian(length: int, sigma: float) -> np.ndarray:
    # Cut where it no longer matters: tiny numbers are slow to multiply.
    reach = math.ceil(4 * sigma)
    norm = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2).sum()
    weights = np.exp(-0.5 * (_distances(length) / sigma) ** 2) / norm
    return (weights * _window(length, reach)).astype(np.float32)


def _distances(length: int) -> np.ndarray:
    positions = np.arange(length)
    return positions[:, None] - positions
