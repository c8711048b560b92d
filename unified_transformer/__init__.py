"""Ids <-> ids: one transformer for both directions. Knows no pixels."""

from unified_transformer.captioning import (
    Captions,
    CaptionSettings,
    NoRoomError,
    generate_answers,
    generate_captions,
    score_captions,
)
from unified_transformer.config import TransformerShape, UnifiedTransformerConfig
from unified_transformer.drawing import Drawings, generate_image_ids
from unified_transformer.end_to_end import (
    EndToEndModel,
    HiddenState,
    Reconstructor,
    ReconstructorConfig,
    hidden_states_of,
)
from unified_transformer.end_to_end_objective import EndToEndObjective, EndToEndSettings
from unified_transformer.model import UnifiedTransformer, UnifiedTransformerOutput
from unified_transformer.objective import BidirectionalObjective, BidirectionalObjectiveSettings
from unified_transformer.sampling import SamplingSettings

__all__ = [
    "BidirectionalObjective",
    "BidirectionalObjectiveSettings",
    "CaptionSettings",
    "Captions",
    "Drawings",
    "EndToEndModel",
    "EndToEndObjective",
    "EndToEndSettings",
    "HiddenState",
    "NoRoomError",
    "Reconstructor",
    "ReconstructorConfig",
    "SamplingSettings",
    "TransformerShape",
    "UnifiedTransformer",
    "UnifiedTransformerConfig",
    "UnifiedTransformerOutput",
    "generate_answers",
    "generate_captions",
    "generate_image_ids",
    "hidden_states_of",
    "score_captions",
]
