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

    def blocks(self, own: int = 1, groups: int = 1) -> Iterator["Block"]:
        """All lines in groups of `own`, as many as `groups` of them together where they have the
        same around them; at the edges, where fewer lines are around, in one group."""
        reach = LINES_BEFORE[self.pattern]
        after = reach if self.two_sided else 0
        first = 0
        while first < self.count:
            left = self.count - first
            whole = min(groups, (left - after) // own) if first >= reach else 0
            if whole > 0:
                yield Block(self, first, whole, own, reach, after)
                first += whole * own
            else:
                edge = min(reach - first, left) if first < reach else left
                yield Block(self, first, 1, edge, min(reach, first), min(after, left - edge))
                first += edge


@dataclass(frozen=True)
class Block:
    """Neighbouring groups of lines: queries, and the window of keys that each group sees.

    A group is `own` lines, the first one from line `first` on; its window is these, `before` lines
    before and `after` lines after them. Tensors of lines are [batch, line, position, dim].
    """

    lines: Lines
    first: int
    groups: int
    own: int
    before: int
    after: int

    @property
    def window(self) -> int:
        """Lines of keys of a group."""
        return self.before + self.own + self.after

    def queries(self, lines: Tensor) -> Tensor:
        """What belongs to the queries, [batch, group, query, dim]."""
        return self._of_queries(lines).unflatten(1, (self.groups, self.own)).flatten(2, 3)

    def write_queries(self, lines: Tensor, rows: Tensor) -> None:
        """The other way: `rows` [batch, group, query, dim] to where the queries are."""
        there = self._of_queries(lines)
        there.copy_(rows.unflatten(2, (self.own, -1)).flatten(1, 2))

    def keys(self, lines: Tensor) -> Tensor:
        """What belongs to the keys, [batch, group, key, dim]."""
        start = self.first - self.before
        stop = start + (self.groups - 1) * self.own + self.window
        windows = lines[:, start:stop].unfold(1, self.window, self.own)
        return windows.movedim(-1, 2).flatten(2, 3)

    def add_keys(self, lines: Tensor, rows: Tensor) -> None:
        """The other way: adds `rows` [batch, group, key, dim] to where the keys are; windows
        overlap."""
        parts = rows.unflatten(2, (self.window, -1))
        start = self.first - self.before
        if self.groups == 1:
            lines[:, start : start + self.window].add_(parts[:, 0])
            return
        last = (self.groups - 1) * self.own
        for line in range(start, start + self.window):
            lines[:, line : line + last + 1 : self.own].add_(parts[:, :, line - start])

    def mask(self) -> Tensor | None:
        """Boolean [query, key] (True = visible) of every group, None where all is visible."""
        return block_mask(self.lines, self.before, self.own, self.after)

    def bias(self, dtype: torch.dtype, device: torch.device) -> Tensor | None:
        """`mask` as what to add to scores."""
        return block_bias(self.lines, self.before, self.own, self.after, dtype, device)

    def _of_queries(self, lines: Tensor) -> Tensor:
        return lines[:, self.first : self.first + self.groups * self.own]


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
