"""Our transformer at the shape of the measured figures, and one step of training it."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from pipelines.training.distributed import precision_context
from unified_transformer import UnifiedTransformer, UnifiedTransformerConfig
from unified_transformer.losses import image_loss

SIDE, TEXT, BATCH = 32, 64, 2
CODES, WORDS = 1024, 1000
SPARSE = ("row", "column", "row", "conv")
DENSE = ("dense",)


def build(patterns: Sequence[str] = SPARSE, side: int = SIDE) -> UnifiedTransformer:
    """Dim 256, depth 4, heads 4 of 64; DALLE-pytorch's gated feed-forward has as many weights as
    ours with ratio 6."""
    return UnifiedTransformer(
        UnifiedTransformerConfig(
            text_vocab_size=WORDS,
            image_vocab_size=CODES,
            grid_height=side,
            grid_width=side,
            hidden_size=256,
            num_hidden_layers=4,
            num_attention_heads=4,
            mlp_ratio=6.0,
            text_positions=TEXT,
            layer_patterns=list(patterns),
        )
    ).eval()


def random_pairs(side: int, device: str) -> tuple[Tensor, Tensor]:
    """Text ids [batch, text] and image ids [batch, n]."""
    text = torch.randint(5, WORDS, (BATCH, TEXT), device=device)
    return text, torch.randint(0, CODES, (BATCH, side**2), device=device)


def loss_of(model: UnifiedTransformer, text: Tensor, ids: Tensor) -> Tensor:
    """Of one direction, text to image."""
    batch = {
        "text_ids": text,
        "text_length": torch.full((BATCH,), TEXT, device=text.device),
        "caption_dropped": torch.zeros(BATCH, dtype=torch.bool, device=text.device),
        "image_ids": ids.unflatten(1, model.config.grid),
    }
    return image_loss(model, batch, model.config, 1 / ids.numel()).total


def stepper(
    model: nn.Module, loss: Callable[[], Tensor], dtype: str, device: str = "cpu"
) -> Callable[[], None]:
    """A call that takes one step of AdamW, in fp32 or under bf16 autocast."""
    optimizer = torch.optim.AdamW(model.train().parameters(), 1e-3, fused=True)
    precision = precision_context(torch.device(device), dtype)

    def step() -> None:
        optimizer.zero_grad()
        with precision():
            value = loss()
        value.backward()
        optimizer.step()

    return step
