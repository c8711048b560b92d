"""`scenes`: procedurally drawn coloured shapes with captions, questions and an exact reader."""

from pipelines.data.scenes.captions import (
    Attributes,
    Statement,
    attribute_words,
    canonical_caption,
    caption,
    describe,
    parse_caption,
)
from pipelines.data.scenes.damage import damage
from pipelines.data.scenes.drawing import draw_scene
from pipelines.data.scenes.languages import LANGUAGES
from pipelines.data.scenes.matching import Match, compare
from pipelines.data.scenes.questions import Question, questions
from pipelines.data.scenes.reader import read_scene
from pipelines.data.scenes.scene import (
    BACKGROUNDS,
    COLOURS,
    HELD_OUT_PAIRS,
    MAX_OBJECTS,
    RELATIONS,
    SIZES,
    Scene,
    SceneObject,
    clear_relation,
    dominant_relation,
    is_held_out,
    sample_scene,
    scene_at,
)
from pipelines.data.scenes.shapes import SHAPES

__all__ = [
    "BACKGROUNDS",
    "COLOURS",
    "HELD_OUT_PAIRS",
    "LANGUAGES",
    "MAX_OBJECTS",
    "RELATIONS",
    "SHAPES",
    "SIZES",
    "Attributes",
    "Match",
    "Question",
    "Scene",
    "SceneObject",
    "Statement",
    "attribute_words",
    "canonical_caption",
    "caption",
    "clear_relation",
    "compare",
    "damage",
    "describe",
    "dominant_relation",
    "draw_scene",
    "is_held_out",
    "parse_caption",
    "questions",
    "read_scene",
    "sample_scene",
    "scene_at",
]
