"""Small players and texts."""

import pytest
import torch

from gan import (
    Discriminator,
    DiscriminatorShape,
    Generator,
    GeneratorConfig,
    Judged,
    TextBatch,
)

WIDTH, ATTRIBUTES = 12, 3


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
    architecture: str, size=(32, 32), text: bool = True, judged: Judged | None = None, **shape
) -> Discriminator:
    torch.manual_seed(2)
    shape = {"base_channels": 4, "contrast_dim": 16, **shape}
    judged = judged or Judged()
    config = DiscriminatorShape(architecture=architecture, **shape)
    return Discriminator(config, size, WIDTH if text else 0, judged)


@pytest.fixture(autouse=True)
def one_seed():
    torch.manual_seed(0)
