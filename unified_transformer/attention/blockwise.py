"""Attention line by line: cost and memory O(n * sqrt(n)) instead of O(n^2), forward and backward.

The image's queries are taken some lines at a time; the keys of a group of lines are the prefix and
the few lines around that the pattern reaches. Only the scores of some groups exist at a time, few
enough for a processor's cache, and the backward pass computes them again instead of keeping them
(as FlashAttention does, 2205.14135, section 3.1). The loop is one operator, so that `torch.compile`
sees one node and not thousands.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unified_transformer.attention.dense import dense_attention
from unified_transformer.attention.kernel import as_bias
from unified_transformer.attention.lines import LINES_BEFORE, Block, Lines
from unified_transformer.sequence import Sequence

LINES_OF_A_GROUP = {"row": 1, "column": 1, "conv": 2}
"""Lines of queries that share a window of keys: more of them copy fewer keys, and hide more."""

SCORES_AT_ONCE, SCORES_OF_A_HEAD = 2**19, 2**14
"""Groups are taken together up to so many scores in all, in a processor's cache, or so many of each
head: products of many small matrices in one call."""


def blockwise_attention(
    query: Tensor, key: Tensor, value: Tensor, sequence: Sequence, pattern: str, dropout: float
) -> Tensor:
    """Attention line by line; equal to `dense_attention` up to rounding.

    Shapes: query, key, value [batch, heads, position, dim]; returns the same.
    """
    if pattern == "dense" or sequence.grid == (0, 0):
        return dense_attention(query, key, value, sequence, pattern, dropout)
    prefix = sequence.image_slice.start
    before, image = sequence.cached(
        "blockwise",
        lambda: (
            sequence.visible(slice(0, prefix)),
            sequence.visible(slice(prefix, prefix + 1))[..., :prefix],  # the same for all of it
        ),
    )
    seed = torch.randint(2**62, ()) if dropout else torch.zeros((), dtype=torch.long)
    flat = (tensor.flatten(0, 1) for tensor in (query, key, value))
    shape = (pattern, *sequence.grid, sequence.image_is_source)
    return _attend(*flat, before, image, seed, dropout, *shape).unflatten(0, query.shape[:2])


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

    `before` [batch, prefix, position] and `image` [batch, 1, prefix]: the rule, for the queries
    before the image and for what the image's see there. `like` [batch * heads, position, dim].
    """
    heads, prefix = len(like) // len(before), before.shape[1]

    def bias_of(mask: Tensor) -> Tensor | None:
        if mask.all():
            return None
        return as_bias(mask, like.dtype).repeat_interleave(heads, dim=0)

    # As target the image is hidden from what comes before it; as source it sees only [BOI] of that.
    whole = Block(lines, 0, 1, lines.count, 0, 0) if lines.two_sided else None
    yield Piece(None, slice(0, prefix), whole, bias_of(before[..., :prefix]), None)
    seen = slice(prefix - 1 if lines.two_sided else 0, prefix)
    seen_bias = bias_of(image[..., seen])
    own = LINES_OF_A_GROUP[lines.pattern]
    window = own + LINES_BEFORE[lines.pattern] * (2 if lines.two_sided else 1)
    scores = own * lines.length * (seen.stop - seen.start + window * lines.length)
    groups = max(1, SCORES_OF_A_HEAD // scores, SCORES_AT_ONCE // (scores * len(like)))
    for block in lines.blocks(own, groups):
        bias = block.bias(like.dtype, like.device)
        yield Piece(block, seen, block, seen_bias, bias)


class Dropout:
    """Dropout that the backward pass repeats: the same seed, the same calls, the same choices."""

    def __init__(self, share: float, seed: Tensor, device: torch.device) -> None:
        self.share = share
        self.generator = torch.Generator(device)
        self.generator.manual_seed(int(seed))

    def factors(self, weights: Tensor) -> Tensor | None:
        """What to multiply weights by; None for nothing."""
        if self.share == 0:
            return None
        kept = torch.empty_like(weights).bernoulli_(1 - self.share, generator=self.generator)
        return kept.div_(1 - self.share)


@torch.library.custom_op("drawscribe::attend_in_lines", mutates_args=())
def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    before: Tensor,
    image: Tensor,
    seed: Tensor,
    dropout: float,
    pattern: str,
    height: int,
    width: int,
    two_sided: bool,
) -> Tensor:
    lines, prefix = Lines(pattern, height, width, two_sided), before.shape[1]
    out, scale = torch.empty_like(query), query.shape[-1] ** -0.5
    q, k, v, o = (Parts(tensor, prefix, lines) for tensor in (query * scale, key, value, out))
    dropping = Dropout(dropout, seed, query.device)
    for piece in pieces(before, image, lines, query):
        weights = piece.weights(q.queries(piece), k.keys(piece))
        if (factors := dropping.factors(weights)) is not None:
            weights *= factors
        o.write(piece, weights @ v.keys(piece))
    return out


@_attend.register_fake
def _(query: Tensor, *_: object) -> Tensor:
    return torch.empty_like(query)


@torch.library.custom_op("drawscribe::attend_in_lines_backward", mutates_args=())
def _attend_backward(
    gradient: Tensor,
    out: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    before: Tensor,
    image: Tensor,
    seed: Tensor,
    dropout: float,
    pattern: str,
    height: int,
    width: int,
    two_sided: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    lines, prefix = Lines(pattern, height, width, two_sided), before.shape[1]
    of_query, scale = torch.empty_like(query), query.shape[-1] ** -0.5
    # Many lines add to the same keys: in single precision at least.
    of_key = torch.zeros_like(key, dtype=torch.promote_types(key.dtype, torch.float32))
    of_value = torch.zeros_like(of_key)
    q, k, v, o = (Parts(tensor, prefix, lines) for tensor in (query * scale, key, value, out))
    dq, dk, dv, do = (
        Parts(tensor, prefix, lines) for tensor in (of_query, of_key, of_value, gradient)
    )
    dropping = Dropout(dropout, seed, query.device)
    for piece in pieces(before, image, lines, query):
        queries, keys, of_out = q.queries(piece), k.keys(piece), do.queries(piece)
        weights = piece.weights(queries, keys)
        of_weights = of_out @ v.keys(piece).mT
        dropped = weights
        if (factors := dropping.factors(weights)) is not None:
            dropped, of_weights = weights * factors, of_weights.mul_(factors)
        dv.add(piece, dropped.mT @ of_out)
        # The sum over keys of weight * its gradient (2205.14135, appendix B.4).
        common = (of_out * o.queries(piece)).sum(dim=-1, keepdim=True)
        of_scores = of_weights.sub_(common).mul_(weights)
        dq.write(piece, of_scores @ keys)
        dk.add(piece, of_scores.mT @ queries)
    return of_query.mul_(scale), of_key.to(key.dtype), of_value.to(value.dtype)


@_attend_backward.register_fake
def _(gradient: Tensor, out: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    return tuple(torch.empty_like(tensor) for tensor in inputs[:3])


def _keep(ctx: Any, inputs: tuple, output: Tensor) -> None:
    ctx.save_for_backward(output, *inputs[:6])
    ctx.settings = inputs[6:]


def _backward(ctx: Any, gradient: Tensor) -> tuple:
    gradients = _attend_backward(gradient.contiguous(), *ctx.saved_tensors, *ctx.settings)
    return (*gradients, *[None] * 8)


_attend.register_autograd(_backward, setup_context=_keep)
