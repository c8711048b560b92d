"""The rows that all systems are measured on, and those that they are shown with."""

import numpy as np
from study.figures import SCENES
from study.pairs import Pairs, read_pairs, scene_pairs

from gan_study.systems import SIDE, DataSet
from pipelines.data.opening import open_source
from pipelines.data.settings import DataSettings, Wanted
from pipelines.data.sources import readable_texts
from pipelines.evaluation.scene_accuracy import SceneSet, scene_set

SHOWN = 10
"""Texts of which each run's pictures are shown."""


def scenes_of(split: str, objects: int, count: int = SCENES) -> SceneSet:
    """Scenes with so many objects each."""
    return scene_set(split, count, objects, (SIDE, SIDE))


def all_pairs(data: DataSet, split: str) -> Pairs:
    """The captioned pictures of a part.

    Raises:
        UserError: they cannot be read.
    """
    if data.objects:
        return scene_pairs(*(scenes_of(split, number) for number in data.objects))
    settings = DataSettings(source=data.source, split=split, text_column="text", size=SIDE)
    return read_pairs(open_source(settings), (SIDE, SIDE))


def shown_pairs(data: DataSet) -> list[tuple[np.ndarray, str]]:
    """Pictures and captions of the test part, of which every run's own pictures are shown; scenes
    of each number of objects in turn."""
    if data.objects:
        sets = [scenes_of("test", number, SHOWN) for number in data.objects]
        return [
            (sets[row % len(sets)].picture(row), sets[row % len(sets)].captions[row])
            for row in range(SHOWN)
        ]
    pairs = all_pairs(data, "test")
    apart = max(1, len(pairs.captions) // SHOWN)
    both = zip(pairs.pictures, pairs.captions, strict=True)
    return list(both)[::apart][:SHOWN]


def attributes_of_test(data: DataSet) -> dict[str, list[str]]:
    """By caption: those of the column, of the first row that has it."""
    settings = DataSettings(
        source=data.source,
        split="test",
        text_column="text",
        attribute_column=data.attributes,
        size=SIDE,
    )
    source = open_source(settings, wanted=Wanted(attributes=True))
    found: dict[str, list[str]] = {}
    for texts in readable_texts(source, source.length or 0):
        found.setdefault(texts.all_captions[0], texts.attributes)
    return found
