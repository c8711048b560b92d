"""A small model and a ragged batch."""

import pytest
import torch
from torch import nn

from unified_transformer import (
    Reconstructor,
    ReconstructorConfig,
    UnifiedTransformer,
    UnifiedTransformerConfig,
)


def small_model(seed=0, **changes):
    """Random weights large enough that attention is far from uniform."""
    settings = {
        "hidden_size": 32,
        "num_attention_heads": 2,
        "num_hidden_layers": 4,
        "text_positions": 12,
        "grid_height": 7,
        "grid_width": 5,
        "image_vocab_size": 24,
        "text_vocab_size": 30,
        "initializer_range": 0.3,
        **changes,
    }
    torch.manual_seed(seed)
    return UnifiedTransformer(UnifiedTransformerConfig(**settings)).eval()


def ragged_batch(config, lengths=(8, 5, 3), seed=1):
    generator = torch.Generator().manual_seed(seed)
    text = torch.randint(5, config.text_vocab_size, (len(lengths), 8), generator=generator)
    text[:, 0] = config.cls_token_id
    for row, length in zip(text, lengths, strict=True):
        row[length - 1] = config.sep_token_id
        row[length:] = config.pad_token_id
    shape = (len(lengths), *config.grid)
    return {
        "text_ids": text,
        "text_length": torch.tensor(lengths),
        "caption_dropped": torch.zeros(len(lengths), dtype=torch.bool),
        "image_ids": torch.randint(0, config.image_vocab_size, shape, generator=generator),
    }


class Upscale(nn.Module):
    """A decoder as a VQGAN has one, with a factor of 2."""

    def __init__(self, code_dim=4):
        super().__init__()
        self.inner, self.last = nn.Conv2d(code_dim, 8, 3, padding=1), nn.Conv2d(8, 12, 1)

    def features(self, codes):
        return torch.relu(self.inner(codes))

    def paint(self, features):
        return nn.functional.pixel_shuffle(self.last(features), 2)


def small_reconstructor(config, hidden_state="consumed"):
    torch.manual_seed(3)
    shape = ReconstructorConfig(config.hidden_size, 4, *config.grid, 16, hidden_state)
    return Reconstructor(shape, Upscale())


@pytest.fixture
def model():
    return small_model()


@pytest.fixture
def batch(model):
    return ragged_batch(model.config)


@pytest.fixture
def make_model():
    return small_model


@pytest.fixture
def make_batch():
    return ragged_batch


@pytest.fixture
def make_reconstructor():
    return small_reconstructor


@pytest.fixture
def make_decoder():
    return Upscale


@pytest.fixture
def drawn():
    """Reads a boolean matrix drawn with # (True) and . (False); spaces are for the eye."""

    def read(picture):
        lines = [line.replace(" ", "") for line in picture.split("\n") if line.strip()]
        return torch.tensor([[sign == "#" for sign in line] for line in lines])

    return read
