"""What the loop of `blockwise` takes at a time: queries of some lines, and the keys they see."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from unified_transformer.attention.kernel import as_bias
from unified_transformer.attention.lines import LINES_BEFORE, Block, Lines

LINES_OF_A_GROUP = {"row": 1, "column": 1, "conv": 2}
"""Lines of queries that share a window of keys: more of them copy fewer keys, and hide more."""

BYTES_AT_ONCE, SCORES_OF_A_HEAD = 2**20, 2**14
"""Groups are taken together while their scores fill no more bytes than half of a processor's cache,
or are no more of each head: products of many small matrices in one call."""


@dataclass(frozen=True)
class Piece:
    """The queries of some lines, and what they attend to: the positions `seen` before the image and
    the lines around them. None for `queries`: those before the image; None for `keys`: none of the
    image's.

    What hides keys from queries is added to their scores.
    """

    queries: Block | None
    seen: slice
    keys: Block | None
    seen_bias: Tensor | None
    keys_bias: Tensor | None

    @property
    def groups(self) -> int:
        """How many groups of queries there are, each with keys of its own."""
        return 1 if self.queries is None else self.queries.groups

    def weights(self, query: Tensor, keys: Tensor) -> Tensor:
        """Softmax weights [batch * heads * group, query, key] of scaled queries over gathered
        keys."""
        scores = query @ keys.mT
        count = self.seen.stop - self.seen.start
        if self.seen_bias is not None:
            to_seen = scores.unflatten(0, (-1, self.groups))[..., :count]
            to_seen.add_(self.seen_bias[:, None])
        if self.keys_bias is not None:
            scores[..., count:].add_(self.keys_bias)
        return scores.softmax(dim=-1)


class Parts:
    """A tensor [batch * heads, position, dim] as what comes before the image, and the image's
    lines; both views of it."""

    def __init__(self, tensor: Tensor, prefix: int, lines: Lines) -> None:
        self.before = tensor[:, :prefix]
        self.lines = lines.of(tensor[:, prefix:])

    def queries(self, piece: Piece) -> Tensor:
        """What belongs to its queries, [batch * heads * group, query, dim]."""
        if piece.queries is None:
            return self.before
        return piece.queries.queries(self.lines).flatten(0, 1)

    def write(self, piece: Piece, rows: Tensor) -> None:
        """The other way: `rows` [batch * heads * group, query, dim] to where its queries are."""
        if piece.queries is None:
            self.before.copy_(rows)
        else:
            piece.queries.write_queries(self.lines, rows.unflatten(0, (-1, piece.groups)))

    def keys(self, piece: Piece) -> Tensor:
        """What belongs to its keys, side by side, [batch * heads * group, key, dim]."""
        seen = self.before[:, piece.seen]
        if piece.keys is None:
            return seen
        seen = seen[:, None].expand(-1, piece.groups, -1, -1)
        return torch.cat([seen, piece.keys.keys(self.lines)], dim=2).flatten(0, 1)

    def add(self, piece: Piece, rows: Tensor) -> None:
        """The other way: adds `rows` [batch * heads * group, key, dim] to where its keys are."""
        grouped = rows.unflatten(0, (-1, piece.groups))
        count = piece.seen.stop - piece.seen.start
        of_seen = grouped[:, :, :count]
        self.before[:, piece.seen].add_(of_seen.sum(dim=1, dtype=self.before.dtype))
        if piece.keys is not None:
            piece.keys.add_keys(self.lines, grouped[:, :, count:])


def pieces(before: Tensor, image: Tensor, lines: Lines, like: Tensor) -> Iterator[Piece]:
    """First the positions before the image, then its lines.

    `before` [batch, prefix, position] and `image` [batch, 1, seen]: the rule, for the queries
    before the image, and for the image's of the last `seen` positions there, which are all that
    they may see. `like` [batch * heads, position, dim].
    """
    heads, prefix = len(like) // len(before), before.shape[1]

    def bias_of(mask: Tensor) -> Tensor | None:
        if mask.all():
            return None
        return as_bias(mask, like.dtype).repeat_interleave(heads, dim=0)

    # As target the image is hidden from what comes before it.
    whole = Block(lines, 0, 1, lines.count, 0, 0) if lines.two_sided else None
    yield Piece(None, slice(0, prefix), whole, bias_of(before[..., :prefix]), None)
    seen, seen_bias = slice(prefix - image.shape[-1], prefix), bias_of(image)
    own = LINES_OF_A_GROUP[lines.pattern]
    window = own + LINES_BEFORE[lines.pattern] * (2 if lines.two_sided else 1)
    scores = own * lines.length * (seen.stop - seen.start + window * lines.length)
    size = scores * len(like) * like.element_size()
    groups = max(1, SCORES_OF_A_HEAD // scores, BYTES_AT_ONCE // size)
    for block in lines.blocks(own, groups):
        bias = block.bias(like.dtype, like.device)
        yield Piece(block, seen, block, seen_bias, bias)
