"""Any of the generators, as it is saved and loaded."""

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from gan.attribute_memory import AttributeMemory
from gan.generators.attentional import AttentionalGenerator
from gan.generators.config import GeneratorConfig
from gan.generators.dcgan import DCGANGenerator
from gan.generators.deep_fusion import DeepFusionGenerator
from gan.text_encoders import TextBatch

ARCHITECTURES: dict[str, type[nn.Module]] = {
    "dcgan": DCGANGenerator,
    "attentional": AttentionalGenerator,
    "deep_fusion": DeepFusionGenerator,
}


class Generator(PreTrainedModel):
    """Draws pictures from noise and texts."""

    config_class = GeneratorConfig
    config: GeneratorConfig
    base_model_prefix = "generator"
    main_input_name = "noise"

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config)
        self.network = ARCHITECTURES[config.shape["architecture"]](config)
        self.noise_dim: int = config.shape["noise_dim"]
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Each network has initialized its own."""

    def forward(
        self, noise: Tensor, texts: TextBatch | None = None, attributes: Tensor | None = None
    ) -> Tensor:
        """Noise [b, noise_dim] -> pixels [b, 3, H, W], about [-1, 1] (see `as_pixels`).

        Args:
            texts: of b texts, where the generator was made for texts.
            attributes: [b, n] in {0, 1}, where it has a memory.
        """
        return self.network(noise, texts, attributes).float()

    def remembered(self, attributes: Tensor) -> Tensor:
        """What the memory holds of attributes [b, n]: [b, text width]."""
        return self.memory(attributes)

    @property
    def memory(self) -> AttributeMemory:
        """Raises:
        ValueError: it has none.
        """
        memory = getattr(self.network, "memory", None)
        if memory is None:
            raise ValueError("the generator has no memory of attributes.")
        return memory

    def noise(self, count: int, generator: torch.Generator) -> Tensor:
        """N(0, 1) [count, noise_dim], of the generator on the CPU."""
        return torch.randn(count, self.noise_dim, generator=generator).to(self.device)
