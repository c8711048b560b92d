"""What a discriminator reads off a trunk's features."""

from einops import rearrange, reduce
from torch import Tensor, cat, nn
from torch.nn import functional as F

from gan.blocks import (
    everywhere,
    forget_statistics,
    initialize_as_dcgan,
    initialize_as_glorot,
    normalize_spectrum,
)
from gan.discriminators.trunks import ImageFeatures


class DCGANHead(nn.Module):
    """The projected text beside each place of the last map, a 1x1 convolution, and one over all of
    it (Reed et al., 1605.05396, section 4; with the code's batch normalization)."""

    def __init__(self, channels: int, text_width: int, text_dim: int, size: tuple[int, int]):
        super().__init__()
        self.text = (
            nn.Sequential(
                nn.Linear(text_width, text_dim), nn.BatchNorm1d(text_dim), nn.LeakyReLU(0.2)
            )
            if text_width
            else None
        )
        together = channels + text_dim if text_width else channels
        self.joined = nn.Sequential(
            nn.Conv2d(together, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.LeakyReLU(0.2),
        )
        self.logit = nn.Conv2d(channels, 1, size)
        self.apply(initialize_as_dcgan).apply(forget_statistics)

    def forward(self, features: ImageFeatures, sentence: Tensor | None) -> Tensor:
        maps = features.last
        if self.text is not None:
            assert sentence is not None
            maps = cat([maps, everywhere(self.text(sentence), maps)], dim=1)
        return rearrange(self.logit(self.joined(maps)), "b 1 1 1 -> b")


class FusionHead(nn.Module):
    """The sentence, as a unit vector, beside each place of the last map, and two convolutions;
    attributes are read off what the first of them gives (DF-GAN, 2008.05865, section 3.2; Adma-GAN,
    2209.14046)."""

    def __init__(
        self, channels: int, text_width: int, attributes: int, size: tuple[int, int]
    ) -> None:
        super().__init__()
        inner = channels if attributes else max(1, channels // 4)
        self.join = nn.Conv2d(channels + text_width, inner, 3, padding=1, bias=False)
        self.logit = nn.Conv2d(inner, 1, size, bias=False)
        self.attributes = nn.Linear(inner, 2 * attributes, bias=False) if attributes else None

    def joined(self, features: ImageFeatures, sentence: Tensor | None) -> Tensor:
        """The convolution of the last map with the sentence at each place, [b, c / 4, h, w]."""
        maps = features.last
        if sentence is not None:
            maps = cat([maps, everywhere(F.normalize(sentence, dim=1), maps)], dim=1)
        return self.join(maps)

    def forward(self, features: ImageFeatures, sentence: Tensor | None) -> Tensor:
        logits = self.logit(F.leaky_relu(self.joined(features, sentence), 0.2))
        return rearrange(logits, "b 1 1 1 -> b")

    def attribute_logits(self, features: ImageFeatures, sentence: Tensor | None) -> Tensor:
        """[b, 2n]: for each attribute, whether it is there and real, and there and fake."""
        assert self.attributes is not None
        pooled = reduce(self.joined(features, sentence), "b c h w -> b c", "sum")
        return self.attributes(F.leaky_relu(F.normalize(pooled, dim=1), 0.2))


class ProjectionHead(nn.Module):
    """A linear function of the pooled features, plus their inner product with the sentence's
    embedding (Miyato and Koyama, 1802.05637, eq. 3; XMC-GAN, 2101.04702, section 4.3)."""

    def __init__(self, channels: int, text_width: int) -> None:
        super().__init__()
        self.logit = nn.Linear(channels, 1)
        self.sentence = nn.Linear(text_width, channels) if text_width else None
        self.apply(initialize_as_glorot).apply(normalize_spectrum)

    def forward(self, features: ImageFeatures, sentence: Tensor | None) -> Tensor:
        logits = rearrange(self.logit(features.pooled), "b 1 -> b")
        if self.sentence is None:
            return logits
        return logits + (features.pooled * self.sentence(sentence)).sum(dim=1)


class ContrastHead(nn.Module):
    """Vectors -> the space in which places and pictures are compared (InfoMax-GAN, 2007.04589,
    section 3.3): a hidden layer of the same width, beside a linear shortcut."""

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(channels, channels)
        self.output = nn.Linear(channels, dim)
        self.shortcut = nn.Linear(channels, dim)
        self.apply(initialize_as_glorot).apply(normalize_spectrum)

    def forward(self, vectors: Tensor) -> Tensor:
        """[..., channels] -> [..., dim]."""
        return self.output(F.relu(self.hidden(vectors))) + self.shortcut(vectors)
