"""Attention by `flex_attention` with block masks: for CUDA, where it skips what no query sees.

Blocks of queries and keys that see nothing of each other are skipped; which they are comes from the
pattern's predicate. In raster order every block of a `column` layer sees every earlier one, so its
image positions are put in column order, where only one band of blocks is left.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from unified_transformer.attention.dense import dense_attention
from unified_transformer.attention.lines import Lines
from unified_transformer.attention.patterns import sees
from unified_transformer.sequence import Sequence, allowed

BLOCK = 128
"""Queries, and keys, of one block: the size `flex_attention` is tuned for."""


@lru_cache
def compiled_flex_attention() -> Any:
    """Loaded where it is needed: the compiler alone takes seconds."""
    return torch.compile(flex_attention, dynamic=False)


def block_masked_attention(
    query: Tensor, key: Tensor, value: Tensor, sequence: Sequence, pattern: str, dropout: float
) -> Tensor:
    """Attention through block masks; equal to `dense_attention` up to rounding.

    Shapes: query, key, value [batch, heads, position, dim]; returns the same. It cannot drop
    attention weights: with `dropout` it is `dense_attention`.
    """
    if dropout:
        return dense_attention(query, key, value, sequence, pattern, dropout)
    mask = sequence.cached(("flex", pattern), lambda: block_mask(sequence, pattern))
    if pattern != "column" or sequence.grid == (0, 0):
        return run(query, key, value, mask)
    order, inverse = column_order(sequence.image_slice.start, *sequence.grid, query.device)
    query, key, value = (tensor.index_select(2, order) for tensor in (query, key, value))
    return run(query, key, value, mask).index_select(2, inverse)


def run(query: Tensor, key: Tensor, value: Tensor, mask: BlockMask) -> Tensor:
    """Compiled on a GPU; on a CPU, where compiling takes long and there is no backward pass
    (torch 2.15), as it is."""
    attend = compiled_flex_attention() if query.is_cuda else flex_attention
    out = attend(query, key, value, block_mask=mask)
    assert isinstance(out, Tensor)
    return out


@lru_cache(maxsize=16)
def column_order(
    prefix: int, height: int, width: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Positions with the image's in column order, and the way back; both [position]."""
    image = Lines("column", height, width, two_sided=False).order()
    order = torch.cat([torch.arange(prefix), prefix + image]).to(device)
    return order, order.argsort()


def rule(sequence: Sequence, pattern: str) -> Callable[[Tensor, Tensor], Tensor]:
    """visible(query, key) by the indices of positions, in column order for `column`; padding and
    questions aside."""
    prefix, (height, width) = sequence.image_slice.start, sequence.grid
    text, two_sided = sequence.text_positions, sequence.image_is_source

    def raster(index: Tensor) -> Tensor:
        in_columns = pattern == "column" and height > 0
        return index % height * width + index // height if in_columns else index

    def visible(query: Tensor, key: Tensor) -> Tensor:
        query_is_source = (query >= text) if two_sided else (query < text)
        key_is_source = (key >= text) if two_sided else (key < text)
        # The rule compares places; the order within the image is the pattern's to judge.
        by_rule = allowed(query_is_source, key_is_source, key <= query)
        in_image = (query >= prefix) & (key >= prefix)
        own = sees(pattern, raster(query - prefix), raster(key - prefix), max(1, width), two_sided)
        return torch.where(in_image, own, by_rule)

    return visible


def block_mask(sequence: Sequence, pattern: str) -> BlockMask:
    """Which blocks meet, from the shape alone, and within them the rule, padding and pattern."""
    visible, real, source = rule(sequence, pattern), sequence.real, sequence.source
    text, asked = sequence.text_positions, sequence.has_question
    length = real.shape[1]

    def mask_mod(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        seen = visible(query, key)
        if asked:
            # What is asked sees what is asked, not only its past, and so does all that follows.
            seen = seen | ((key < text) & source[batch, key])
        return real[batch, key] & seen

    meeting = blocks_that_meet(pattern, text, *sequence.grid, sequence.image_is_source, asked)
    partly, which, wholly, which_wholly = (t.to(real.device) for t in meeting)
    return BlockMask.from_kv_blocks(
        partly,
        which,
        wholly,
        which_wholly,
        BLOCK_SIZE=BLOCK,
        mask_mod=mask_mod,
        seq_lengths=(length, length),
    )


@lru_cache(maxsize=64)
def blocks_that_meet(
    pattern: str, text: int, height: int, width: int, image_is_source: bool, has_question: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """For each block of queries how many blocks of keys it meets in part, which, how many it sees
    as a whole, and which: int32 [1, 1, block] and [1, 1, block, block].

    Blocks with text among their keys count as met in part, as padding may lie there, or a question
    that all queries see.
    """
    length = text + 1 + height * width
    nothing = torch.empty(0, 0, dtype=torch.bool)
    shape = Sequence(nothing, nothing, text, (height, width), image_is_source)
    visible = rule(shape, pattern)
    count = -(-length // BLOCK)
    keys = torch.arange(count * BLOCK)
    partly, wholly = [], []
    for first in range(0, count * BLOCK, BLOCK):
        queries = torch.arange(first, first + BLOCK)[:, None]
        inside = (queries < length) & (keys < length)
        may_see = visible(queries, keys) | (has_question & (keys < text))
        seen = (may_see & inside).reshape(BLOCK, count, BLOCK)
        whole = seen.all(2).all(0)
        whole[: -(-text // BLOCK)] = False
        wholly.append(whole)
        partly.append(seen.any(2).any(0) & ~whole)
    return (*in_order(torch.stack(partly)), *in_order(torch.stack(wholly)))


def in_order(meets: Tensor) -> tuple[Tensor, Tensor]:
    """Counts and indices, those that meet first, of boolean [block, block]."""
    indices = meets.int().argsort(dim=1, descending=True, stable=True)
    return meets.sum(1).int()[None, None], indices.int()[None, None]
