"""Pixels -> vectors, one per id, and back; the two are mirror images (taming-transformers)."""

from torch import Tensor, nn
from torch.nn import functional as F

from vq.blocks import (
    Downsample,
    ResidualBlock,
    SelfAttention,
    Upsample,
    convolution,
    normalization_layer,
)
from vq.config import VQGANConfig


class Encoder(nn.Module):
    """[b, image_channels, H, W] -> [b, encoder_channels, H/f, W/f]"""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        kernel_size, norm = config.encoder_kernel_size, config.normalization
        # A narrow encoder looks at one square; attention would undo that.
        attends = kernel_size == 3
        widths = _widths(config)
        channels = widths[0]
        self.patch = nn.PixelUnshuffle(config.patch_size)
        self.conv_in = convolution(
            config.image_channels * config.patch_size**2, channels, kernel_size
        )
        layers: list[nn.Module] = []
        for level, width in enumerate(widths):
            if level > 0:
                layers.append(Downsample(channels, kernel_size))
            for _ in range(config.residual_blocks):
                layers.append(ResidualBlock(channels, width, kernel_size, norm))
                if attends and level >= len(widths) - config.attention_levels:
                    layers.append(SelfAttention(width, norm))
                channels = width
        layers += _middle(channels, kernel_size, norm, attends and config.middle_attention)
        self.layers = nn.Sequential(*layers)
        self.norm_out = normalization_layer(norm, channels)
        self.conv_out = convolution(channels, config.latent_channels, kernel_size)
        self.to_code = nn.Conv2d(config.latent_channels, config.encoder_channels, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        hidden = self.layers(self.conv_in(self.patch(pixels)))
        return self.to_code(self.conv_out(F.silu(self.norm_out(hidden))))


class Decoder(nn.Module):
    """[b, code_dim, h, w] -> [b, image_channels, h*f, w*f]: first `features`, then `paint`."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        norm = config.normalization
        widths = _widths(config)
        channels = widths[-1]
        self.from_code = nn.Conv2d(config.code_dim, config.latent_channels, 1)
        self.conv_in = convolution(config.latent_channels, channels, 3)
        layers: list[nn.Module] = _middle(channels, 3, norm, config.middle_attention)
        for level in reversed(range(len(widths))):
            for _ in range(config.residual_blocks + 1):
                layers.append(ResidualBlock(channels, widths[level], 3, norm))
                if level >= len(widths) - config.attention_levels:
                    layers.append(SelfAttention(widths[level], norm))
                channels = widths[level]
            if level > 0:
                layers.append(Upsample(channels))
        self.layers = nn.Sequential(*layers)
        self.norm_out = normalization_layer(norm, channels)
        self.conv_out = convolution(channels, config.image_channels * config.patch_size**2, 3)
        self.unpatch = nn.PixelShuffle(config.patch_size)

    @property
    def last_layer(self) -> nn.Parameter:
        """Weight of the last convolution; the adversarial term is balanced on its gradient."""
        return self.conv_out.weight  # type: ignore[return-value]

    def features(self, codes: Tensor) -> Tensor:
        """What the last layer paints from: [b, code_dim, h, w] -> [b, base width, H/patch_size,
        W/patch_size]"""
        codes = codes.to(self.from_code.weight.dtype)  # may have been put into another format
        hidden = self.layers(self.conv_in(self.from_code(codes)))
        return F.silu(self.norm_out(hidden))

    def paint(self, features: Tensor) -> Tensor:
        """The last layer: features -> pixels [b, image_channels, H, W], float32, not clamped."""
        return self.unpatch(self.conv_out(features)).float()

    def forward(self, codes: Tensor) -> Tensor:
        return self.paint(self.features(codes))


def _widths(config: VQGANConfig) -> list[int]:
    return [config.base_channels * multiplier for multiplier in config.channel_multipliers]


def _middle(channels: int, kernel_size: int, norm: str, attention: bool) -> list[nn.Module]:
    first = ResidualBlock(channels, channels, kernel_size, norm)
    second = ResidualBlock(channels, channels, kernel_size, norm)
    return [first, SelfAttention(channels, norm), second] if attention else [first, second]
