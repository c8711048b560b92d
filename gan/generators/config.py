"""The shape of a generator that a user chooses, and the configuration that a checkpoint keeps."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from transformers import PreTrainedConfig

from gan.blocks import SMALLEST_SIDE, map_sizes

MAPS_OF_ATTRIBUTES = 3
"""Of a memory: those of 4, 8 and 16 pixels (Adma-GAN's code), or as many of the finest."""
WORDS_LOOK_AT = 16
"""The shorter side of the map that looks at words (XMC-GAN: 16 x 16)."""


@dataclass
class MemoryShape:
    """An attribute memory (Adma-GAN, 2209.14046, section 3.2).

    update: `aware` adds up the vectors of a sample's attributes, `joint` after a graph convolution.
    start: at the text encoder's vectors of the attributes' `phrases`, or at `random` ones.
    learned: whether the vectors are trained.
    placement: whether attributes shape the `early`, coarse maps and the sentence the fine ones, as
        in the paper, or the other way round, `late`.
    """

    update: Literal["aware", "joint"] = "joint"
    start: Literal["phrases", "random"] = "phrases"
    learned: bool = True
    placement: Literal["early", "late"] = "early"


@dataclass
class GeneratorShape:
    """The part of a generator's configuration that is a choice.

    architecture: `dcgan` (Reed et al., 1605.05396), `attentional` (XMC-GAN, 2101.04702), or
        `deep_fusion` (DF-GAN, 2008.05865, as Adma-GAN, 2209.14046, has it).
    noise_dim: of z.
    base_channels: of the last map; coarser ones have up to sixteen times as many.
    text_dim: of the sentence after its projection; `deep_fusion` takes it as it is.
    word_attention: of `attentional`: whether places look at words, or see the sentence alone.
    self_attention_at: the shorter side in pixels of the map whose places look at each other; null
        for none.
    memory: of `deep_fusion`: present, coarse maps are shaped by attributes.
    """

    architecture: Literal["dcgan", "attentional", "deep_fusion"] = "dcgan"
    noise_dim: int = 100
    base_channels: int = 32
    text_dim: int = 128
    word_attention: bool = True
    self_attention_at: int | None = None
    memory: MemoryShape | None = None

    def __post_init__(self) -> None:
        if isinstance(self.memory, dict):
            self.memory = MemoryShape(**self.memory)
        if self.architecture not in ("dcgan", "attentional", "deep_fusion"):
            raise ValueError(
                f"architecture is {self.architecture!r}; it must be dcgan, attentional or "
                "deep_fusion."
            )
        for name in ("noise_dim", "base_channels", "text_dim"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 1 or more.")
        if self.memory is not None and self.architecture != "deep_fusion":
            raise ValueError(
                f"memory is of the deep_fusion architecture, not of {self.architecture}; set it to "
                "null."
            )


class GeneratorConfig(PreTrainedConfig):
    """`GeneratorShape` plus what follows from data and text encoder.

    `image_size` is (height, width); `text_width` that of the text encoder's vectors, None without
    text; `attributes` are the phrases that a memory knows.
    """

    model_type = "drawscribe_gan_generator"

    def __init__(
        self,
        shape: dict[str, Any] | None = None,
        image_size: tuple[int, int] | list[int] = (64, 64),
        text_width: int | None = None,
        attributes: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        self.shape = asdict(GeneratorShape(**(shape or {})))
        self.image_size = list(image_size)
        self.text_width = text_width
        self.attributes = list(attributes or [])
        check_image_size(self.image_size[0], self.image_size[1])
        maps = [min(one) for one in map_sizes(self.image_size[0], self.image_size[1])]
        # Reed's network ends where its pixels begin, and XMC-GAN's first block enlarges already.
        sides = {"dcgan": maps[:-1], "attentional": maps[1:]}.get(self.shape["architecture"], maps)
        at = self.shape["self_attention_at"]
        if at is not None and at not in sides:
            raise ValueError(
                f"self_attention_at is {at}, and places may look at each other on sides of "
                f"{', '.join(map(str, sides))}; choose one of these."
            )
        if self.shape["memory"] is not None and len(maps) <= MAPS_OF_ATTRIBUTES:
            raise ValueError(
                f"memory shapes {MAPS_OF_ATTRIBUTES} sizes of maps, and pictures of "
                f"{min(self.image_size)} pixels have no other, which follows the sentence; choose "
                "larger pictures, or set it to null."
            )
        super().__init__(**kwargs)


def check_image_size(height: int, width: int) -> None:
    """Raises:
    ValueError: the picture cannot be halved down to a map of 4 places a side.
    """
    sizes = map_sizes(height, width)
    top, left = sizes[0]
    if (
        min(sizes[0]) != SMALLEST_SIDE
        or len(sizes) < 3
        or (height, width)
        != (
            top * 2 ** (len(sizes) - 1),
            left * 2 ** (len(sizes) - 1),
        )
    ):
        raise ValueError(
            f"pictures of {height} x {width} cannot be halved again and again down to "
            f"{SMALLEST_SIDE} places a side; choose 32, 64, 128 or 256 pixels for the shorter "
            "side, and for the other a multiple of an eighth of that."
        )
