"""How well a decoder paints given pictures, as turns of its generator and of a discriminator.

The VQGAN's objective is this game with codes; end-to-end training is this game with hidden states.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

import torch
from torch import Tensor, nn

from vq.balance import Pull, Weights, adaptive_weight, frozen, measure_pull
from vq.encoder_decoder import Decoder
from vq.global_batch import GlobalBatch
from vq.judging import AdversarialLoss, Contrasts, Judge
from vq.losses import pixel_losses, psnr
from vq.passes import Passes

Batch = dict[str, Tensor]
Turn = tuple[str, Iterator[dict[str, Tensor]]]


class Painted(Protocol):
    """What a generator makes of a micro-batch: `reconstruction` [b, 3, H, W], not clamped, and
    `features`, from which the decoder's last layer painted it."""

    reconstruction: Any
    features: Any


Output = TypeVar("Output", bound=Painted)
Terms = dict[str, Tensor]


@dataclass(frozen=True)
class ReconstructionSettings:
    """Weights of the terms.

    Attributes:
        l1_weight, l2_weight: of absolute and squared differences of pixels.
        foreground_weight: factor on pixels unlike the picture's border (1 = off); for drawings on
            plain backgrounds, whose few pixels would otherwise hardly count.
        perceptual_weight: of LPIPS.
        adversarial_weight: of the discriminator's term; 0 trains without one.
        adversarial_loss: `hinge` or `non_saturating`, of each patch; or `dual_contrastive`, which
            compares the pictures of a micro-batch, over all processes, by the mean of their
            patches.
        adversarial_start_step: the discriminator, its term and contrasts begin at this step.
        adversarial_warmup_steps: over which what it wants of the generator, contrasts too, then
            grows to its weight, so that a discriminator that knows nothing yet does no harm.
    """

    l1_weight: float = 1.0
    l2_weight: float = 0.0
    foreground_weight: float = 1.0
    perceptual_weight: float = 1.0
    adversarial_weight: float = 0.0
    adversarial_loss: Literal["hinge", "non_saturating", "dual_contrastive"] = "hinge"
    adversarial_start_step: int = 0
    adversarial_warmup_steps: int = 0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not isinstance(value, str) and value < 0:
                raise ValueError(f"{name} is {value}; it must be 0 or more.")
        if self.foreground_weight < 1:
            raise ValueError(
                f"foreground_weight is {self.foreground_weight}; it must be at least 1 (1 is off)."
            )
        if self.l1_weight == self.l2_weight == self.perceptual_weight == 0:
            raise ValueError(
                "l1_weight, l2_weight and perceptual_weight are all 0; reconstruction needs one."
            )


class ReconstructionGame:
    """L = reconstruction + adaptive weight * adversarial (Esser et al. 2021, eqs. 5 to 7), and
    contrasts, where there are any.

    Every term is a mean per picture, and the objective their mean over all pictures of the global
    batch. The adaptive weight is the adversarial term's alone, and contrasts have no part in what
    it is measured on. They teach the discriminator by given pictures, whose features the painted
    ones are then to share.

    Args:
        players: of the objective that plays; "generator", and "discriminator" where
            `settings.adversarial_weight` is not 0 or there are contrasts. They are looked up at
            every call, as what stands there may be wrapped later.
        decoder: the generator's, on whose last layer the adversarial term is balanced.
        settings: weights.
        global_batch: the batch of all processes.
        perceptual_loss: (reconstruction, pixels) -> [b], or None to leave the term out.
        adversarial_loss: needed where `settings.adversarial_weight` is not 0.
        weight: of all these terms together in the generator's loss.
        contrasts: None for none.

    Raises:
        ValueError: a discriminator is missing.
    """

    def __init__(
        self,
        players: Mapping[str, nn.Module],
        decoder: Decoder,
        settings: ReconstructionSettings,
        global_batch: GlobalBatch,
        perceptual_loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        adversarial_loss: AdversarialLoss | None = None,
        weight: float = 1.0,
        contrasts: Contrasts | None = None,
    ) -> None:
        adversarial, there = settings.adversarial_weight > 0, "discriminator" in players
        if adversarial and (not there or adversarial_loss is None):
            raise ValueError(
                f"adversarial_weight is {settings.adversarial_weight} but there is no "
                "discriminator; add one, or set adversarial_weight to 0."
            )
        if contrasts is not None and not there:
            raise ValueError(
                "there are contrasts but no discriminator; add one, or leave them out."
            )
        self.players = players
        self.decoder = decoder
        self.settings = settings
        self.global_batch = global_batch
        self.perceptual_loss = perceptual_loss
        self.judge = Judge(
            players, global_batch, adversarial_loss if adversarial else None, contrasts
        )
        self.weight = weight

    def scale(self, pixels: list[Tensor]) -> Tensor:
        """What makes sums over this process's pictures [b, 3, H, W] means over the global batch,
        once they are averaged over processes."""
        pictures = torch.tensor(sum(map(len, pixels)), device=pixels[0].device)
        return self.global_batch.world_size / self.global_batch.all_reduce_sum(pictures).float()

    def turns(
        self,
        micro_batches: list[Batch],
        generate: Callable[[int], Output],
        other_losses: Callable[[int, Output], dict[str, Tensor]],
        scale: Tensor,
        step: int,
    ) -> Iterator[Turn]:
        """The discriminator's turn, once it has started, then the generator's.

        A micro-batch has `pixels` [b, 3, H, W], and what contrasts read. `generate` passes one, by
        its number, through the generator; `other_losses` adds to the generator's, by their names,
        with its share of the "loss"; `scale` is from `scale`.

        Yields (player, losses of each micro-batch). "loss" is differentiable; summed over
        micro-batches and averaged over processes it is the objective of the global batch, and the
        other entries likewise.
        """
        pixels = [batch["pixels"] for batch in micro_batches]
        passes = Passes(generate, len(pixels), pixels[0].device)
        grown = self._grown(step) if self.judge.there else 0.0
        said: list[Any] = []
        if grown > 0:
            said = self.judge.read(micro_batches)
            yield "discriminator", self._discriminator_losses(pixels, passes, scale, said)
        yield (
            "generator",
            self._generator_losses(pixels, passes, other_losses, scale, said, grown),
        )

    def terms(self, reconstruction: Tensor, pixels: Tensor) -> dict[str, Tensor]:
        """Each term [b], and "reconstruction", their weighted sum."""
        settings = self.settings
        l1, l2 = pixel_losses(reconstruction, pixels, settings.foreground_weight)
        terms = {"l1": l1, "l2": l2}
        total = settings.l1_weight * l1 + settings.l2_weight * l2
        if self.perceptual_loss is not None and settings.perceptual_weight > 0:
            terms["perceptual"] = self.perceptual_loss(reconstruction, pixels)
            total = total + settings.perceptual_weight * terms["perceptual"]
        return {**terms, "reconstruction": total}

    @torch.no_grad()
    def evaluate(self, reconstruction: Tensor, pixels: Tensor) -> dict[str, Tensor]:
        """The terms, and "psnr" in dB, each [b]. The adversarial term is left out, as its value
        says nothing about quality."""
        return {**self.terms(reconstruction, pixels), "psnr": psnr(reconstruction, pixels)}

    def adversarial_weight(self, step: int) -> float:
        """Of the adversarial term at a step."""
        return self.settings.adversarial_weight * self._grown(step)

    def _grown(self, step: int) -> float:
        """How much of its weights what the discriminator wants has at a step."""
        since = step - self.settings.adversarial_start_step + 1
        return max(0.0, min(1.0, since / max(1, self.settings.adversarial_warmup_steps)))

    def _discriminator_losses(
        self, pixels: list[Tensor], passes: Passes, scale: Tensor, said: list[Any]
    ) -> Iterator[dict[str, Tensor]]:
        for index, real in enumerate(pixels):

            def paint(index: int = index) -> Tensor:
                return passes.for_values(index).reconstruction.detach()

            terms = self.judge.discriminator_terms(real, paint, said[index])
            yield {name: scale * values.sum() for name, values in terms.items()}

    def _generator_losses(
        self,
        pixels: list[Tensor],
        passes: Passes[Output],
        other_losses: Callable[[int, Output], dict[str, Tensor]],
        scale: Tensor,
        said: list[Any],
        grown: float,
    ) -> Iterator[dict[str, Tensor]]:
        if grown > 0:
            pulls, weights = self._balance(pixels, passes, scale, said, grown)
        for index, real in enumerate(pixels):
            output = passes.for_gradients(index)
            if grown > 0:
                terms, total = pulls[index].terms, pulls[index].weighed(weights)
                gradient = pulls[index].through(output.reconstruction, weights)
            else:
                terms = self.terms(output.reconstruction, real)
                total, gradient = terms["reconstruction"], scale.new_zeros(())
            losses = {name: scale * values.detach().sum() for name, values in terms.items()}
            losses["loss"] = self.weight * (scale * total.sum() + gradient)
            others = other_losses(index, output)
            losses["loss"] = losses["loss"] + others.pop("loss")
            yield {**losses, **others}

    def _balance(
        self, pixels: list[Tensor], passes: Passes, scale: Tensor, said: list[Any], grown: float
    ) -> tuple[list[Pull], Weights]:
        """What the terms want of each micro-batch, and the weights of what the discriminator
        does, the adversarial one times the global batch's adaptive weight."""
        pulls = []
        for index, real in enumerate(pixels):

            def terms_of(fake: Tensor, real: Tensor = real, index: int = index) -> Terms:
                return {
                    **self.terms(fake, real),
                    **self.judge.generator_terms(fake, real, said[index]),
                }

            with frozen(self.players["discriminator"]):
                pulls.append(measure_pull(self.decoder, passes.for_values(index), terms_of, scale))
        weights: dict[str, Tensor | float] = {"contrasts": grown}
        on_last_layer = [p.on_last_layer for p in pulls if p.on_last_layer is not None]
        if on_last_layer:
            total = self.global_batch.all_reduce_sum(torch.stack(on_last_layer).sum(0))
            adaptive = adaptive_weight(total / self.global_batch.world_size)
            weights["adversarial"] = self.settings.adversarial_weight * grown * adaptive
            for pull, real in zip(pulls, pixels, strict=True):
                pull.terms["adaptive_weight"] = adaptive.expand(len(real))
        return pulls, weights
