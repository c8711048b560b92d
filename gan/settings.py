"""What a GAN is trained for, and which of its contrasts others may be trained for too."""

from dataclasses import dataclass, fields
from typing import Literal


@dataclass(frozen=True)
class ContrastSettings:
    """Weights of contrasts among the pictures of the global batch, in a discriminator's features.

    sentence_weight, word_weight: of the contrasts between pictures and sentences, regions and words
        (XMC-GAN: 1): of real pictures for the discriminator, of fakes for the generator.
    real_fake_weight: of the contrast between fakes and the real pictures that they stand for (in a
        GAN those of the same texts), for the generator alone (XMC-GAN: 1).
    local_global_weight: of knowing places by their picture (InfoMax-GAN: 0.2), for both.
    """

    sentence_weight: float = 0.0
    word_weight: float = 0.0
    real_fake_weight: float = 0.0
    local_global_weight: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name.endswith("_weight") and value < 0:
                raise ValueError(f"{name} is {value}; it must be 0 or more.")

    @property
    def of_texts(self) -> list[str]:
        """The weights above 0 of what texts are needed for."""
        return [name for name in ("sentence_weight", "word_weight") if getattr(self, name) > 0]

    @property
    def used(self) -> list[str]:
        """The weights of contrasts that are above 0."""
        names = (field.name for field in fields(ContrastSettings))
        return [name for name in names if getattr(self, name) > 0]


@dataclass(frozen=True)
class GANObjectiveSettings(ContrastSettings):
    """The terms of both players, each a mean over the pictures of the global batch.

    adversarial: `hinge`, `non_saturating` or `dual_contrastive`.
    generator_side: of `dual_contrastive` (`gan.adversarial_losses`).
    wrong_pairs_weight: the share of real pictures with texts of others beside fakes (GAN-CLS and
        DF-GAN: 0.5); 0 shows the discriminator none.
    interpolation_weight: of pictures of interpolated texts in the generator's loss (GAN-INT: 1).
    sentence_weight, word_weight, real_fake_weight, local_global_weight: of `ContrastSettings`.
    frozen_real_fake_weight: of the contrast between fakes and real pictures in the features of a
        network that does not learn.
    attribute_weight: of telling attributes, real and fake ones apart (Adma-GAN: 0.5).
    attribute_contrast_weight: of the contrast between pictures and what the memory holds of their
        attributes (Adma-GAN: 0.1).
    gradient_penalty_weight: of the discriminator's gradient at real pictures: `matching_aware`, by
        picture and sentence together, to the power of 6 (DF-GAN: 2); or `r1`, by the picture, to
        the power of 2 (half of what is called gamma). It is a step of its own.
    gradient_penalty: which.
    gradient_penalty_interval: steps from one penalty to the next, each of which counts as often
        (lazy regularization, StyleGAN2, 1912.04958, appendix B: 16); 1 is DF-GAN's.
    discriminator_steps: for each of the generator, on batches of their own.
    """

    adversarial: Literal["hinge", "non_saturating", "dual_contrastive"] = "hinge"
    generator_side: Literal["swap", "minimax"] = "swap"
    wrong_pairs_weight: float = 0.0
    interpolation_weight: float = 0.0
    frozen_real_fake_weight: float = 0.0
    attribute_weight: float = 0.0
    attribute_contrast_weight: float = 0.0
    gradient_penalty_weight: float = 0.0
    gradient_penalty: Literal["matching_aware", "r1"] = "matching_aware"
    gradient_penalty_interval: int = 1
    discriminator_steps: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.wrong_pairs_weight >= 1:
            raise ValueError(
                f"wrong_pairs_weight is {self.wrong_pairs_weight}; fakes have the rest, so it must "
                "be below 1."
            )
        for name in ("discriminator_steps", "gradient_penalty_interval"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 1 or more.")

    @property
    def of_texts(self) -> list[str]:
        """The weights above 0 of what texts are needed for."""
        names = ("wrong_pairs_weight", "interpolation_weight")
        return [name for name in names if getattr(self, name) > 0] + super().of_texts

    @property
    def of_attributes(self) -> list[str]:
        """The weights above 0 of what a memory of attributes is needed for."""
        names = ("attribute_weight", "attribute_contrast_weight")
        return [name for name in names if getattr(self, name) > 0]
