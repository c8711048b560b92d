"""What a VQGAN is trained for, as turns of its two players."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vq.codebook import codebook_learner
from vq.global_batch import GlobalBatch
from vq.gumbel import cosine_course
from vq.judging import AdversarialLoss, Contrasts
from vq.reconstruction import Batch, ReconstructionGame, ReconstructionSettings, Turn
from vq.vqgan import VQGAN, VQGANOutput


@dataclass(frozen=True)
class VQGANObjectiveSettings(ReconstructionSettings):
    """Weights of the reconstruction's terms, and of the quantizer's.

    Attributes:
        codebook_weight: of the codebook term, where codes follow the gradient.
        commitment_weight: beta of van den Oord et al. 2017.
        kl_weight: of the KL term of a "gumbel" quantizer (`vq/gumbel.py` on its size); like the
            three that follow, not used by another.
        kl_warmup_steps: over which the weight grows from 0 (DALL-E, A.2: 5,000).
        final_temperature: of the Gumbel-softmax, at first 1 (DALL-E, A.2: 1/16).
        temperature_steps: over which the temperature falls (DALL-E, A.2: 150,000).
    """

    codebook_weight: float = 1.0
    commitment_weight: float = 0.25
    kl_weight: float = 0.005
    kl_warmup_steps: int = 5000
    final_temperature: float = 1 / 16
    temperature_steps: int = 150_000

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.final_temperature <= 1:
            raise ValueError(
                f"final_temperature is {self.final_temperature}; it must be above 0 and at most 1."
            )

    def temperature(self, step: int) -> float:
        """Of the Gumbel-softmax at a step: a cosine from 1 to `final_temperature`."""
        fallen = cosine_course(step, self.temperature_steps)
        return 1 - (1 - self.final_temperature) * fallen

    def quantizer_weights(self, step: int | None = None) -> dict[str, float]:
        """Of a quantizer's losses by name, at a step or as they are in the end."""
        grown = 1.0 if step is None else cosine_course(step, self.kl_warmup_steps)
        return {
            "commitment": self.commitment_weight,
            "codebook": self.codebook_weight,
            "kl": self.kl_weight * grown,
        }


class VQGANObjective:
    """L = reconstruction + codebook + commitment (or KL) + adaptive weight * adversarial, and
    contrasts.

    Esser et al. 2021, eqs. 4 to 7. Every term is a mean per picture, and the objective their mean
    over all pictures of the global batch. With EMA codes the codebook term is not a loss but the
    update that follows the generator's step.

    Args:
        tokenizer: the generator; also holds all state (code statistics are buffers of it).
        settings: weights.
        discriminator, adversarial_loss: needed where `adversarial_weight` is not 0, the
            discriminator also with contrasts.
        perceptual_loss: (reconstruction, pixels) -> [b], or None to leave the term out.
        all_reduce_sum: a tensor's sum over processes.
        rank, world_size: of this process.
        contrasts: see `ReconstructionGame`.
    """

    def __init__(
        self,
        tokenizer: VQGAN,
        settings: VQGANObjectiveSettings,
        discriminator: nn.Module | None = None,
        perceptual_loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        adversarial_loss: AdversarialLoss | None = None,
        all_reduce_sum: Callable[[Tensor], Tensor] = lambda tensor: tensor,
        rank: int = 0,
        world_size: int = 1,
        contrasts: Contrasts | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.settings = settings
        self.players: dict[str, nn.Module] = {"generator": tokenizer}
        wanted = settings.adversarial_weight > 0 or contrasts is not None
        if wanted and discriminator is not None:
            self.players["discriminator"] = discriminator
        self.global_batch = GlobalBatch(all_reduce_sum, rank, world_size)
        self.game = ReconstructionGame(
            self.players,
            tokenizer.decoder,
            settings,
            self.global_batch,
            perceptual_loss,
            adversarial_loss,
            contrasts=contrasts,
        )
        self.codebook = codebook_learner(tokenizer.quantizer, tokenizer.config, self.global_batch)

    def turns(self, micro_batches: list[Batch], step: int) -> Iterator[Turn]:
        """The turns of `ReconstructionGame`; the codebook's update follows the generator's step."""
        pixels = [batch["pixels"] for batch in micro_batches]
        self.codebook.forget()
        self._start_codebook(pixels)
        self.tokenizer.quantizer.anneal(self.settings.temperature(step))
        weights = self.settings.quantizer_weights(step)
        scale = self.game.scale(pixels)
        usage = self.codebook.usage()

        def generate(index: int) -> VQGANOutput:
            return self.players["generator"](pixels[index])

        def quantizer_losses(index: int, output: VQGANOutput) -> dict[str, Tensor]:
            self.codebook.observe(output.quantized, pixels[index])
            losses = output.quantized.losses
            # Usage is the same for all pictures: each micro-batch contributes its share.
            share = scale * len(pixels[index])
            return {
                "loss": scale * weighted(losses, weights).sum(),
                **{name: scale * values.detach().sum() for name, values in losses.items()},
                **{name: value * share for name, value in usage.items()},
            }

        yield from self.game.turns(micro_batches, generate, quantizer_losses, scale, step)
        self.codebook.update(step)

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        """Name -> (sum, count) over pictures. "loss" leaves out the adversarial term, whose value
        says nothing about quality."""
        pixels = batch["pixels"]
        output = self.players["generator"](pixels)
        terms = self.game.evaluate(output.reconstruction, pixels)
        # At the weights of the end: losses before and after a warm-up must be comparable.
        losses = output.quantized.losses
        quantizer = weighted(losses, self.settings.quantizer_weights())
        terms = {**terms, **losses, "loss": terms.pop("reconstruction") + quantizer}
        count = torch.tensor(float(len(pixels)), device=pixels.device)
        return {name: (values.sum(), count) for name, values in terms.items()}

    def validation_loss(self, means: dict[str, float]) -> float:
        """The loss as it is, from the means of `evaluate`."""
        return means["loss"]

    def state_dict(self) -> dict[str, Tensor]:
        """Nothing: what must survive a resume is in the tokenizer's buffers."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Counterpart of `state_dict`."""

    def _start_codebook(self, pixels: list[Tensor]) -> None:
        if self.codebook.started:
            return
        with torch.no_grad():
            self.codebook.start([self.tokenizer.encode(p) for p in pixels], pixels)
        torch.clear_autocast_cache()


def weighted(losses: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    """The sum [b] of losses [b], each times its weight."""
    return torch.stack([weights[name] * loss for name, loss in losses.items()]).sum(dim=0)
