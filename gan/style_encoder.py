"""The noise that a picture could have been drawn from: its style, which another text can wear
(Reed et al., 1605.05396, section 4.4)."""

from collections.abc import Iterator
from typing import Any

import torch
from einops import reduce
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from gan.blocks import map_sizes
from gan.discriminators.trunks import dcgan_trunk
from gan.generators import Generator
from gan.noise import noise_of_a_step
from gan.terms import AllProcesses, Batch, Turn
from gan.text_encoders import TextEncoder


class StyleEncoderConfig(PreTrainedConfig):
    """`noise_dim` and `image_size` (height, width) are the generator's; `base_channels` those of
    the first map."""

    model_type = "drawscribe_gan_style_encoder"

    def __init__(
        self,
        noise_dim: int = 100,
        image_size: tuple[int, int] | list[int] = (64, 64),
        base_channels: int = 64,
        **kwargs: Any,
    ) -> None:
        self.noise_dim = noise_dim
        self.image_size = list(image_size)
        self.base_channels = base_channels
        super().__init__(**kwargs)


class StyleEncoder(PreTrainedModel):
    """The discriminator's convolutions, without text, ending in noise. Unlike a discriminator's its
    batch normalization keeps statistics, since it is shown single pictures."""

    config_class = StyleEncoderConfig
    config: StyleEncoderConfig
    base_model_prefix = "style_encoder"
    main_input_name = "pixels"

    def __init__(self, config: StyleEncoderConfig) -> None:
        super().__init__(config)
        height, width = config.image_size
        sizes = map_sizes(height, width)
        side = min(height, width)
        self.trunk = dcgan_trunk(config.base_channels, len(sizes) - 1, side, statistics=True)
        places = sizes[0][0] * sizes[0][1]
        self.output = nn.Linear(self.trunk.channels * places, config.noise_dim)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """The trunk has initialized its own."""

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [b, 3, H, W] in [-1, 1] -> noise [b, noise_dim]."""
        return self.output(self.trunk(pixels).last.flatten(1)).float()


def style_loss(noise: Tensor, found: Tensor) -> Tensor:
    """|noise - found|^2, [b, noise_dim] -> [b] (Reed et al., 1605.05396, eq. 6)."""
    return reduce((noise - found).square(), "b d -> b", "sum")


class StyleObjective:
    """A style encoder is to find the noise that a finished generator drew from.

    Args:
        text_encoder: None where the generator draws from noise alone.
        processes: of the global batch.
        seed: of the noise.
    """

    def __init__(
        self,
        style_encoder: StyleEncoder,
        generator: Generator,
        processes: AllProcesses,
        text_encoder: TextEncoder | None = None,
        seed: int = 0,
    ) -> None:
        self.players: dict[str, nn.Module] = {"style_encoder": style_encoder}
        self.style_encoder, self.generator = style_encoder, generator.eval()
        self.generator.requires_grad_(False)
        self.processes, self.text_encoder, self.seed = processes, text_encoder, seed

    def turns(self, micro_batches: list[Batch], step: int) -> Iterator[Turn]:
        """One; of the batches the texts are used, and the number of pictures."""
        yield "style_encoder", self._losses(micro_batches, step)

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        """The loss, and the share of the noise's variance that is found: 1 at best, 0 by chance."""
        noise, found = self._found(batch, 0, 1)
        loss = style_loss(noise, found)
        count = torch.tensor(float(len(loss)))
        explained = 1 - loss / reduce(noise.square(), "b d -> b", "sum")
        return {"loss": (loss.sum(), count), "explained": (explained.sum(), count)}

    def validation_loss(self, means: dict[str, float]) -> float:
        return means["loss"]

    def state_dict(self) -> dict[str, Tensor]:
        """Nothing: all state is in the player."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Counterpart of `state_dict`."""

    def _losses(self, micro_batches: list[Batch], step: int) -> Iterator[dict[str, Tensor]]:
        for number, batch in enumerate(micro_batches):
            loss = style_loss(*self._found(batch, step, 2 + number)).mean() / len(micro_batches)
            yield {"loss": loss}

    def _found(self, batch: Batch, step: int, number: int) -> tuple[Tensor, Tensor]:
        """Noise of a step's pass, and what the style encoder finds in the pictures drawn of it."""
        count = len(batch["pixels"])
        noise = noise_of_a_step(self.generator, count, self.processes, (self.seed, step, number))
        with torch.no_grad():
            texts = None
            if self.text_encoder is not None:
                texts = self.text_encoder(batch["text_ids"], batch["text_length"])
            pixels = self.generator(noise, texts, batch.get("attributes"))
        torch.clear_autocast_cache()
        return noise, self.style_encoder(pixels)
