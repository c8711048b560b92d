"""Reed's generator: a DCGAN whose noise is joined by the text (1605.05396, section 4)."""

from einops import rearrange
from torch import Tensor, cat, nn
from torch.nn import functional as F

from gan.blocks import SelfAttention, as_pixels, bottleneck, initialize_as_dcgan, map_sizes
from gan.generators.config import GeneratorConfig, GeneratorShape
from gan.text_encoders import TextBatch

WITH_BOTTLENECK = 2
"""The coarsest maps pass through a residual bottleneck, as in the authors' code."""


class DCGANGenerator(nn.Module):
    """Noise and text -> transposed convolutions."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        shape = GeneratorShape(**config.shape)
        self.sizes = map_sizes(*config.image_size)
        # 8, 4, 2, 1 times the base at 4, 8, 16 and 32 pixels for a picture of 64.
        factors = [min(8, 2**n) for n in range(len(self.sizes) - 1)]
        channels = [shape.base_channels * factor for factor in reversed(factors)]
        self.text = None
        inputs = shape.noise_dim
        if config.text_width is not None:
            self.text = nn.Linear(config.text_width, shape.text_dim)
            inputs += shape.text_dim
        height, width = self.sizes[0]
        self.start = nn.Linear(inputs, channels[0] * height * width, bias=False)
        self.levels = nn.ModuleList(
            DCGANLevel(n, width_in, min(size) == shape.self_attention_at)
            for n, (width_in, size) in enumerate(zip(channels, self.sizes, strict=False))
        )
        pairs = zip(channels, [*channels[1:], 3], strict=True)
        # The last has a bias: a plain background would else be made of features of objects.
        self.enlarge = nn.ModuleList(
            nn.ConvTranspose2d(before, after, 4, 2, 1, bias=after == 3) for before, after in pairs
        )
        self.apply(initialize_as_dcgan)

    def forward(self, noise: Tensor, texts: TextBatch | None, attributes: Tensor | None) -> Tensor:
        if self.text is not None:
            assert texts is not None
            # As long as noise of that width, whatever a text encoder gives: one that is trained by
            # a margin of inner products gives vectors of length 1, which noise would drown.
            sentence = texts.sentence.shape[1] ** 0.5 * F.normalize(texts.sentence, dim=1)
            noise = cat([F.leaky_relu(self.text(sentence), 0.2), noise], dim=1)
        height, width = self.sizes[0]
        maps = rearrange(self.start(noise), "b (c h w) -> b c h w", h=height, w=width)
        for level, enlarge in zip(self.levels, self.enlarge, strict=True):
            maps = enlarge(level(maps))
        return as_pixels(maps)


class DCGANLevel(nn.Module):
    """What is done at one size of map."""

    def __init__(self, number: int, channels: int, attention: bool) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.residual = None
        if number < WITH_BOTTLENECK:
            self.residual = bottleneck(channels, max(1, channels // 4), nn.ReLU)
        self.attention = SelfAttention(channels) if attention else None

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.norm(maps)
        if self.residual is not None:
            maps = maps + self.residual(maps)
        maps = F.relu(maps)
        return maps if self.attention is None else self.attention(maps)
