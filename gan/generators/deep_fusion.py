"""Deep-fusion generator of DF-GAN (2008.05865, section 3.3), as Adma-GAN has it (2209.14046,
section 3.3): its coarse maps follow the attributes of a text, its fine ones the sentence."""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from gan.attribute_memory import AttributeMemory
from gan.blocks import AffineFusion, SelfAttention, as_pixels, map_sizes, twice_as_large
from gan.generators.config import MAPS_OF_ATTRIBUTES, GeneratorConfig, GeneratorShape
from gan.text_encoders import TextBatch

MOST_CHANNELS = 8
"""Of a map, as multiples of the finest's (DF-GAN's code)."""


class DeepFusionGenerator(nn.Module):
    """Fusion blocks, one for each size of map, none of which normalizes.

    Without text the noise takes the sentence's place.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        shape = GeneratorShape(**config.shape)
        self.sizes = map_sizes(*config.image_size)
        levels = len(self.sizes)
        widths = [shape.base_channels * min(MOST_CHANNELS, 2**n) for n in reversed(range(levels))]
        condition = config.text_width or shape.noise_dim
        self.memory = None
        self.of_attributes = range(0)
        if shape.memory is not None and config.text_width is not None:
            memory = shape.memory
            self.memory = AttributeMemory(
                len(config.attributes), config.text_width, memory.update, memory.learned
            )
            first = 0 if memory.placement == "early" else levels - MAPS_OF_ATTRIBUTES
            self.of_attributes = range(first, first + MAPS_OF_ATTRIBUTES)
        height, width = self.sizes[0]
        self.start = nn.Linear(shape.noise_dim, widths[0] * height * width)
        pairs = zip([widths[0], *widths[:-1]], widths, strict=True)
        self.blocks = nn.ModuleList(FusionBlock(*pair, condition) for pair in pairs)
        side = shape.self_attention_at
        at = None if side is None else [min(size) for size in self.sizes].index(side)
        self.attention_after = at
        self.attention = None if at is None else SelfAttention(widths[at])
        self.to_pixels = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, noise: Tensor, texts: TextBatch | None, attributes: Tensor | None) -> Tensor:
        # Gains multiply through all blocks, and grow with the length of what they follow: that of
        # a text encoder's vectors may be anything (a BERT's is ten times that of the authors').
        sentence = F.normalize(noise if texts is None else texts.sentence, dim=1)
        remembered = None
        if self.memory is not None:
            assert attributes is not None
            remembered = self.memory(attributes)
        height, width = self.sizes[0]
        maps = rearrange(self.start(noise), "b (c h w) -> b c h w", h=height, w=width)
        for number, block in enumerate(self.blocks):
            if number > 0:
                maps = twice_as_large(maps)
            of_memory = remembered is not None and number in self.of_attributes
            maps = block(maps, remembered if of_memory else sentence)
            if number == self.attention_after:
                assert self.attention is not None
                maps = self.attention(maps)
        return as_pixels(self.to_pixels(F.leaky_relu(maps, 0.2)))


class FusionBlock(nn.Module):
    """Two convolutions, each after two affine transformations by the condition; how much of them
    there is beside the shortcut is learned, from a half (Adma-GAN's code)."""

    def __init__(self, before: int, after: int, condition: int) -> None:
        super().__init__()
        self.fusions = nn.ModuleList(
            AffineFusion(channels, condition) for channels in (before, before, after, after)
        )
        self.convolutions = nn.ModuleList(
            nn.Conv2d(channels, after, 3, padding=1) for channels in (before, after)
        )
        self.shortcut = nn.Conv2d(before, after, 1) if before != after else nn.Identity()
        self.share = nn.Parameter(torch.tensor(0.5))

    def forward(self, maps: Tensor, condition: Tensor) -> Tensor:
        residual = maps
        for number, fusion in enumerate(self.fusions):
            residual = F.leaky_relu(fusion(residual, condition), 0.2)
            if number % 2:
                residual = self.convolutions[number // 2](residual)
        return (1 - self.share) * self.shortcut(maps) + self.share * residual
