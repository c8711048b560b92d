"""One-stage text-to-image GANs; this package knows no ids."""

from gan.adversarial_losses import (
    DualContrastiveLoss,
    HingeLoss,
    NonSaturatingLoss,
    adversarial_loss,
    matching_aware,
)
from gan.attribute_memory import AttributeMemory, co_occurrence_graph
from gan.discriminators import (
    ContrastingDiscriminator,
    Discriminator,
    DiscriminatorHeads,
    DiscriminatorShape,
)
from gan.generators import Generator, GeneratorConfig, GeneratorShape
from gan.objective import GANObjective
from gan.painting import PaintingContrasts
from gan.settings import ContrastSettings, GANObjectiveSettings
from gan.text_encoders import (
    ALPHABET,
    BertTextEncoder,
    CharacterConfig,
    CharacterEncoder,
    TextBatch,
)

__all__ = [
    "ALPHABET",
    "AttributeMemory",
    "BertTextEncoder",
    "CharacterConfig",
    "CharacterEncoder",
    "ContrastSettings",
    "ContrastingDiscriminator",
    "Discriminator",
    "DiscriminatorHeads",
    "DiscriminatorShape",
    "DualContrastiveLoss",
    "GANObjective",
    "GANObjectiveSettings",
    "Generator",
    "GeneratorConfig",
    "GeneratorShape",
    "HingeLoss",
    "NonSaturatingLoss",
    "PaintingContrasts",
    "TextBatch",
    "adversarial_loss",
    "co_occurrence_graph",
    "matching_aware",
]
