"""What a VQGAN is trained for, as turns of its two players."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from vq.balance import Pull, adaptive_weight, frozen, measure_pull
from vq.codebook import codebook_learner
from vq.global_batch import GlobalBatch
from vq.gumbel import cosine_course
from vq.losses import pixel_losses, psnr
from vq.vqgan import VQGAN, VQGANOutput

Batch = dict[str, Tensor]


class AdversarialLoss(Protocol):
    """Logits [b, ...] -> losses [b]; such as `gan.adversarial_losses.HingeLoss`."""

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor: ...

    def generator(self, fake_logits: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class VQGANObjectiveSettings:
    """Weights of the terms.

    Attributes:
        l1_weight, l2_weight: of absolute and squared differences of pixels.
        foreground_weight: factor on pixels unlike the picture's border (1 = off); for drawings on
            plain backgrounds, whose few pixels would otherwise hardly count.
        perceptual_weight: of LPIPS.
        codebook_weight: of the codebook term, where codes follow the gradient.
        commitment_weight: beta of van den Oord et al. 2017.
        kl_weight: of the KL term of a "gumbel" quantizer (`vq/gumbel.py` on its size); like the
            three that follow, not used by another.
        kl_warmup_steps: over which the weight grows from 0 (DALL-E, A.2: 5,000).
        final_temperature: of the Gumbel-softmax, at first 1 (DALL-E, A.2: 1/16).
        temperature_steps: over which the temperature falls (DALL-E, A.2: 150,000).
        adversarial_weight: of the discriminator's term; 0 trains a plain VQ-VAE.
        adversarial_start_step: the discriminator and its term begin at this step.
        adversarial_warmup_steps: over which the term then grows to its weight, so that a
            discriminator that knows nothing yet does no harm.
    """

    l1_weight: float = 1.0
    l2_weight: float = 0.0
    foreground_weight: float = 1.0
    perceptual_weight: float = 1.0
    codebook_weight: float = 1.0
    commitment_weight: float = 0.25
    kl_weight: float = 0.005
    kl_warmup_steps: int = 5000
    final_temperature: float = 1 / 16
    temperature_steps: int = 150_000
    adversarial_weight: float = 0.0
    adversarial_start_step: int = 0
    adversarial_warmup_steps: int = 0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 0:
                raise ValueError(f"{name} is {value}; it must be 0 or more.")
        if self.foreground_weight < 1:
            raise ValueError(
                f"foreground_weight is {self.foreground_weight}; it must be at least 1 (1 is off)."
            )
        if self.l1_weight == self.l2_weight == self.perceptual_weight == 0:
            raise ValueError(
                "l1_weight, l2_weight and perceptual_weight are all 0; reconstruction needs one."
            )
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
    """L = reconstruction + codebook + commitment (or KL) + adaptive weight * adversarial.

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
        self._weights = settings.quantizer_weights()
        self.players: dict[str, nn.Module] = {"generator": tokenizer}
        if settings.adversarial_weight > 0:
            if discriminator is None or adversarial_loss is None:
                raise ValueError(
                    f"adversarial_weight is {settings.adversarial_weight} but there is no "
                    "discriminator; add one, or set adversarial_weight to 0."
                )
            self.players["discriminator"] = discriminator
        self.perceptual_loss = perceptual_loss
        self.adversarial_loss = adversarial_loss
        self.world_size = world_size
        self.global_batch = GlobalBatch(all_reduce_sum, rank, world_size)
        self.codebook = codebook_learner(tokenizer.quantizer, tokenizer.config, self.global_batch)

    def turns(
        self, micro_batches: list[Batch], step: int
    ) -> Iterator[tuple[str, Iterator[dict[str, Tensor]]]]:
        """The discriminator's turn, once its term has started, then the generator's.

        Yields (player, losses of each micro-batch). "loss" is differentiable; summed over
        micro-batches and averaged over processes it is the objective of the global batch, and the
        other entries likewise. The codebook's update follows the generator's step.
        """
        pixels = [batch["pixels"] for batch in micro_batches]
        self._start_codebook(pixels)
        self.tokenizer.quantizer.anneal(self.settings.temperature(step))
        self._weights = self.settings.quantizer_weights(step)
        pictures = torch.tensor(sum(map(len, pixels)), device=pixels[0].device)
        scale = self.world_size / self.global_batch.all_reduce_sum(pictures).float()
        # With a single micro-batch one forward pass serves both turns: the discriminator's step
        # does not change the generator. With several only their pixels are kept in memory.
        kept: list[VQGANOutput] = []
        weight = self._adversarial_weight(step)
        if weight > 0:
            yield "discriminator", self._discriminator_losses(pixels, scale, kept)
        yield "generator", self._generator_losses(pixels, scale, weight, kept)
        self.codebook.update(step)

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        """Name -> (sum, count) over pictures. "loss" leaves out the adversarial term, whose value
        says nothing about quality."""
        pixels = batch["pixels"]
        output = self.players["generator"](pixels)
        terms = self._reconstruction_terms(output.reconstruction, pixels)
        terms["psnr"] = psnr(output.reconstruction, pixels)
        # At the weights of the end: losses before and after a warm-up must be comparable.
        weights = self.settings.quantizer_weights()
        terms["loss"] = terms.pop("reconstruction") + self._codebook_term(output, weights)
        terms |= output.quantized.losses
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

    def _adversarial_weight(self, step: int) -> float:
        settings = self.settings
        since = step - settings.adversarial_start_step + 1
        if since <= 0:
            return 0.0
        return settings.adversarial_weight * min(
            1.0, since / max(1, settings.adversarial_warmup_steps)
        )

    def _reconstruct(
        self, pixels: Tensor, kept: list[VQGANOutput], keep_graph: bool
    ) -> VQGANOutput:
        """One micro-batch through the generator, for its values only unless `keep_graph`."""
        if kept:
            return kept[0]
        if keep_graph:
            kept.append(self.players["generator"](pixels))
            return kept[0]
        with torch.no_grad():
            output = self.players["generator"](pixels)
        # Autocast would hand the weights it cast without a graph to the next pass, which needs one.
        torch.clear_autocast_cache()
        return output

    def _discriminator_losses(
        self, pixels: list[Tensor], scale: Tensor, kept: list[VQGANOutput]
    ) -> Iterator[dict[str, Tensor]]:
        assert self.adversarial_loss is not None
        discriminator = self.players["discriminator"]
        for real in pixels:
            output = self._reconstruct(real, kept, keep_graph=len(pixels) == 1)
            real_logits = discriminator(real)
            fake_logits = discriminator(output.reconstruction.detach())
            terms = {
                "loss": self.adversarial_loss.discriminator(real_logits, fake_logits),
                "real_logit": real_logits.detach().flatten(1).mean(dim=1),
                "fake_logit": fake_logits.detach().flatten(1).mean(dim=1),
            }
            yield {name: scale * values.sum() for name, values in terms.items()}

    def _generator_losses(
        self, pixels: list[Tensor], scale: Tensor, weight: float, kept: list[VQGANOutput]
    ) -> Iterator[dict[str, Tensor]]:
        usage = self.codebook.usage()
        if weight > 0:
            pulls, adaptive = self._balance(pixels, scale, kept)
            usage["adaptive_weight"] = adaptive
        for index, real in enumerate(pixels):
            output = kept[0] if kept else self.players["generator"](real)
            if weight > 0:
                terms = pulls[index].terms
                total = terms["reconstruction"] + weight * adaptive * terms["adversarial"]
                gradient = pulls[index].through(output.reconstruction, weight * adaptive)
            else:
                terms = self._reconstruction_terms(output.reconstruction, real)
                total, gradient = terms["reconstruction"], scale.new_zeros(())
            terms |= output.quantized.losses
            self.codebook.observe(output.quantized, real)
            losses = {name: scale * values.detach().sum() for name, values in terms.items()}
            losses["loss"] = (
                scale * (total + self._codebook_term(output, self._weights)).sum() + gradient
            )
            # The same for all pictures: each micro-batch contributes its share.
            share = scale * len(real)
            losses.update({name: value * share for name, value in usage.items()})
            yield losses

    def _balance(
        self, pixels: list[Tensor], scale: Tensor, kept: list[VQGANOutput]
    ) -> tuple[list[Pull], Tensor]:
        """What the terms want of each micro-batch, and the global batch's adaptive weight."""
        assert self.adversarial_loss is not None
        generator_loss, discriminator = (
            self.adversarial_loss.generator,
            self.players["discriminator"],
        )
        pulls = []
        for real in pixels:

            def terms_of(fake: Tensor, real: Tensor = real) -> dict[str, Tensor]:
                terms = self._reconstruction_terms(fake, real)
                return {**terms, "adversarial": generator_loss(discriminator(fake))}

            output = self._reconstruct(real, kept, keep_graph=len(pixels) == 1)
            with frozen(discriminator):
                pulls.append(measure_pull(self.tokenizer, output, terms_of, scale))
        total = torch.stack([pull.on_last_layer for pull in pulls]).sum(dim=0)
        return pulls, adaptive_weight(self.global_batch.all_reduce_sum(total) / self.world_size)

    def _reconstruction_terms(self, reconstruction: Tensor, pixels: Tensor) -> dict[str, Tensor]:
        """Each term [b], and "reconstruction", their weighted sum."""
        settings = self.settings
        l1, l2 = pixel_losses(reconstruction, pixels, settings.foreground_weight)
        terms = {"l1": l1, "l2": l2}
        total = settings.l1_weight * l1 + settings.l2_weight * l2
        if self.perceptual_loss is not None and settings.perceptual_weight > 0:
            terms["perceptual"] = self.perceptual_loss(reconstruction, pixels)
            total = total + settings.perceptual_weight * terms["perceptual"]
        return {**terms, "reconstruction": total}

    def _codebook_term(self, output: VQGANOutput, weights: dict[str, float]) -> Tensor:
        """The quantizer's losses, weighted: [b]."""
        losses = output.quantized.losses
        return torch.stack([weights[name] * loss for name, loss in losses.items()]).sum(dim=0)
