"""A picture, and a text where there is one -> features, and how real they look."""

from gan.discriminators.config import DiscriminatorShape
from gan.discriminators.contrasting import ContrastingDiscriminator
from gan.discriminators.discriminator import Discriminator, DiscriminatorHeads
from gan.discriminators.trunks import ImageFeatures

__all__ = [
    "ContrastingDiscriminator",
    "Discriminator",
    "DiscriminatorHeads",
    "DiscriminatorShape",
    "ImageFeatures",
]
