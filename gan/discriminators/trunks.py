"""Pictures -> features, which all of a discriminator's heads share."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from einops import reduce
from torch import Tensor, nn
from torch.nn import functional as F

from gan.blocks import (
    bottleneck,
    forget_statistics,
    initialize_as_dcgan,
    initialize_as_glorot,
    normalize_spectrum,
)

REGIONS = 16
"""The shorter side of the map whose places are a picture's regions (XMC-GAN: 16 x 16)."""


@dataclass(frozen=True)
class ImageFeatures:
    """What a trunk sees in pictures.

    last: [b, c, h, w], the coarsest map.
    regions: [b, c', h', w'], the last map of 16 places along its shorter side; where there is
        none, the first map.
    local: [b, c'', h'', w''], the map before the last one.
    """

    last: Tensor
    regions: Tensor
    local: Tensor

    @property
    def pooled(self) -> Tensor:
        """[b, c], the sum of the last map's places, as they are after an activation."""
        return reduce(F.relu(self.last), "b c h w -> b c", "sum")

    def map(self, function: Callable[[Tensor], Tensor]) -> "ImageFeatures":
        """The same done to each map."""
        return ImageFeatures(function(self.last), function(self.regions), function(self.local))

    def of(self, rows: Tensor) -> "ImageFeatures":
        """Of the pictures of these numbers [n]."""
        return self.map(lambda maps: maps[rows])


class Trunk(nn.Module):
    """Blocks that end in maps of half the size, or the same.

    Args:
        blocks: the first takes pixels.
        sizes: the shorter side after each.
        channels: after each.
    """

    def __init__(self, blocks: list[nn.Module], sizes: list[int], channels: list[int]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        at = [number for number, size in enumerate(sizes) if size == REGIONS]
        self.of_regions = at[-1] if at else 0
        self.channels, self.local_channels = channels[-1], channels[-2]
        self.region_channels = channels[self.of_regions]

    def forward(self, pixels: Tensor) -> ImageFeatures:
        """Pixels [b, 3, H, W] in [-1, 1]."""
        maps = [pixels]
        for block in self.blocks:
            maps.append(block(maps[-1]))
        return ImageFeatures(maps[-1], maps[1 + self.of_regions], maps[-2])


def dcgan_trunk(base: int, halvings: int, side: int, statistics: bool = False) -> Trunk:
    """Reed's: at 64 pixels 1, 2, 4, 8 times the base, then a residual bottleneck.

    Args:
        statistics: whether batch normalization keeps them, to see single pictures by.
    """
    channels = [base * min(8, 2**n) for n in range(halvings)]
    blocks: list[nn.Module] = [
        nn.Sequential(nn.Conv2d(3, base, 4, 2, 1, bias=False), nn.LeakyReLU(0.2))
    ]
    for number, (before, after) in enumerate(pairwise(channels)):
        layers: list[nn.Module] = [
            nn.Conv2d(before, after, 4, 2, 1, bias=False),
            nn.BatchNorm2d(after),
        ]
        if number + 2 < halvings:
            layers.append(nn.LeakyReLU(0.2))
        blocks.append(nn.Sequential(*layers))
    blocks.append(ResidualBottleneck(channels[-1]))
    sizes = [side >> n for n in range(1, halvings + 1)]
    trunk = Trunk(blocks, [*sizes, sizes[-1]], [*channels, channels[-1]])
    trunk.apply(initialize_as_dcgan)
    return trunk if statistics else trunk.apply(forget_statistics)


class ResidualBottleneck(nn.Module):
    """x and what a bottleneck of a fourth of the channels adds."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 4)
        self.residual = bottleneck(channels, inner, partial(nn.LeakyReLU, 0.2))

    def forward(self, maps: Tensor) -> Tensor:
        return F.leaky_relu(maps + self.residual(maps), 0.2)


def residual_trunk(base: int, halvings: int, side: int) -> Trunk:
    """SNGAN's: at 128 pixels 1, 2, 4, 8, 16 times the base, and a last block of the same size."""
    channels = [base * min(16, 2**n) for n in range(halvings)]
    channels.append(channels[-1])
    pairs = zip([3, *channels[:-1]], channels, strict=True)
    blocks: list[nn.Module] = [
        DownBlock(before, after, first=n == 0, smaller=n < halvings)
        for n, (before, after) in enumerate(pairs)
    ]
    sizes = [side >> n for n in range(1, halvings + 1)]
    trunk = Trunk(blocks, [*sizes, sizes[-1]], channels)
    return trunk.apply(initialize_as_glorot).apply(normalize_spectrum)


class DownBlock(nn.Module):
    """A residual block that may halve the size (Miyato et al., 1802.05957, appendix B.4)."""

    def __init__(self, before: int, after: int, first: bool, smaller: bool) -> None:
        super().__init__()
        self.first, self.smaller = first, smaller
        self.one = nn.Conv2d(before, after, 3, padding=1)
        self.two = nn.Conv2d(after, after, 3, padding=1)
        plain = before == after and not smaller
        self.shortcut = nn.Identity() if plain else nn.Conv2d(before, after, 1)

    def forward(self, maps: Tensor) -> Tensor:
        residual = self.one(maps if self.first else F.relu(maps))
        residual = self.two(F.relu(residual))
        if not self.smaller:
            return residual + self.shortcut(maps)
        # A 1 x 1 convolution of means is the mean of the convolution, at a fourth of the work.
        return F.avg_pool2d(residual, 2) + self.shortcut(F.avg_pool2d(maps, 2))


def deep_fusion_trunk(base: int, halvings: int, side: int) -> Trunk:
    """DF-GAN's, with the widths of Adma-GAN: 1, 2, 4, 8, 16, 16 times the base."""
    channels = [base * min(16, 2**n) for n in range(halvings + 1)]
    blocks: list[nn.Module] = [nn.Conv2d(3, base, 3, padding=1)]
    blocks += [FusionDownBlock(before, after) for before, after in pairwise(channels)]
    return Trunk(blocks, [side >> n for n in range(halvings + 1)], channels)


class FusionDownBlock(nn.Module):
    """Halves the size; what the convolutions add to the shortcut begins at nothing."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(before, after, 4, 2, 1, bias=False),
            nn.LeakyReLU(0.2),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            nn.LeakyReLU(0.2),
        )
        self.shortcut = nn.Conv2d(before, after, 1)
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, maps: Tensor) -> Tensor:
        return self.shortcut(F.avg_pool2d(maps, 2)) + self.gain * self.residual(maps)


TRUNKS = {
    "dcgan": dcgan_trunk,
    "residual": residual_trunk,
    "deep_fusion": deep_fusion_trunk,
}
