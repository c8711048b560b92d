"""Parts that generators and discriminators are made of."""

from collections.abc import Callable

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

SMALLEST_SIDE = 4
"""Of the map that a generator begins and a discriminator ends with, in places."""
PLACE_SHARPNESS = 15.0
"""How sharply a place looks for its word (XMC-GAN's code)."""
LEAK = 0.01
"""Ours: of the pixels' activation."""
FUSION_HIDDEN = 256
"""Of the network that turns a condition into gains and shifts (Adma-GAN's code)."""


def map_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """(height, width) of a network's maps, from the coarsest to the picture's own."""
    sizes = [(height, width)]
    while min(sizes[0]) >= 2 * SMALLEST_SIDE:
        sizes.insert(0, (sizes[0][0] // 2, sizes[0][1] // 2))
    return sizes


def twice_as_large(maps: Tensor) -> Tensor:
    """Each value four times: [b, c, h, w] -> [b, c, 2h, 2w]. (Not by `repeat`, whose copies and
    sums on the way back took most of a CPU's step.)"""
    return F.interpolate(maps, scale_factor=2, mode="nearest")


def as_pixels(values: Tensor) -> Tensor:
    """tanh x + x / 100, in fp32: about [-1, 1].

    Plain tanh, the papers' choice, is lost on drawings: white is real, so the generator soon
    overshoots to where tanh has no gradient (in bf16 from 3 on), and never comes back.
    """
    values = values.float()
    return torch.tanh(values) + LEAK * values


def everywhere(vectors: Tensor, like: Tensor) -> Tensor:
    """Vectors [b, c] at each place of a map [b, d, h, w]: [b, c, h, w]."""
    return repeat(vectors, "b c -> b c h w", h=like.shape[2], w=like.shape[3])


class SelfModulatedNorm(nn.Module):
    """Batch normalization whose gains and shifts depend on a condition (XMC-GAN, 2101.04702,
    section 4.2): x * (1 + gain) + shift.

    Args:
        channels: of the maps.
        condition: channels of what they depend on; 0 for gains and shifts of their own.
    """

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=condition == 0)
        self.modulation = nn.Conv2d(condition, 2 * channels, 1) if condition else None

    def forward(self, maps: Tensor, condition: Tensor | None) -> Tensor:
        """Maps [b, c, h, w] with a condition of coarser places [b, d, h', w'], such as [b, d, 1, 1]
        for all of them: repeated, they give the gains and shifts that their repetition would."""
        normal = self.norm(maps)
        if self.modulation is None:
            return normal
        gain, shift = self.modulation(condition).chunk(2, dim=1)
        if gain.shape[2] > 1:
            gain, shift = (F.interpolate(part, maps.shape[2:]) for part in (gain, shift))
        return torch.addcmul(shift, normal, 1 + gain)


class WordAttention(nn.Module):
    """What the words of a text say about each place of a map (XMC-GAN, 2101.04702, section 4.2)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.to_words = nn.Conv2d(channels, width, 1)

    def forward(self, maps: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """Maps [b, c, h, w] and words [b, word, d], which count as much as mask [b, word] says, ->
        a mean of the words' unit vectors for each place, [b, d, h, w]."""
        places = F.normalize(self.to_words(maps), dim=1)
        words = F.normalize(words, dim=2)
        likeness = torch.einsum("b d h w, b t d -> b h w t", places, words)
        count = rearrange(mask.float().log(), "b t -> b 1 1 t")
        looks = (PLACE_SHARPNESS * likeness.float() + count).softmax(dim=3).to(words.dtype)
        return torch.einsum("b h w t, b t d -> b d h w", looks, words)


class AffineFusion(nn.Module):
    """Gains and shifts of channels that depend on a condition (DF-GAN, 2008.05865, section 3.3): at
    first x itself."""

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.gain = self._network(channels, condition, start=1.0)
        self.shift = self._network(channels, condition, start=0.0)

    @staticmethod
    def _network(channels: int, condition: int, start: float) -> nn.Sequential:
        last = nn.Linear(FUSION_HIDDEN, channels)
        nn.init.zeros_(last.weight)
        nn.init.constant_(last.bias, start)
        return nn.Sequential(nn.Linear(condition, FUSION_HIDDEN), nn.ReLU(), last)

    def forward(self, maps: Tensor, condition: Tensor) -> Tensor:
        """Maps [b, c, h, w] with a condition [b, d]."""
        gain, shift = (
            rearrange(network(condition), "b c -> b c 1 1") for network in (self.gain, self.shift)
        )
        return torch.addcmul(shift, maps, gain)


class SelfAttention(nn.Module):
    """Places look at each other (SAGAN, 1805.08318, section 3); at first x itself."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 8)
        self.to_queries_and_keys = nn.Conv2d(channels, 2 * inner, 1)
        self.to_values = nn.Conv2d(channels, channels, 1)
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(self, maps: Tensor) -> Tensor:
        """[b, c, h, w] -> [b, c, h, w]."""
        parts = [*self.to_queries_and_keys(maps).chunk(2, dim=1), self.to_values(maps)]
        queries, keys, values = (rearrange(part, "b c h w -> b 1 (h w) c") for part in parts)
        seen = F.scaled_dot_product_attention(queries, keys, values, scale=1.0)
        height, width = maps.shape[2:]
        seen = rearrange(seen, "b 1 (h w) c -> b c h w", h=height, w=width)
        return maps + self.gate * seen


def bottleneck(channels: int, inner: int, activation: Callable[[], nn.Module]) -> nn.Sequential:
    """The residual branch of Reed's networks: 1x1, 3x3, 3x3, each with batch normalization."""
    return nn.Sequential(
        nn.Conv2d(channels, inner, 1, bias=False),
        nn.BatchNorm2d(inner),
        activation(),
        nn.Conv2d(inner, inner, 3, padding=1, bias=False),
        nn.BatchNorm2d(inner),
        activation(),
        nn.Conv2d(inner, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
    )


@torch.no_grad()
def initialize_as_dcgan(module: nn.Module) -> None:
    """Weights N(0, 0.02), gains N(1, 0.02) (Radford et al., 1511.06434, section 3)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d) and module.affine:
        nn.init.normal_(module.weight, 1.0, 0.02)
    bias = getattr(module, "bias", None)
    if isinstance(bias, nn.Parameter):
        nn.init.zeros_(bias)


@torch.no_grad()
def initialize_as_glorot(module: nn.Module) -> None:
    """Normal weights of Glorot and Bengio (2010), biases 0."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def normalize_spectrum(module: nn.Module) -> None:
    """Keeps a layer's largest singular value at 1 (Miyato et al., 1802.05957, section 2.1)."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        spectral_norm(module)


def forget_statistics(module: nn.Module) -> None:
    """A discriminator never runs by statistics of the past: it always sees a batch."""
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        module.track_running_stats = False
        module.running_mean = module.running_var = module.num_batches_tracked = None
