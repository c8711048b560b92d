"""Captioned pictures to measure a trained model on."""

from dataclasses import dataclass

import numpy as np

from pipelines.command_line import UserError
from pipelines.data.sources import Source, UnreadableRow
from pipelines.data.transforms import to_array
from pipelines.evaluation.scene_accuracy import SceneSet


@dataclass(frozen=True)
class Pairs:
    """Pictures (uint8 [height, width, 3]) with one caption each, and all captions that would be
    right."""

    pictures: list[np.ndarray]
    captions: list[str]
    references: list[list[str]]


def scene_pairs(*sets: SceneSet) -> Pairs:
    """Of scenes, one set after the other."""
    captions = [caption for scenes in sets for caption in scenes.captions]
    pictures = [picture for scenes in sets for picture in scenes.pictures]
    return Pairs(pictures, captions, [[caption] for caption in captions])


def read_pairs(source: Source, size: tuple[int, int]) -> Pairs:
    """The rows that can be read, with the first caption of each.

    Args:
        source: one that ends.

    Raises:
        UserError: there are fewer than two.
    """
    pictures: list[np.ndarray] = []
    references: list[list[str]] = []
    rows = source.length or 0
    for row in range(rows):
        try:
            found = source[row]
            assert found.image is not None  # ids are refused on opening
            pictures.append(to_array(found.image, size))
        except UnreadableRow:
            continue
        references.append(found.captions)
    if len(pictures) < 2:
        raise UserError(
            f"{len(pictures)} of {rows} rows can be read, and measuring takes two at least; check "
            "the data."
        )
    return Pairs(pictures, [texts[0] for texts in references], references)
