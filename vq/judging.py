"""What a discriminator is to learn of pictures, and what it wants of painted ones."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from einops import reduce
from torch import Tensor, nn

from vq.global_batch import GlobalBatch

WeighedTerms = dict[str, tuple[float, Tensor]]


class AdversarialLoss(Protocol):
    """Logits [b, ...] -> losses [b]; such as `gan.adversarial_losses.HingeLoss`.

    `compares`: whether pictures are compared with each other, and the generator's side needs the
    logits of real ones too.
    """

    @property
    def compares(self) -> bool: ...

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor: ...

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor: ...


class Contrasts(Protocol):
    """Losses of what a discriminator sees in pictures beside its logits; such as
    `gan.PaintingContrasts`. With them the discriminator gives logits and that.

    Terms are name -> (weight, values [n]), of a micro-batch's pictures of all processes and the
    same in each of them; weight 0 is a figure.

    `with_real`: whether painted pictures are compared with given ones.
    """

    @property
    def with_real(self) -> bool: ...

    def read(self, batch: dict[str, Tensor]) -> Any:
        """What is said of the pictures, which the others take."""

    def of_real(self, pictures: Any, said: Any) -> WeighedTerms:
        """What given pictures teach the discriminator."""

    def of_painted(self, painted: Any, real: Any, said: Any) -> WeighedTerms:
        """What it wants of painted pictures; `real` is None where not `with_real`."""


class Judge:
    """The terms of both players that a discriminator is asked for, each [b] over this process's
    pictures, so that scaled sums of them are means over the global batch.

    Args:
        players: among them the "discriminator", looked up at every call.
        global_batch: the batch of all processes.
        adversarial_loss: None without its term.
        contrasts: None without.
    """

    def __init__(
        self,
        players: Mapping[str, nn.Module],
        global_batch: GlobalBatch,
        adversarial_loss: AdversarialLoss | None,
        contrasts: Contrasts | None,
    ) -> None:
        self.players, self.global_batch = players, global_batch
        self.adversarial_loss, self.contrasts = adversarial_loss, contrasts

    @property
    def there(self) -> bool:
        """Whether anything is asked of a discriminator."""
        return self.adversarial_loss is not None or self.contrasts is not None

    def read(self, batches: list[dict[str, Tensor]]) -> list[Any]:
        """What is said of the pictures of each micro-batch."""
        if self.contrasts is None:
            return [None] * len(batches)
        return [self.contrasts.read(batch) for batch in batches]

    def discriminator_terms(
        self, real: Tensor, paint: Callable[[], Tensor], said: Any
    ) -> dict[str, Tensor]:
        """The discriminator's terms, "loss" among them; `paint` makes what it tells real pictures
        from, where it does."""
        real_logits, seen = self._judged(real)
        terms: dict[str, Tensor] = {}
        if self.adversarial_loss is not None:
            fake_logits, _ = self._judged(paint())
            terms = {
                "loss": self._compared(
                    self.adversarial_loss.discriminator, real_logits, fake_logits
                ),
                "real_logit": real_logits.detach().flatten(1).mean(dim=1),
                "fake_logit": fake_logits.detach().flatten(1).mean(dim=1),
            }
        learned = {} if self.contrasts is None else self.contrasts.of_real(seen, said)
        if learned:
            loss, found = self._weighed(learned, len(real))
            terms = {**terms, **found, "loss": terms["loss"] + loss if terms else loss}
        return terms

    def generator_terms(self, painted: Tensor, real: Tensor, said: Any) -> dict[str, Tensor]:
        """The generator's terms: "adversarial", and "contrasts" with what they are the sum of."""
        adversarial_loss, contrasts = self.adversarial_loss, self.contrasts
        compares = adversarial_loss is not None and adversarial_loss.compares
        fake_logits, seen = self._judged(painted)
        real_seen = None
        logits = [fake_logits]
        if compares or (contrasts is not None and contrasts.with_real):
            with torch.no_grad():
                real_logits, real_seen = self._judged(real)
            logits += [real_logits] * compares
        terms: dict[str, Tensor] = {}
        if adversarial_loss is not None:
            terms["adversarial"] = self._compared(adversarial_loss.generator, *logits)
        if contrasts is not None:
            compared = real_seen if contrasts.with_real else None
            loss, found = self._weighed(contrasts.of_painted(seen, compared, said), len(real))
            terms |= {**found, "contrasts": loss}
        return terms

    def _judged(self, pixels: Tensor) -> tuple[Tensor, Any]:
        """Logits, and what contrasts take."""
        found = self.players["discriminator"](pixels)
        return (found, None) if self.contrasts is None else found

    def _compared(self, loss: Callable[..., Tensor], *logits: Tensor) -> Tensor:
        """A loss [b] of logits [b, ...]; where pictures are compared, those of all processes, each
        by the mean of its patches, and the loss is the same for all."""
        assert self.adversarial_loss is not None
        if not self.adversarial_loss.compares:
            return loss(*logits)
        means = (reduce(one, "b ... -> b", "mean") for one in logits)
        losses = loss(*(self.global_batch.with_gradients(one) for one in means))
        return self._own(losses, len(logits[0]))

    def _weighed(self, terms: WeighedTerms, count: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighed sum of terms, and each by itself for figures: [count]."""
        own = {name: self._own(values, count) for name, (_, values) in terms.items()}
        loss = torch.stack([weight * own[name] for name, (weight, _) in terms.items() if weight])
        return loss.sum(dim=0), {name: values.detach() for name, values in own.items()}

    def _own(self, losses: Tensor, count: int) -> Tensor:
        """Losses [n] of the pictures of all processes -> this one's part of them, laid on its
        `count` pictures."""
        # Each process has its share of all losses, however many pictures are its own.
        own = len(losses) / (self.global_batch.world_size * count)
        return own * losses.mean().expand(count)
