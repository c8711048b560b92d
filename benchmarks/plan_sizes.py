"""The sizes at which plans are held against what was measured."""

from typing import NamedTuple

import torch
from torch import Tensor

from unified_transformer import UnifiedTransformerConfig

TEXT, CODES, WORDS = 64, 1024, 1000
BUCKET = 4_000_000
"""Numbers in DeepSpeed's buckets: of a share of a small model as its own are of a large one."""


class Size(NamedTuple):
    """Of one run."""

    width: int
    layers: int
    side: int
    samples: int = 1
    precision: str = "fp32"
    checkpointing: bool = False


FIRST = Size(width=64, layers=3, side=4)
STATES = Size(width=512, layers=8, side=4)
"""Many weights and few positions, so that states are nearly all there is."""

STEPS = (
    Size(256, 4, 16, 4),
    Size(256, 4, 16, 4, checkpointing=True),
    Size(256, 4, 16, 8, "bf16"),
    Size(256, 8, 32, 2, "bf16"),
    Size(256, 4, 32, 4),
    Size(256, 4, 32, 4, checkpointing=True),
    Size(384, 6, 32, 4, "bf16", checkpointing=True),
    Size(512, 4, 16, 8, checkpointing=True),
    Size(512, 8, 16, 2, "bf16"),
    Size(512, 8, 32, 2, "bf16", checkpointing=True),
    Size(512, 8, 32, 2),
)

TIMED = (
    Size(384, 6, 16, 4),
    Size(256, 4, 16, 8),
    Size(256, 8, 32, 2),
    Size(512, 4, 16, 2),
    Size(512, 8, 16, 4, checkpointing=True),
    Size(512, 4, 32, 2, checkpointing=True),
)
"""The first gives the utilisation by which the others are planned."""


def configuration(size: Size) -> UnifiedTransformerConfig:
    """Heads of 64 and the default patterns."""
    return UnifiedTransformerConfig(
        hidden_size=size.width,
        num_hidden_layers=size.layers,
        num_attention_heads=size.width // 64,
        grid_height=size.side,
        grid_width=size.side,
        image_vocab_size=CODES,
        text_vocab_size=WORDS,
        text_positions=TEXT,
    )


def batch_of(config: UnifiedTransformerConfig, samples: int) -> dict[str, Tensor]:
    """Random pairs whose texts have no padding."""
    return {
        "text_ids": torch.randint(5, WORDS, (samples, TEXT)),
        "text_length": torch.full((samples,), TEXT),
        "caption_dropped": torch.zeros(samples, dtype=torch.bool),
        "image_ids": torch.randint(0, CODES, (samples, *config.grid)),
    }
