"""A trunk and its heads: features and what is read off them, no losses."""

from dataclasses import dataclass

import torch
from einops import rearrange, reduce
from torch import Tensor, nn
from torch.nn import functional as F

from gan.blocks import initialize_as_glorot, map_sizes, normalize_spectrum
from gan.contrasts import PictureVectors
from gan.discriminators.config import DiscriminatorShape
from gan.discriminators.heads import ContrastHead, DCGANHead, FusionHead, ProjectionHead
from gan.discriminators.trunks import TRUNKS, ImageFeatures
from gan.text_encoders import TextBatch


@dataclass(frozen=True)
class DiscriminatorHeads:
    """What a discriminator is asked for beside its logit.

    images: image vectors to compare with sentences and with other pictures'.
    regions: vectors of regions to compare with words.
    places: local and global vectors to compare with each other.
    attributes: how many attributes it is to know.
    """

    images: bool = False
    regions: bool = False
    places: bool = False
    attributes: int = 0


class Discriminator(nn.Module):
    """Judges pictures, beside texts where there are any.

    Args:
        shape: what a user chooses.
        size: (height, width) of the pictures.
        text_width: of the text encoder's vectors; 0 without text.
        heads: which there are.

    Raises:
        ValueError: attributes are asked of an architecture that does not know them.
    """

    def __init__(
        self,
        shape: DiscriminatorShape,
        size: tuple[int, int],
        text_width: int,
        heads: DiscriminatorHeads,
    ) -> None:
        super().__init__()
        sizes = map_sizes(*size)
        self.trunk = TRUNKS[shape.architecture](shape.base_channels, len(sizes) - 1, min(size))
        channels = self.trunk.channels
        if heads.attributes and shape.architecture != "deep_fusion":
            raise ValueError(
                f"a discriminator of the {shape.architecture} architecture knows no attributes; "
                "choose deep_fusion."
            )
        self.head: nn.Module
        if shape.architecture == "dcgan":
            self.head = DCGANHead(channels, text_width, shape.text_dim, sizes[0])
        elif shape.architecture == "residual":
            self.head = ProjectionHead(channels, text_width)
        else:
            self.head = FusionHead(channels, text_width, heads.attributes, sizes[0])
        self.image = self.region = self.local = self.whole = None
        # The projection compares sentences with the pooled features themselves.
        if heads.images and shape.architecture != "residual":
            self.image = nn.Linear(channels, text_width or channels)
        if heads.regions:
            self.region = nn.Conv2d(self.trunk.region_channels, text_width, 1)
        if heads.places:
            self.local = ContrastHead(self.trunk.local_channels, shape.contrast_dim)
            self.whole = ContrastHead(channels, shape.contrast_dim)
        if shape.architecture == "residual" and self.region is not None:
            self.region.apply(initialize_as_glorot).apply(normalize_spectrum)

    def features(self, pixels: Tensor) -> ImageFeatures:
        """Pixels [b, 3, H, W] in [-1, 1] -> what all the rest is read off."""
        return self.trunk(pixels)

    def logits(self, features: ImageFeatures, texts: TextBatch | None) -> Tensor:
        """fp32 [b], high where a picture looks real and like its text; losses may live on their
        differences, which bf16 would round away."""
        sentence = None if texts is None else texts.sentence.float()
        with torch.autocast(features.last.device.type, enabled=False):
            return self.head(features.map(Tensor.float), sentence)

    def forward(self, pixels: Tensor, texts: TextBatch | None = None) -> Tensor:
        """The logits of pictures."""
        return self.logits(self.features(pixels), texts)

    def as_taken(self, sentence: Tensor) -> Tensor:
        """Sentences [b, d] as the head sees them: at which its gradient does not depend on how long
        a text encoder's vectors are."""
        return F.normalize(sentence, dim=1) if isinstance(self.head, FusionHead) else sentence

    def vectors(self, features: ImageFeatures) -> PictureVectors:
        """What contrasts compare, of the heads that there are."""
        places, whole = (None, None) if self.local is None else self.place_vectors(features)
        regions = None if self.region is None else self.region_vectors(features)
        return PictureVectors(self.image_vectors(features), regions, places, whole)

    def image_vectors(self, features: ImageFeatures) -> Tensor:
        """[b, d], to compare with `sentence_vectors` and with each other."""
        return features.pooled if self.image is None else self.image(features.pooled)

    def sentence_vectors(self, texts: TextBatch) -> Tensor:
        """[b, d]."""
        if isinstance(self.head, ProjectionHead):
            assert self.head.sentence is not None
            return self.head.sentence(texts.sentence)
        return texts.sentence

    def region_vectors(self, features: ImageFeatures) -> Tensor:
        """[b, region, d], to compare with words."""
        assert self.region is not None
        return rearrange(self.region(features.regions), "b d h w -> b (h w) d")

    def place_vectors(self, features: ImageFeatures) -> tuple[Tensor, Tensor]:
        """Of each place [b, place, d], and of the picture [b, d]."""
        assert self.local is not None and self.whole is not None
        places = rearrange(features.local, "b c h w -> b (h w) c")
        # InfoMax-GAN's sum, where spectral normalization keeps maps small, as there.
        normalized = isinstance(self.head, ProjectionHead)
        whole = features.pooled if normalized else reduce(features.last, "b c h w -> b c", "mean")
        return self.local(places), self.whole(whole)

    def attribute_logits(self, features: ImageFeatures, texts: TextBatch | None) -> Tensor:
        """[b, 2n], as `attribute_targets` has them."""
        assert isinstance(self.head, FusionHead)
        return self.head.attribute_logits(features, None if texts is None else texts.sentence)
