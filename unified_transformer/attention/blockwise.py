"""Attention over gathered blocks: cost O(n * sqrt(n)) instead of O(n^2).

A query block is one line of the grid: a row for `row` and `conv`, a column (on the transposed grid)
for `column`. Its keys are the text, [BOI] and the few lines that the pattern lets it see; which of
those keys each query sees comes from the pattern's predicate.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor

from unified_transformer.attention.dense import dense_attention, expand_mask, prefix_mask
from unified_transformer.attention.kernel import attend
from unified_transformer.attention.patterns import CONV_RADIUS, sees
from unified_transformer.sequence import Sequence

LINES_BEFORE = {"row": 1, "column": 0, "conv": CONV_RADIUS}
"""How many lines before its own a query's pattern reaches; as many after it when two-sided."""


@lru_cache(maxsize=64)
def block_mask(pattern: str, height: int, width: int, two_sided: bool) -> Tensor:
    """Boolean [line, query, key]: what the queries of each line see of their gathered lines.

    Keys outside the grid (before the first line, after the last) are False.
    """
    raster = torch.arange(height * width).reshape(height, width)
    lines = raster.T if pattern == "column" else raster
    gathered = gather_lines(lines[None, None, :, :, None], pattern, two_sided, fill=-1)
    keys = rearrange(gathered, "1 1 line key 1 -> line 1 key")
    queries = rearrange(lines, "line query -> line query 1")
    return (keys >= 0) & sees(pattern, queries, keys, width, two_sided)


def gather_lines(lines: Tensor, pattern: str, two_sided: bool, fill: int = 0) -> Tensor:
    """The lines each line's queries can reach, side by side.

    `lines` [batch, heads, line, position, dim] -> [batch, heads, line, reach * position, dim].
    Built from shifted slices, whose backward pass is a sum of slices (no scatter).
    """
    count = lines.shape[2]
    before = min(LINES_BEFORE[pattern], count - 1)
    after = before if two_sided else 0
    if before == 0:
        return lines
    padded = F.pad(lines, (0, 0, 0, 0, before, after), value=fill)
    return torch.cat([padded[:, :, i : i + count] for i in range(before + 1 + after)], dim=3)


def image_attention(
    query: Tensor, key: Tensor, value: Tensor, sequence: Sequence, pattern: str, dropout: float
) -> Tensor:
    """What the image positions attend to; all tensors [batch, heads, position, dim]."""
    image, two_sided = sequence.image_slice, sequence.image_is_source
    height, width = sequence.grid
    layout = "b h (row column) d -> b h row column d"
    if pattern == "column":
        layout = "b h (row column) d -> b h column row d"

    def to_lines(tensor: Tensor) -> Tensor:
        return rearrange(tensor[:, :, image], layout, row=height)

    lines = height if pattern != "column" else width
    keys = to_blocks(key, gather_lines(to_lines(key), pattern, two_sided), image.start)
    values = to_blocks(value, gather_lines(to_lines(value), pattern, two_sided), image.start)
    queries = rearrange(to_lines(query), "b h line query d -> (b line) h query d")
    mask = sequence.cached(("blockwise", pattern), lambda: full_block_mask(sequence, pattern))
    out = attend(queries, keys, values, mask, dropout)
    back = "(b line) h query d -> b h (line query) d"
    if pattern == "column":
        back = "(b line) h query d -> b h (query line) d"
    return rearrange(out, back, line=lines)


def to_blocks(tensor: Tensor, gathered: Tensor, prefix: int) -> Tensor:
    """Prefix keys in front of each line's gathered keys: [(batch line), heads, key, dim]."""
    shared = repeat(tensor[:, :, :prefix], "b h p d -> (b line) h p d", line=gathered.shape[2])
    return torch.cat([shared, rearrange(gathered, "b h line k d -> (b line) h k d")], dim=2)


def full_block_mask(sequence: Sequence, pattern: str) -> Tensor:
    """Boolean [(batch line), 1, query, prefix + gathered keys]."""
    height, width = sequence.grid
    inside = block_mask(pattern, height, width, sequence.image_is_source).to(sequence.real.device)
    prefix = expand_mask(prefix_mask(sequence)[1], inside.shape[1])
    batch = prefix.shape[0]
    return torch.cat(
        [
            repeat(prefix, "b 1 q p -> (b line) 1 q p", line=inside.shape[0]),
            repeat(inside, "line q k -> (b line) 1 q k", b=batch),
        ],
        dim=-1,
    )


def blockwise_attention(
    query: Tensor, key: Tensor, value: Tensor, sequence: Sequence, pattern: str, dropout: float
) -> Tensor:
    """Attention through gathered blocks; equal to `dense_attention` up to rounding.

    Shapes: query, key, value [batch, heads, position, dim]; returns the same.
    """
    if pattern == "dense" or sequence.grid == (0, 0):
        return dense_attention(query, key, value, sequence, pattern, dropout)
    prefix = sequence.image_slice.start
    before_image = attend(query[:, :, :prefix], key, value, prefix_mask(sequence)[0], dropout)
    image = image_attention(query, key, value, sequence, pattern, dropout)
    return torch.cat([before_image, image], dim=2)
