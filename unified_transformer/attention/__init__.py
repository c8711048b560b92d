"""How a pattern is computed: every implementation agrees with `dense`."""

from unified_transformer.attention.blockwise import blockwise_attention
from unified_transformer.attention.dense import dense_attention

IMPLEMENTATIONS = {"dense": dense_attention, "blockwise": blockwise_attention}

__all__ = ["IMPLEMENTATIONS", "blockwise_attention", "dense_attention"]
