"""Attention line by line: cost and memory O(n * sqrt(n)) instead of O(n^2), forward and backward.

The image's queries are taken some lines at a time; the keys of a group of lines are the prefix and
the few lines around that the pattern reaches. Only the scores of some groups exist at a time, few
enough for a processor's cache, and the backward pass computes them again instead of keeping them
(as FlashAttention does, 2205.14135, section 3.1). The loop is one operator, so that `torch.compile`
sees one node and not thousands.
"""

from typing import Any

import torch
from torch import Tensor

from unified_transformer.attention.dense import dense_attention
from unified_transformer.attention.lines import Lines
from unified_transformer.attention.pieces import Parts, pieces
from unified_transformer.sequence import Sequence


def blockwise_attention(
    query: Tensor, key: Tensor, value: Tensor, sequence: Sequence, pattern: str, dropout: float
) -> Tensor:
    """Attention line by line; equal to `dense_attention` up to rounding.

    Shapes: query, key, value [batch, heads, position, dim]; returns the same.
    """
    if pattern == "dense" or sequence.grid == (0, 0):
        return dense_attention(query, key, value, sequence, pattern, dropout)
    prefix = sequence.image_slice.start
    # As source the image sees only [BOI] of what comes before it, and a question if there is one.
    first = prefix - 1 if sequence.image_is_source and not sequence.has_question else 0
    before, image = sequence.cached(
        "blockwise",
        lambda: (
            sequence.visible(slice(0, prefix)),
            sequence.visible(slice(prefix, prefix + 1))[..., first:prefix],  # the same for all
        ),
    )
    seed = torch.randint(2**62, ()) if dropout else torch.zeros((), dtype=torch.long)
    flat = (tensor.flatten(0, 1) for tensor in (query, key, value))
    shape = (pattern, *sequence.grid, sequence.image_is_source)
    return _attend(*flat, before, image, seed, dropout, *shape).unflatten(0, query.shape[:2])


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
