"""Small players, texts and batches, and a global batch of one process."""

import pytest
import torch
from torch import Tensor, nn

from gan import (
    Discriminator,
    DiscriminatorHeads,
    DiscriminatorShape,
    Generator,
    GeneratorConfig,
    TextBatch,
)

WIDTH, ATTRIBUTES = 12, 3
COUNT = 4


def texts(count: int, seed: int = 0, words: int = 5) -> TextBatch:
    """Random ones, of which the last has one word less."""
    random = torch.Generator().manual_seed(seed)
    mask = torch.ones(count, words, dtype=torch.bool)
    mask[-1, -1] = False
    return TextBatch(
        torch.randn(count, words, WIDTH, generator=random),
        mask,
        torch.randn(count, WIDTH, generator=random),
    )


def generator(architecture: str, size=(32, 32), text: bool = True, **shape) -> Generator:
    torch.manual_seed(1)
    config = GeneratorConfig(
        shape={"architecture": architecture, "base_channels": 4, "noise_dim": 8, **shape},
        image_size=size,
        text_width=WIDTH if text else None,
        attributes=["red", "blue", "round"] if "memory" in shape else None,
    )
    return Generator(config)


def discriminator(
    architecture: str,
    size=(32, 32),
    text: bool = True,
    heads: DiscriminatorHeads | None = None,
    **shape,
) -> Discriminator:
    torch.manual_seed(2)
    shape = {"base_channels": 4, "contrast_dim": 16, **shape}
    heads = heads or DiscriminatorHeads()
    config = DiscriminatorShape(architecture=architecture, **shape)
    return Discriminator(config, size, WIDTH if text else 0, heads)


class OneProcess:
    rank, world_size = 0, 1

    def with_gradients(self, rows: Tensor) -> Tensor:
        return rows


class Texts(nn.Module):
    """A table of vectors, the same whatever else was drawn before it was made."""

    width = WIDTH

    def __init__(self) -> None:
        super().__init__()
        table = torch.randn(20, WIDTH, generator=torch.Generator().manual_seed(3))
        self.table = nn.Embedding.from_pretrained(table, freeze=False)

    def forward(self, text_ids: Tensor, text_length: Tensor) -> TextBatch:
        words = self.table(text_ids)
        mask = torch.arange(text_ids.shape[1])[None] < text_length[:, None]
        return TextBatch(words, mask, words.mean(dim=1))


def batch(seed: int = 0, count: int = COUNT) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return {
        "pixels": torch.rand(count, 3, 32, 32, generator=random) * 2 - 1,
        "text_ids": torch.randint(5, 20, (count, 6), generator=random),
        "text_length": torch.tensor([6] * (count - 1) + [4]),
        "attributes": torch.randint(2, (count, ATTRIBUTES), generator=random),
    }


def correlation(first: Tensor, second: Tensor) -> float:
    """Of what differs between rows: what all rows share would make any two of them alike."""
    differing = [(rows - rows.mean(dim=0)).flatten() for rows in (first, second)]
    return float(torch.corrcoef(torch.stack(differing))[0, 1])


@pytest.fixture(autouse=True)
def one_seed():
    torch.manual_seed(0)
