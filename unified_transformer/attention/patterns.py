"""Which image positions an image position may see: one predicate per pattern.

Each predicate takes raster indices (i = row * width + column) and is plain elementwise arithmetic,
so it serves boolean masks, gathered blocks, the cache and `flex_attention` alike. Everything else
in this package is derived from these four functions or tested against them.

Source: DALL-E (2102.12092, appendix B.1, figure 11); ERNIE-ViLG (2112.15283, section 3.3) for the
two-sided form. Ours has no wrap-around at the edges of the convolutional window.
"""

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

CONV_RADIUS = 5
"""Half of DALL-E's 11 x 11 convolutional window, without its centre."""


def row(query: Tensor, key: Tensor, width: int) -> Tensor:
    """The previous `width` raster positions and itself: back to the cell directly above."""
    return (key <= query) & (query - key <= width)


def column(query: Tensor, key: Tensor, width: int) -> Tensor:
    """The same column, in this row and those above."""
    return (key <= query) & (query % width == key % width)


def conv(query: Tensor, key: Tensor, width: int) -> Tensor:
    """The 11 x 11 neighbourhood, as far as it comes earlier in raster order, and itself."""
    rows_apart = query // width - key // width
    columns_apart = query % width - key % width
    return (key <= query) & (rows_apart <= CONV_RADIUS) & (columns_apart.abs() <= CONV_RADIUS)


def dense(query: Tensor, key: Tensor, width: int) -> Tensor:
    """All earlier positions, and itself."""
    return key <= query


PATTERNS: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {
    "row": row,
    "column": column,
    "conv": conv,
    "dense": dense,
}


def sees(pattern: str, query: Tensor, key: Tensor, width: int, two_sided: bool) -> Tensor:
    """Whether image position `query` sees image position `key`; raster indices, broadcast together.

    `two_sided` is the form for the image as source: the pattern together with its transpose.
    """
    predicate = PATTERNS[pattern]
    seen = predicate(query, key, width)
    return seen | predicate(key, query, width) if two_sided else seen


@lru_cache(maxsize=64)
def image_mask(pattern: str, height: int, width: int, two_sided: bool) -> Tensor:
    """Boolean [n, n] (query, key) over the image positions of a `height` x `width` grid."""
    index = torch.arange(height * width)
    return sees(pattern, index[:, None], index[None, :], width, two_sided)


def default_layer_patterns(num_layers: int) -> tuple[str, ...]:
    """Layer i of L, 1-based: the last is `conv`, `column` where i mod 4 = 2, else `row`.

    Raises ValueError below three layers, where rows and columns cannot reach every position.
    """
    if num_layers < 3:
        raise ValueError(
            f"the default layer_patterns need at least 3 layers and there are {num_layers}; "
            "add layers or name layer_patterns, for example [dense]"
        )
    inner = ["column" if i % 4 == 2 else "row" for i in range(1, num_layers)]
    return (*inner, "conv")


def tile_layer_patterns(patterns: tuple[str, ...], num_layers: int) -> tuple[str, ...]:
    """The given order repeated over the depth, taken literally."""
    if not patterns:
        raise ValueError("layer_patterns is empty; name at least one of " + ", ".join(PATTERNS))
    for pattern in patterns:
        if pattern not in PATTERNS:
            raise ValueError(f"layer_patterns has {pattern!r}, not one of " + ", ".join(PATTERNS))
    return tuple(patterns[i % len(patterns)] for i in range(num_layers))
