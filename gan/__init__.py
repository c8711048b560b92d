"""One-stage text-to-image GANs; this package knows no ids."""

from gan.adversarial_losses import (
    AdversarialLoss,
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
    DiscriminatorShape,
    Judged,
)
from gan.generators import Generator, GeneratorConfig, GeneratorShape, MemoryShape
from gan.objective import GANObjective
from gan.painting import PaintingContrasts
from gan.settings import ContrastSettings, GANObjectiveSettings
from gan.text_encoders import (
    ALPHABET,
    BertTextEncoder,
    CharacterConfig,
    CharacterEncoder,
    TextBatch,
    TextEncoder,
)

__all__ = [
    "ALPHABET",
    "AdversarialLoss",
    "AttributeMemory",
    "BertTextEncoder",
    "CharacterConfig",
    "CharacterEncoder",
    "ContrastSettings",
    "ContrastingDiscriminator",
    "Discriminator",
    "DiscriminatorShape",
    "DualContrastiveLoss",
    "GANObjective",
    "GANObjectiveSettings",
    "Generator",
    "GeneratorConfig",
    "GeneratorShape",
    "HingeLoss",
    "Judged",
    "MemoryShape",
    "NonSaturatingLoss",
    "PaintingContrasts",
    "TextBatch",
    "TextEncoder",
    "adversarial_loss",
    "co_occurrence_graph",
    "matching_aware",
]
