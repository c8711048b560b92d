"""What a VQGAN is trained for, as turns of its two players."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vq.codebook import CodebookLearner
from vq.global_batch import GlobalBatch
from vq.reconstruction import AdversarialLoss, ReconstructionGame, ReconstructionSettings, Turn
from vq.vqgan import VQGAN, VQGANOutput

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class VQGANObjectiveSettings(ReconstructionSettings):
    """Weights of the reconstruction's terms, and of the codebook's.

    Attributes:
        codebook_weight: of the codebook term, where codes follow the gradient.
        commitment_weight: beta of van den Oord et al. 2017.
    """

    codebook_weight: float = 1.0
    commitment_weight: float = 0.25


class VQGANObjective:
    """L = reconstruction + codebook + commitment + adaptive weight * adversarial.

    Esser et al. 2021, eqs. 4 to 7. Every term is a mean per picture, and the objective their mean
    over all pictures of the global batch. With EMA codes the codebook term is not a loss but the
    update that follows the generator's step.

    Args:
        tokenizer: the generator; also holds all state (code statistics are buffers of it).
        settings: weights.
        discriminator, adversarial_loss: needed where `adversarial_weight` is not 0.
        perceptual_loss: (reconstruction, pixels) -> [b], or None to leave the term out.
        all_reduce_sum: a tensor's sum over processes.
        rank, world_size: of this process.
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
    ) -> None:
        self.tokenizer = tokenizer
        self.settings = settings
        self.players: dict[str, nn.Module] = {"generator": tokenizer}
        if settings.adversarial_weight > 0 and discriminator is not None:
            self.players["discriminator"] = discriminator
        self.global_batch = GlobalBatch(all_reduce_sum, rank, world_size)
        self.game = ReconstructionGame(
            self.players,
            tokenizer.decoder,
            settings,
            self.global_batch,
            perceptual_loss,
            adversarial_loss,
        )
        self.codebook = CodebookLearner(tokenizer.quantizer, tokenizer.config, self.global_batch)

    def turns(self, micro_batches: list[Batch], step: int) -> Iterator[Turn]:
        """The turns of `ReconstructionGame`; the codebook's update follows the generator's step."""
        pixels = [batch["pixels"] for batch in micro_batches]
        self._start_codebook(pixels)
        scale = self.game.scale(pixels)
        usage = self.codebook.usage()

        def generate(index: int) -> VQGANOutput:
            return self.players["generator"](pixels[index])

        def codebook_losses(index: int, output: VQGANOutput) -> dict[str, Tensor]:
            self.codebook.observe(output.quantized, pixels[index])
            # Usage is the same for all pictures: each micro-batch contributes its share.
            share = scale * len(pixels[index])
            return {
                "loss": scale * self._codebook_term(output).sum(),
                "commitment": scale * output.quantized.commitment_loss.detach().sum(),
                **{name: value * share for name, value in usage.items()},
            }

        yield from self.game.turns(pixels, generate, codebook_losses, scale, step)
        self.codebook.update(step)

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        """Name -> (sum, count) over pictures. "loss" leaves out the adversarial term, whose value
        says nothing about quality."""
        pixels = batch["pixels"]
        output = self.players["generator"](pixels)
        terms = self.game.evaluate(output.reconstruction, pixels)
        terms["loss"] = terms.pop("reconstruction") + self._codebook_term(output)
        terms["commitment"] = output.quantized.commitment_loss
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

    def _codebook_term(self, output: VQGANOutput) -> Tensor:
        """Commitment, and the codebook term where it is a loss: [b]."""
        settings, quantized = self.settings, output.quantized
        term = settings.commitment_weight * quantized.commitment_loss
        if self.tokenizer.quantizer.learned_by_gradient:
            term = term + settings.codebook_weight * quantized.codebook_loss
        return term
