"""XMC-GAN's generator: gains and shifts of its maps follow the text (2101.04702, section 4.2)."""

from einops import rearrange
from torch import Tensor, cat, nn
from torch.nn import functional as F

from gan.blocks import (
    SelfAttention,
    SelfModulatedNorm,
    WordAttention,
    as_pixels,
    everywhere,
    initialize_as_glorot,
    map_sizes,
    twice_as_large,
)
from gan.generators.config import WORDS_LOOK_AT, GeneratorConfig, GeneratorShape
from gan.text_encoders import TextBatch


class AttentionalGenerator(nn.Module):
    """Residual blocks modulated by noise and sentence, and from 16 x 16 on by what the words say
    about each place too (looked up once, as in the authors' code). Without text it is the plain
    residual generator of SNGAN and InfoMax-GAN (Miyato et al., 1802.05957, appendix B.4)."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        shape = GeneratorShape(**config.shape)
        self.sizes = map_sizes(*config.image_size)
        widths = [shape.base_channels * ratio for ratio in channel_ratios(len(self.sizes) - 1)]
        self.text = None
        condition = local = 0
        if config.text_width is not None:
            self.text = nn.Linear(config.text_width, shape.text_dim)
            condition = local = shape.noise_dim + shape.text_dim
        height, width = self.sizes[0]
        self.start = nn.Linear(shape.noise_dim, widths[0] * height * width)
        self.blocks = nn.ModuleList()
        self.words: nn.ModuleDict = nn.ModuleDict()
        self.attention: nn.ModuleDict = nn.ModuleDict()
        before = widths[0]
        for size, after in zip(self.sizes[1:], widths, strict=True):
            self.blocks.append(UpBlock(before, after, local))
            if min(size) == WORDS_LOOK_AT and config.text_width and shape.word_attention:
                self.words[str(len(self.blocks))] = WordAttention(after, config.text_width)
                local = condition + config.text_width
            if min(size) == shape.self_attention_at:
                self.attention[str(len(self.blocks))] = SelfAttention(after)
            before = after
        self.norm = SelfModulatedNorm(before, local)
        self.to_pixels = nn.Conv2d(before, 3, 3, padding=1)
        self.apply(initialize_as_glorot)

    def forward(self, noise: Tensor, texts: TextBatch | None, attributes: Tensor | None) -> Tensor:
        height, width = self.sizes[0]
        maps = rearrange(self.start(noise), "b (c h w) -> b c h w", h=height, w=width)
        whole = condition = None
        if self.text is not None:
            assert texts is not None
            whole = cat([self.text(texts.sentence), noise], dim=1)
            condition = rearrange(whole, "b c -> b c 1 1")
        for number, block in enumerate(self.blocks, start=1):
            maps = block(maps, condition)
            if (key := str(number)) in self.words:
                assert texts is not None and whole is not None
                said = self.words[key](maps, texts.words, texts.mask)
                condition = cat([said, everywhere(whole, maps)], dim=1)
            if key in self.attention:
                maps = self.attention[key](maps)
        return as_pixels(self.to_pixels(F.relu(self.norm(maps, condition))))


class UpBlock(nn.Module):
    """A residual block that doubles the size."""

    def __init__(self, before: int, after: int, condition: int) -> None:
        super().__init__()
        self.first_norm = SelfModulatedNorm(before, condition)
        self.first = nn.Conv2d(before, after, 3, padding=1)
        self.second_norm = SelfModulatedNorm(after, condition)
        self.second = nn.Conv2d(after, after, 3, padding=1)
        self.shortcut = nn.Conv2d(before, after, 1)

    def forward(self, maps: Tensor, condition: Tensor | None) -> Tensor:
        residual = self.first(twice_as_large(F.relu(self.first_norm(maps, condition))))
        residual = self.second(F.relu(self.second_norm(residual, condition)))
        # A 1 x 1 convolution of repeated values is the repeated convolution, at a fourth the work.
        return residual + twice_as_large(self.shortcut(maps))


def channel_ratios(blocks: int) -> list[int]:
    """Channels after each doubling, as multiples of the last's: 16, 8, 4, 2, 1 for 128 pixels, and
    16, 8, 8, 4, 2, 1 for 256, as in the authors' code."""
    halvings = [2**n for n in reversed(range(blocks))]
    return [min(16 if n == 0 else 8, ratio) for n, ratio in enumerate(halvings)]
