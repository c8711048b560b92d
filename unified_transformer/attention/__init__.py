"""How a pattern is computed: every implementation agrees with `dense`."""

import torch

from unified_transformer.attention.blockwise import blockwise_attention
from unified_transformer.attention.dense import dense_attention
from unified_transformer.attention.flex import block_masked_attention

IMPLEMENTATIONS = {
    "dense": dense_attention,
    "blockwise": blockwise_attention,
    "flex": block_masked_attention,
}
AUTO = "auto"

FEWEST_FOR_BLOCKS = 512
"""Image positions from which lines pay: at 16 x 16 `dense` is as fast as any, at 32 x 32
`blockwise` has two to three times its speed on a CPU (`benchmarks/attention.py`). Not measured on a
GPU yet."""


def choose_implementation(device: torch.device, image_positions: int) -> str:
    """What `auto` stands for."""
    if image_positions < FEWEST_FOR_BLOCKS:
        return "dense"
    return {"cpu": "blockwise", "cuda": "flex"}.get(device.type, "dense")


__all__ = ["AUTO", "IMPLEMENTATIONS", "choose_implementation"]
