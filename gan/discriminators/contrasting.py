"""A discriminator that another package brings, with heads for contrasts beside its logits."""

from typing import NamedTuple, Protocol

from einops import rearrange, reduce
from torch import Tensor, nn
from torch.nn import functional as F

from gan.contrasts import PictureVectors
from gan.discriminators.heads import ContrastHead
from gan.discriminators.trunks import REGIONS
from gan.settings import ContrastSettings


class MapDiscriminator(Protocol):
    """Reads its logits off a map; such as `vq.PatchDiscriminator`."""

    channels: int

    def features(self, pixels: Tensor) -> Tensor:
        """Pixels [b, 3, H, W] -> [b, channels, h, w]."""

    def logits(self, features: Tensor) -> Tensor:
        """The map -> [b, ...]."""


class Judgement(NamedTuple):
    """Of pictures.

    logits: [b, ...], high where they look real.
    vectors: what contrasts compare.
    """

    logits: Tensor
    vectors: PictureVectors


class ContrastingDiscriminator(nn.Module):
    """A discriminator and the heads of contrasts: one module, for one optimizer.

    Places and regions are those of the map that logits are read off. The picture as a whole is
    their mean, and not their sum as in InfoMax-GAN, whose maps are kept small by spectral
    normalization: of normalized maps the sum made the local-global loss of scenes start at 117,
    where knowing nothing costs 6.6, and the mean at 6.6.

    Args:
        discriminator: learns along.
        settings: which heads there are: those that something teaches. Without a sentence's weight
            real and drawn pictures are compared by the mean itself.
        text_width: of the text encoder's vectors; 0 without texts.
    """

    def __init__(
        self, discriminator: MapDiscriminator, settings: ContrastSettings, text_width: int = 0
    ) -> None:
        super().__init__()
        self.discriminator = discriminator
        channels = discriminator.channels
        self.image = nn.Linear(channels, text_width) if settings.sentence_weight > 0 else None
        self.region = nn.Conv2d(channels, text_width, 1) if settings.word_weight > 0 else None
        self.local = self.whole = None
        if settings.local_global_weight > 0:
            # As wide as what they read, as in InfoMax-GAN.
            self.local = ContrastHead(channels, channels)
            self.whole = ContrastHead(channels, channels)

    def forward(self, pixels: Tensor) -> Judgement:
        """Of pixels [b, 3, H, W] in [-1, 1]."""
        maps = self.discriminator.features(pixels)
        pooled = reduce(maps, "b c h w -> b c", "mean")
        places = whole = regions = None
        if self.local is not None and self.whole is not None:
            places = self.local(rearrange(maps, "b c h w -> b (h w) c"))
            whole = self.whole(pooled)
        if self.region is not None:
            regions = rearrange(self.region(at_most(REGIONS, maps)), "b d h w -> b (h w) d")
        image = pooled if self.image is None else self.image(pooled)
        return Judgement(
            self.discriminator.logits(maps), PictureVectors(image, regions, places, whole)
        )


def at_most(side: int, maps: Tensor) -> Tensor:
    """Maps [b, c, h, w] whose shorter side has so many places at most: means of squares of them."""
    square = -(-min(maps.shape[2:]) // side)
    return maps if square == 1 else F.avg_pool2d(maps, square, ceil_mode=True)
