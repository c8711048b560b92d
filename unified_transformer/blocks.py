"""The transformer block: pre-norm attention and feed-forward, each added to the residual stream."""

from collections.abc import Callable

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from unified_transformer.config import UnifiedTransformerConfig
from unified_transformer.rotary import rotate

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]
"""query, key, value [batch, heads, position, dim] -> [batch, heads, query, dim]."""


class ResidualLinear(nn.Linear):
    """A linear layer that writes to the residual stream; it starts smaller than the others."""


class SelfAttention(nn.Module):
    """Projections around attention; which positions meet, the `attention` passed in decides."""

    def __init__(self, config: UnifiedTransformerConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads = config.num_attention_heads
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.output = ResidualLinear(width, width, bias=False)

    def forward(self, x: Tensor, turns: Tensor, attention: Attention) -> Tensor:
        """[batch, position, dim], places that turn by `turns` -> the same."""
        projected = rearrange(
            self.query_key_value(x), "b s (three h d) -> three b h s d", three=3, h=self.heads
        )
        query_key, value = projected.split([2, 1])  # with one gradient for all, unlike slices
        query, key = rotate(query_key, turns)
        return self.output(
            rearrange(attention(query, key, value.squeeze(0)), "b h s d -> b s (h d)")
        )


class FeedForward(nn.Module):
    """Two linear layers around a GELU."""

    def __init__(self, config: UnifiedTransformerConfig) -> None:
        super().__init__()
        inner = round(config.mlp_ratio * config.hidden_size)
        self.inner = nn.Linear(config.hidden_size, inner, bias=False)
        self.output = ResidualLinear(inner, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, position, dim] -> the same."""
        return self.output(F.gelu(self.inner(x)))


class Block(nn.Module):
    """Pre-norm block number `layer`, from 0; `pattern` is what its attention lets image positions
    see of each other."""

    def __init__(self, config: UnifiedTransformerConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.pattern = config.layer_patterns[layer]
        self.attention_norm = nn.LayerNorm(config.hidden_size, bias=False)
        self.attention = SelfAttention(config)
        self.feed_forward_norm = nn.LayerNorm(config.hidden_size, bias=False)
        self.feed_forward = FeedForward(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, turns: Tensor, attention: Attention) -> Tensor:
        """[batch, position, dim], places that turn by `turns` -> the same."""
        x = x + self.dropout(self.attention(self.attention_norm(x), turns, attention))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))
