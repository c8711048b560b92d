"""What a discriminator and a generator want from each other, one value per picture.

Logits are [b, ...], one or many per picture, which count by their mean; losses are [b], and the
objective is their mean over the batch.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

import torch
from einops import rearrange, reduce
from torch import Tensor
from torch.nn import functional as F


class AdversarialLoss(Protocol):
    """`compares`: whether pictures are compared with each other, and the generator's side needs the
    logits of real ones as well."""

    @property
    def compares(self) -> bool: ...

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor: ...

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor: ...


class HingeLoss:
    """The hinge version of the adversarial loss (Lim and Ye 2017; Miyato et al. 2018, eqs. 16 and
    17)."""

    compares = False

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """mean max(0, 1 - real) + mean max(0, 1 + fake)"""
        return _per_picture(F.relu(1 - real_logits)) + _per_picture(F.relu(1 + fake_logits))

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """- mean fake"""
        return -_per_picture(fake_logits)


class NonSaturatingLoss:
    """The logistic loss with the generator's side that does not saturate (Goodfellow et al. 2014,
    section 3; Reed et al. 2016, algorithm 1). A logit l stands for the score sigmoid(l)."""

    compares = False

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """- mean log real - mean log (1 - fake)"""
        return _per_picture(F.softplus(-real_logits)) + _per_picture(F.softplus(fake_logits))

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """- mean log fake"""
        return _per_picture(F.softplus(-fake_logits))


class DualContrastiveLoss:
    """Tells each real picture from all fakes, and each fake from all real ones (Yu et al.,
    2103.16748, section 3.1).

    Sums run over the whole batch it is given, so unlike the other losses that of a batch is not the
    mean of its halves'. Only differences of logits count.

    Args:
        generator_side: `minimax`, the paper's, is the discriminator's loss with the sign turned,
            whose gradient vanishes where the discriminator is sure (at logits of 10 and -10, in a
            batch of four: 4e-9 a fake instead of 0.5); `swap` exchanges real and fake instead.
    """

    compares = True

    def __init__(self, generator_side: Literal["swap", "minimax"] = "swap") -> None:
        self.generator_side = generator_side

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """log (1 + sum_j e^(fake_j - real_i)) + log (1 + sum_j e^(fake_i - real_j))"""
        real, fake = _per_picture(real_logits.float()), _per_picture(fake_logits.float())
        excess = rearrange(fake, "fake -> 1 fake") - rearrange(real, "real -> real 1")
        return _log_one_plus_sum(excess) + _log_one_plus_sum(excess.T)

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """The same with real and fake exchanged, or with its sign turned.

        Raises:
            ValueError: there are no logits of real pictures to compare with.
        """
        if real_logits is None:
            raise ValueError("the dual contrastive loss compares fakes with real pictures.")
        if self.generator_side == "swap":
            return self.discriminator(fake_logits, real_logits)
        return -self.discriminator(real_logits, fake_logits)


def adversarial_loss(
    name: Literal["hinge", "non_saturating", "dual_contrastive"],
    generator_side: Literal["swap", "minimax"] = "swap",
) -> AdversarialLoss:
    """The one that is named; `generator_side` is of `dual_contrastive`."""
    if name == "dual_contrastive":
        return DualContrastiveLoss(generator_side)
    return HingeLoss() if name == "hinge" else NonSaturatingLoss()


def matching_aware(loss: AdversarialLoss, logits: Sequence[Tensor], weight: float) -> Tensor:
    """The discriminator's side with a third kind of pair, real pictures with texts of others: it
    stands beside the fakes with a share of their weight (Reed et al. 2016, algorithm 1; Tao et al.,
    2008.05865, eq. 1). For the dual contrastive loss this is no paper's, but ours.

    Args:
        logits: [b, ...] of real pictures, of fakes, and of real pictures beside wrong texts.
        weight: of the wrong pairs; 0 is the plain loss.
    """
    real, fake, wrong = logits
    plain = (1 - weight) * loss.discriminator(real, fake)
    return plain + weight * loss.discriminator(real, wrong)


def attribute_targets(attributes: Tensor, real: bool) -> Tensor:
    """Present attributes [b, n] in {0, 1} -> [b, 2n]: two places for each, of which the first is
    for those that are present in a real picture, and the second in a fake one (Adma-GAN,
    2209.14046, section 3.4)."""
    nothing = torch.zeros_like(attributes)
    pair = (attributes, nothing) if real else (nothing, attributes)
    return rearrange(list(pair), "kind b n -> b (n kind)").float()


def attribute_discriminator_loss(real: Tensor, fake: Tensor, attributes: Tensor) -> Tensor:
    """Logits [b, 2n] of real and fake pictures, both with the attributes [b, n] -> [b]."""
    real_loss = _attribute_loss(real, attribute_targets(attributes, real=True))
    return real_loss + _attribute_loss(fake, attribute_targets(attributes, real=False))


def attribute_generator_loss(fake: Tensor, attributes: Tensor) -> Tensor:
    """Logits [b, 2n] -> [b]. It is linear in the logits of present attributes, and does not depend
    on those of absent ones."""
    as_real = _attribute_loss(fake, attribute_targets(attributes, real=True))
    return as_real - _attribute_loss(fake, attribute_targets(attributes, real=False))


def _attribute_loss(logits: Tensor, targets: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, targets.to(logits), reduction="none").mean(
        dim=1
    )


def _per_picture(values: Tensor) -> Tensor:
    return reduce(values, "b ... -> b", "mean")


def _log_one_plus_sum(exponents: Tensor) -> Tensor:
    """log (1 + sum of e^exponents) over the second axis: [n, m] -> [n]."""
    return torch.cat([torch.zeros_like(exponents[:, :1]), exponents], dim=1).logsumexp(dim=1)
