"""The grid in lines, and which of them the queries of a line see.

A line is a row of the grid for the patterns `row` and `conv`, a column for `column`. What a line's
queries see lies in a few lines around it; which positions there, the pattern's predicate says.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from unified_transformer.attention.kernel import as_bias
from unified_transformer.attention.patterns import CONV_RADIUS, sees

LINES_BEFORE = {"row": 1, "column": 0, "conv": CONV_RADIUS}
"""How many lines before its own a query's pattern reaches; as many after it when two-sided."""


@dataclass(frozen=True)
class Lines:
    """A grid's lines, and what of each other they see."""

    pattern: str
    height: int
    width: int
    two_sided: bool

    @property
    def count(self) -> int:
        return self.width if self.pattern == "column" else self.height

    @property
    def length(self) -> int:
        return self.height if self.pattern == "column" else self.width

    def of(self, image: Tensor) -> Tensor:
        """`image` [batch, h * w, dim] as lines: a view [batch, line, position, dim]."""
        grid = image.unflatten(1, (self.height, self.width))
        return grid.transpose(1, 2) if self.pattern == "column" else grid

    def order(self) -> Tensor:
        """Raster indices [n], line after line."""
        raster = torch.arange(self.height * self.width)
        return self.of(raster[None, :, None]).flatten()

    def blocks(self, at_once: int = 1) -> Iterator["Block"]:
        """All lines, `at_once` together."""
        before = LINES_BEFORE[self.pattern]
        after = before if self.two_sided else 0
        for first in range(0, self.count, at_once):
            last = min(first + at_once, self.count)
            start, stop = max(0, first - before), min(last + after, self.count)
            yield Block(self, slice(first, last), slice(start, stop))


@dataclass(frozen=True)
class Block:
    """The queries of some lines, and the lines of keys that they see: slices of lines."""

    lines: Lines
    queries: slice
    keys: slice

    def mask(self) -> Tensor | None:
        """Boolean [query, key] (True = visible), None where all is visible."""
        return block_mask(self.lines, *self._around())

    def bias(self, dtype: torch.dtype, device: torch.device) -> Tensor | None:
        """`mask` as what to add to scores."""
        return block_bias(self.lines, *self._around(), dtype, device)

    def _around(self) -> tuple[int, int, int]:
        """How many lines of keys come before those of the queries, are theirs, and come after."""
        own = self.queries
        return own.start - self.keys.start, own.stop - own.start, self.keys.stop - own.stop


@lru_cache(maxsize=256)
def block_mask(lines: Lines, before: int, own: int, after: int) -> Tensor | None:
    """What the queries of `own` lines see of the `before` lines before them, of themselves and of
    the `after` lines after them: the same for all lines that have as many around them."""
    count = before + own + after
    column = lines.pattern == "column"
    height, width = (lines.height, count) if column else (count, lines.width)
    keys = Lines(lines.pattern, height, width, lines.two_sided).order()
    queries = keys[before * lines.length : (before + own) * lines.length]
    mask = sees(lines.pattern, queries[:, None], keys, width, lines.two_sided)
    return None if mask.all() else mask


@lru_cache(maxsize=256)
def block_bias(
    lines: Lines, before: int, own: int, after: int, dtype: torch.dtype, device: torch.device
) -> Tensor | None:
    """`block_mask`, where it is used again and again."""
    mask = block_mask(lines, before, own, after)
    return None if mask is None else as_bias(mask, dtype).to(device)
