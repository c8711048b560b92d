"""The shape of a VQGAN: everything needed to rebuild one from its weights, and how its codes are
learned."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class VQGANConfig:
    """Architecture and codebook of a VQGAN (Esser et al. 2021).

    With `patch_size` 1, `encoder_kernel_size` 3 and `normalization` "group" encoder and decoder are
    those of taming-transformers, mirrored. The other values make a small tokenizer that learns in
    minutes on a CPU.

    Attributes:
        image_channels: channels of a picture.
        base_channels: width at full resolution (after the patch stem); level i has
            `base_channels * channel_multipliers[i]` channels.
        channel_multipliers: one per level, from high to low resolution; each level after the first
            halves it.
        residual_blocks: per level in the encoder; the decoder has one more, as in
            taming-transformers.
        attention_levels: how many of the lowest-resolution levels have self-attention. Counted in
            levels, not in pixels, so that one network takes pictures of any size.
        middle_attention: self-attention between the two middle blocks.
        patch_size: the encoder first folds patches of this side into channels, the decoder finally
            unfolds them; 1 for plain convolutions at full resolution.
        normalization: "group" (GroupNorm) or "channel" (LayerNorm over each position's own
            channels: no statistics of the whole picture reach an id).
        encoder_kernel_size: 3, or 1 for an encoder that codes every f x f square by itself: its
            convolutions are 1x1 (halving, 2x2) and without attention. The decoder still sees all.
            Ids then say nothing twice, which makes them much easier to predict.
        latent_channels: width of the encoder's output before it is projected to `encoder_channels`.
        quantizer: "nearest" (a vector per position becomes its nearest code: VQ-VAE, VQGAN) or
            "gumbel" (a logit per code and position, relaxed by Gumbel-softmax in training: the
            discrete VAE of DALL-E). Of what follows, "gumbel" uses `codebook_size`, `code_dim`
            and `ema_decay` (for its statistics): its codes are weights like any other, so distance,
            update, start and revival do not apply.
        codebook_size: number of codes.
        code_dim: length of a code.
        codebook_distance: "cosine" (codes and encoder vectors on the unit sphere, Yu et al. 2022)
            or "euclidean".
        codebook_update: "ema" (codes are running means of what they stand for, van den Oord et al.
            2017, A.1) or "gradient" (codes follow the codebook loss).
        codebook_start: "first_batch" (spread over the first batch's encoder vectors) or "random".
        ema_decay: of the running means, also of the usage statistics when codes follow the
            gradient.
        revive_after_steps: a code unused for this many optimizer steps restarts at an encoder
            vector that is far from its code; 0 never.
    """

    image_channels: int = 3
    base_channels: int = 128
    channel_multipliers: tuple[int, ...] = (1, 1, 2, 4)
    residual_blocks: int = 2
    attention_levels: int = 1
    middle_attention: bool = True
    patch_size: int = 1
    normalization: Literal["group", "channel"] = "group"
    encoder_kernel_size: Literal[1, 3] = 3
    latent_channels: int = 256
    quantizer: Literal["nearest", "gumbel"] = "nearest"
    codebook_size: int = 8192
    code_dim: int = 8
    codebook_distance: Literal["cosine", "euclidean"] = "cosine"
    codebook_update: Literal["ema", "gradient"] = "ema"
    codebook_start: Literal["first_batch", "random"] = "first_batch"
    ema_decay: float = 0.99
    revive_after_steps: int = 100

    def __post_init__(self) -> None:
        # JSON and YAML have lists only.
        object.__setattr__(self, "channel_multipliers", tuple(self.channel_multipliers))
        if not self.channel_multipliers:
            raise ValueError(
                "channel_multipliers is empty; give one multiplier per resolution level, as [1, 2]."
            )
        for name in (
            "image_channels",
            "base_channels",
            "residual_blocks",
            "patch_size",
            "latent_channels",
            "code_dim",
        ):
            _require(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        _require(
            "channel_multipliers",
            self.channel_multipliers,
            min(self.channel_multipliers) >= 1,
            "all at least 1",
        )
        _require("codebook_size", self.codebook_size, self.codebook_size >= 2, "at least 2")
        levels = len(self.channel_multipliers)
        _require(
            "attention_levels",
            self.attention_levels,
            0 <= self.attention_levels <= levels,
            f"between 0 and {levels}, the number of channel_multipliers",
        )
        for name, allowed in _CHOICES.items():
            _require(
                name,
                getattr(self, name),
                getattr(self, name) in allowed,
                " or ".join(map(repr, allowed)),
            )
        _require("ema_decay", self.ema_decay, 0 <= self.ema_decay < 1, "at least 0 and below 1")
        _require(
            "revive_after_steps",
            self.revive_after_steps,
            self.revive_after_steps >= 0,
            "0 (never) or more",
        )

    @property
    def downsampling_factor(self) -> int:
        """f: the side in pixels of the square that one id stands for."""
        return int(self.patch_size * 2 ** (len(self.channel_multipliers) - 1))

    @property
    def encoder_channels(self) -> int:
        """Of the encoder's output: a vector to compare with codes, or one logit per code."""
        return self.codebook_size if self.quantizer == "gumbel" else self.code_dim


_CHOICES: dict[str, tuple] = {
    "normalization": ("group", "channel"),
    "encoder_kernel_size": (1, 3),
    "quantizer": ("nearest", "gumbel"),
    "codebook_distance": ("cosine", "euclidean"),
    "codebook_update": ("ema", "gradient"),
    "codebook_start": ("first_batch", "random"),
}


def _require(name: str, value: object, holds: bool, allowed: str) -> None:
    if not holds:
        raise ValueError(f"{name} is {value!r}; it must be {allowed}.")
