"""PatchGAN: a score for every patch of a picture (Isola et al. 2017, pix2pix), laid out as in
taming-transformers."""

import math
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class PatchDiscriminatorConfig:
    """Shape of a `PatchDiscriminator`.

    Attributes:
        image_channels: channels of a picture.
        base_channels: width of the first layer; it doubles with every further one, up to eightfold.
        layers: convolutions with stride 2; three see patches of 70 pixels, two of 34.
    """

    image_channels: int = 3
    base_channels: int = 64
    layers: int = 3

    def __post_init__(self) -> None:
        for name in ("image_channels", "base_channels", "layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1.")

    @property
    def smallest_picture(self) -> int:
        """The fewest pixels a side that leave a patch to judge."""
        return 3 * 2**self.layers


class PatchDiscriminator(nn.Module):
    """Strided 4x4 convolutions ending in one logit per patch.

    pix2pix normalizes over the batch, which would make a picture's score depend on its micro-batch
    and process. GroupNorm does not, and unlike spectral normalization it keeps no state that
    changes with every forward pass.
    """

    def __init__(self, config: PatchDiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        width = config.base_channels
        layers: list[nn.Module] = [
            nn.Conv2d(config.image_channels, width, 4, 2, 1),
            nn.LeakyReLU(0.2),
        ]
        for depth in range(1, config.layers + 1):
            wider = config.base_channels * min(2**depth, 8)
            # The last of them keeps the resolution.
            stride = 2 if depth < config.layers else 1
            layers += [nn.Conv2d(width, wider, 4, stride, 1, bias=False)]
            layers += [nn.GroupNorm(math.gcd(32, wider), wider), nn.LeakyReLU(0.2)]
            width = wider
        self.channels = width
        """Of the map that logits are read off."""
        layers.append(nn.Conv2d(width, 1, 4, 1, 1))
        self.layers = nn.Sequential(*layers)
        self.apply(_initialize)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [b, 3, H, W] -> logits [b, 1, h, w], high where a patch looks real.

        Raises:
            ValueError: if the pictures are smaller than one patch.
        """
        return self.logits(self.features(pixels))

    def logits(self, features: Tensor) -> Tensor:
        """Features [b, channels, h', w'] -> fp32 logits [b, 1, h, w]."""
        return self.layers[-1](features).float()

    def features(self, pixels: Tensor) -> Tensor:
        """Pixels [b, 3, H, W] -> the map [b, channels, h', w'] that logits are read off.

        Raises:
            ValueError: if the pictures are smaller than one patch.
        """
        smallest = self.config.smallest_picture
        if min(pixels.shape[2:]) < smallest:
            raise ValueError(
                f"Pictures of {pixels.shape[2]}x{pixels.shape[3]} pixels are too small for a "
                f"discriminator with layers={self.config.layers}; it needs {smallest} pixels a "
                "side, or fewer layers."
            )
        return self.layers[:-1](pixels)


def _initialize(module: nn.Module) -> None:
    # N(0, 0.02), from DCGAN through pix2pix and taming-transformers.
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
