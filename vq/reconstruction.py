"""How well a decoder paints given pictures, as turns of its generator and of a discriminator.

The VQGAN's objective is this game with codes; end-to-end training is this game with hidden states.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

import torch
from einops import reduce
from torch import Tensor, nn

from vq.balance import Pull, adaptive_weight, frozen, measure_pull
from vq.encoder_decoder import Decoder
from vq.global_batch import GlobalBatch
from vq.losses import pixel_losses, psnr
from vq.passes import Passes

Turn = tuple[str, Iterator[dict[str, Tensor]]]


class AdversarialLoss(Protocol):
    """Logits [b, ...] -> losses [b]; such as `gan.adversarial_losses.HingeLoss`.

    `compares`: whether pictures are compared with each other, and the generator's side needs the
    logits of real ones too.
    """

    @property
    def compares(self) -> bool: ...

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor: ...

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor: ...


class Painted(Protocol):
    """What a generator makes of a micro-batch: `reconstruction` [b, 3, H, W], not clamped, and
    `features`, from which the decoder's last layer painted it."""

    reconstruction: Any
    features: Any


Output = TypeVar("Output", bound=Painted)


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
        adversarial_start_step: the discriminator and its term begin at this step.
        adversarial_warmup_steps: over which the term then grows to its weight, so that a
            discriminator that knows nothing yet does no harm.
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
    """L = reconstruction + adaptive weight * adversarial (Esser et al. 2021, eqs. 5 to 7).

    Every term is a mean per picture, and the objective their mean over all pictures of the global
    batch.

    Args:
        players: of the objective that plays; "generator", and "discriminator" where
            `settings.adversarial_weight` is not 0. They are looked up at every call, as what
            stands there may be wrapped later.
        decoder: the generator's, on whose last layer the adversarial term is balanced.
        settings: weights.
        global_batch: the batch of all processes.
        perceptual_loss: (reconstruction, pixels) -> [b], or None to leave the term out.
        adversarial_loss: needed with a discriminator.
        weight: of all these terms together in the generator's loss.

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
    ) -> None:
        adversarial = settings.adversarial_weight > 0
        if adversarial and ("discriminator" not in players or adversarial_loss is None):
            raise ValueError(
                f"adversarial_weight is {settings.adversarial_weight} but there is no "
                "discriminator; add one, or set adversarial_weight to 0."
            )
        self.players = players
        self.decoder = decoder
        self.settings = settings
        self.global_batch = global_batch
        self.perceptual_loss = perceptual_loss
        self.adversarial_loss = adversarial_loss
        self.weight = weight

    def scale(self, pixels: list[Tensor]) -> Tensor:
        """What makes sums over this process's pictures [b, 3, H, W] means over the global batch,
        once they are averaged over processes."""
        pictures = torch.tensor(sum(map(len, pixels)), device=pixels[0].device)
        return self.global_batch.world_size / self.global_batch.all_reduce_sum(pictures).float()

    def turns(
        self,
        pixels: list[Tensor],
        generate: Callable[[int], Output],
        other_losses: Callable[[int, Output], dict[str, Tensor]],
        scale: Tensor,
        step: int,
    ) -> Iterator[Turn]:
        """The discriminator's turn, once its term has started, then the generator's.

        `generate` passes a micro-batch, by its number, through the generator; `other_losses` adds
        to the generator's, by their names, with its share of the "loss"; `scale` is from `scale`.

        Yields (player, losses of each micro-batch). "loss" is differentiable; summed over
        micro-batches and averaged over processes it is the objective of the global batch, and the
        other entries likewise.
        """
        passes = Passes(generate, len(pixels), pixels[0].device)
        weight = self.adversarial_weight(step)
        if weight > 0:
            yield "discriminator", self._discriminator_losses(pixels, passes, scale)
        yield "generator", self._generator_losses(pixels, passes, other_losses, scale, weight)

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
        settings = self.settings
        since = step - settings.adversarial_start_step + 1
        if since <= 0:
            return 0.0
        return settings.adversarial_weight * min(
            1.0, since / max(1, settings.adversarial_warmup_steps)
        )

    def _discriminator_losses(
        self, pixels: list[Tensor], passes: Passes, scale: Tensor
    ) -> Iterator[dict[str, Tensor]]:
        assert self.adversarial_loss is not None
        discriminator = self.players["discriminator"]
        for index, real in enumerate(pixels):
            output = passes.for_values(index)
            real_logits = discriminator(real)
            fake_logits = discriminator(output.reconstruction.detach())
            terms = {
                "loss": self._compared(
                    self.adversarial_loss.discriminator, real_logits, fake_logits
                ),
                "real_logit": real_logits.detach().flatten(1).mean(dim=1),
                "fake_logit": fake_logits.detach().flatten(1).mean(dim=1),
            }
            yield {name: scale * values.sum() for name, values in terms.items()}

    def _compared(self, loss: Callable[..., Tensor], *logits: Tensor) -> Tensor:
        """A loss [b] of logits [b, ...]; where pictures are compared, those of all processes, each
        by the mean of its patches, and the loss is the same for all."""
        assert self.adversarial_loss is not None
        if not self.adversarial_loss.compares:
            return loss(*logits)
        means = (reduce(one, "b ... -> b", "mean") for one in logits)
        losses = loss(*(self.global_batch.with_gradients(one) for one in means))
        # Each process has its share of all losses, however many pictures are its own.
        own = len(losses) / (self.global_batch.world_size * len(logits[0]))
        return own * losses.mean().expand(len(logits[0]))

    def _generator_losses(
        self,
        pixels: list[Tensor],
        passes: Passes[Output],
        other_losses: Callable[[int, Output], dict[str, Tensor]],
        scale: Tensor,
        weight: float,
    ) -> Iterator[dict[str, Tensor]]:
        if weight > 0:
            pulls, adaptive = self._balance(pixels, passes, scale)
        for index, real in enumerate(pixels):
            output = passes.for_gradients(index)
            if weight > 0:
                terms = pulls[index].terms
                total = terms["reconstruction"] + weight * adaptive * terms["adversarial"]
                gradient = pulls[index].through(output.reconstruction, weight * adaptive)
                terms["adaptive_weight"] = adaptive.expand(len(real))
            else:
                terms = self.terms(output.reconstruction, real)
                total, gradient = terms["reconstruction"], scale.new_zeros(())
            losses = {name: scale * values.detach().sum() for name, values in terms.items()}
            losses["loss"] = self.weight * (scale * total.sum() + gradient)
            others = other_losses(index, output)
            losses["loss"] = losses["loss"] + others.pop("loss")
            yield {**losses, **others}

    def _balance(
        self, pixels: list[Tensor], passes: Passes, scale: Tensor
    ) -> tuple[list[Pull], Tensor]:
        """What the terms want of each micro-batch, and the global batch's adaptive weight."""
        assert self.adversarial_loss is not None
        loss, discriminator = self.adversarial_loss, self.players["discriminator"]
        pulls = []
        for index, real in enumerate(pixels):

            def terms_of(fake: Tensor, real: Tensor = real) -> dict[str, Tensor]:
                logits = [discriminator(fake)]
                if loss.compares:
                    with torch.no_grad():
                        logits.append(discriminator(real))
                adversarial = self._compared(loss.generator, *logits)
                return {**self.terms(fake, real), "adversarial": adversarial}

            with frozen(discriminator):
                pulls.append(measure_pull(self.decoder, passes.for_values(index), terms_of, scale))
        total = self.global_batch.all_reduce_sum(
            torch.stack([p.on_last_layer for p in pulls]).sum(0)
        )
        return pulls, adaptive_weight(total / self.global_batch.world_size)
