"""The building blocks of encoder and decoder."""

import math

from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of each position.

    Unlike GroupNorm it computes no statistics over the picture, so positions stay independent of
    each other. (An RMS norm would do the same, but PyTorch has no fused one for the CPU.)
    """

    def forward(self, x: Tensor) -> Tensor:
        """[b, c, h, w] -> [b, c, h, w]; free of copies where x is in channels-last order."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def normalization_layer(kind: str, channels: int) -> nn.Module:
    """The layer named by `VQGANConfig.normalization`; 32 groups as in taming-transformers where
    they divide."""
    if kind == "channel":
        return ChannelNorm(channels, eps=1e-6)
    return nn.GroupNorm(math.gcd(32, channels), channels, eps=1e-6)


def convolution(in_channels: int, out_channels: int, kernel_size: int) -> nn.Conv2d:
    """A convolution that keeps height and width."""
    return nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)


class ResidualBlock(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))), with a 1x1 shortcut where the width changes."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, normalization: str
    ) -> None:
        super().__init__()
        self.norm1 = normalization_layer(normalization, in_channels)
        self.conv1 = convolution(in_channels, out_channels, kernel_size)
        self.norm2 = normalization_layer(normalization, out_channels)
        self.conv2 = convolution(out_channels, out_channels, kernel_size)
        self.shortcut = (
            nn.Identity()
            if in_channels == out_channels
            else nn.Conv2d(in_channels, out_channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[b, in_channels, h, w] -> [b, out_channels, h, w]"""
        hidden = self.conv1(F.silu(self.norm1(x)))
        hidden = self.conv2(F.silu(self.norm2(hidden)))
        return self.shortcut(x) + hidden


class SelfAttention(nn.Module):
    """Single-head attention between all positions, as in taming-transformers."""

    def __init__(self, channels: int, normalization: str) -> None:
        super().__init__()
        self.norm = normalization_layer(normalization, channels)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.to_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[b, c, h, w] -> [b, c, h, w]"""
        q, k, v = rearrange(
            self.to_qkv(self.norm(x)), "b (three c) h w -> three b 1 (h w) c", three=3
        ).unbind()
        attended = F.scaled_dot_product_attention(q, k, v)
        return x + self.to_out(rearrange(attended, "b 1 (h w) c -> b c h w", h=x.shape[2]))


class Downsample(nn.Module):
    """Halves height and width: 3x3 with stride 2 padded right and below (taming-transformers), or
    2x2 patches."""

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.pad = (0, 1, 0, 1) if kernel_size == 3 else (0, 0, 0, 0)
        self.conv = nn.Conv2d(channels, channels, 3 if kernel_size == 3 else 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """[b, c, 2h, 2w] -> [b, c, h, w]"""
        return self.conv(F.pad(x, self.pad))


class Upsample(nn.Module):
    """Doubles height and width: nearest neighbour, then a 3x3 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = convolution(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """[b, c, h, w] -> [b, c, 2h, 2w]"""
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
