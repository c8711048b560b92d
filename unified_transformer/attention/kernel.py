"""Softmax attention over given keys: the one place where scores become values."""

import torch
import torch.nn.functional as F
from torch import Tensor

PLAIN_PRODUCT_KEYS = 256
"""On a CPU and up to this many keys, two products and a softmax beat the fused kernel forward and
backward: `benchmarks/attention_kernel.py` measured 2.9 times its speed at 88 keys, 1.0 at 256."""


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, dropout: float = 0.0) -> Tensor:
    """Softmax attention with one joint softmax over all keys.

    Shapes: query [batch, heads, query, dim], key and value [batch, heads, key, dim], mask boolean
    (True = visible), broadcastable to [batch, heads, query, key], no query without a visible key.
    Returns [batch, heads, query, dim].
    """
    if query.device.type == "cpu" and key.shape[-2] <= PLAIN_PRODUCT_KEYS:
        return attend_by_products(query, key, value, mask, dropout)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)


def attend_by_products(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, dropout: float = 0.0
) -> Tensor:
    """`attend` written out: scores, softmax in the scores' own precision, values."""
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return F.dropout(scores.softmax(dim=-1), dropout) @ value


def as_bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """What to add to scores: 0 where `mask` is True, else -inf."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, -torch.inf)
