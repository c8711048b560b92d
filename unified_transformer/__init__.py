"""Ids <-> ids: one transformer for both directions. Knows no pixels."""

from unified_transformer.captioning import (
    Captions,
    CaptionSettings,
    generate_captions,
    score_captions,
)
from unified_transformer.config import TransformerShape, UnifiedTransformerConfig
from unified_transformer.drawing import generate_image_ids
from unified_transformer.model import UnifiedTransformer, UnifiedTransformerOutput
from unified_transformer.objective import BidirectionalObjective, BidirectionalObjectiveSettings
from unified_transformer.sampling import SamplingSettings

__all__ = [
    "BidirectionalObjective",
    "BidirectionalObjectiveSettings",
    "CaptionSettings",
    "Captions",
    "SamplingSettings",
    "TransformerShape",
    "UnifiedTransformer",
    "UnifiedTransformerConfig",
    "UnifiedTransformerOutput",
    "generate_captions",
    "generate_image_ids",
    "score_captions",
]
