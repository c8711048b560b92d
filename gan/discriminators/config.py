"""The shape of a discriminator."""

from dataclasses import dataclass
from typing import Literal


@dataclass
class DiscriminatorShape:
    """A trunk that turns pictures into features, and how it judges them.

    architecture: `dcgan` (Reed et al., 1605.05396: strided convolutions with batch normalization,
        the text beside the last map), `residual` (SNGAN, 1802.05957, as XMC-GAN has it: spectral
        normalization, the text projected on the pooled features) or `deep_fusion` (DF-GAN,
        2008.05865: no normalization, the text beside the last map).
    base_channels: of the first map; coarser ones have up to sixteen times as many.
    text_dim: of `dcgan`: of the sentence after its projection.
    contrast_dim: of the space of local and global features (InfoMax-GAN, 2007.04589: 1024).
    """

    architecture: Literal["dcgan", "residual", "deep_fusion"] = "dcgan"
    base_channels: int = 32
    text_dim: int = 128
    contrast_dim: int = 1024

    def __post_init__(self) -> None:
        if self.architecture not in ("dcgan", "residual", "deep_fusion"):
            raise ValueError(
                f"architecture is {self.architecture!r}; it must be dcgan, residual or deep_fusion."
            )
        for name in ("base_channels", "text_dim", "contrast_dim"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 1 or more.")
