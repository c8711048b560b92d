"""What is measured of whatever draws, on test rows that nothing was trained on."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict

import numpy as np
from PIL import Image
from study.cells import Figures
from study.figures import PICTURES, SCENES, Draw, drawn_sets, judged
from study.pairs import Pairs, scene_pairs

from gan_study.rows import scenes_of
from pipelines.data.scenes import SIZES, Scene, compare, parse_caption, read_scene
from pipelines.data.scenes.reader import measure
from pipelines.dual_encoder.matcher import Matcher
from pipelines.evaluation.scene_accuracy import Accuracy, SceneSet, accuracy

SPECK = SIZES["small"][0] / 2
"""Radius, in shorter sides, of what is no object: young generators have such at the edges."""
COMPARED = 1
"""Sets of drawings that are compared with texts and real pictures."""


def scene_figures(draw: Draw, matcher: Matcher, objects: Sequence[int]) -> Figures:
    """Of test scenes with so many objects each, by the exact reader and by the judge; and of scenes
    of one object with a colour-shape pair that no training scene has."""
    sets = {f"objects_{number}": scenes_of("test", number) for number in objects}
    drawn = {name: drawn_sets(draw, scenes.captions) for name, scenes in sets.items()}
    figures: Figures = {name: readings(sets[name], drawn[name][0]) for name in sets}
    held_out = scenes_of("held_out", 1)
    figures["held_out"] = readings(held_out, draw(held_out.captions, range(SCENES)))
    together = [[one for name in sets for one in drawn[name][k]] for k in range(PICTURES)]
    return figures | judged(matcher, scene_pairs(*sets.values()), together, COMPARED)


def pair_figures(draw: Draw, matcher: Matcher, pairs: Pairs) -> Figures:
    """Of captioned pictures, by the judge."""
    return judged(matcher, pairs, drawn_sets(draw, pairs.captions), COMPARED)


def readings(scenes: SceneSet, images: Sequence[Image.Image]) -> dict[str, dict[str, float]]:
    """Shares of pictures that show what their captions say: `strict`, where the exact reader
    refuses what is no clean drawing, and `lenient`, where each blob is taken for the shape, size
    and colour that fit it best, however badly."""
    pixels = [np.asarray(image) for image in images]
    strict = _compared(scenes, [read_scene(one) for one in pixels])
    return {"strict": asdict(strict), "lenient": asdict(_compared(scenes, map(best_fit, pixels)))}


def best_fit(pixels: np.ndarray) -> Scene | None:
    """The scene that a picture is most like, specks passed over; None where it has no blob, more
    than four, or no light background."""
    reading = measure(pixels)
    if reading is None:
        return None
    items = tuple(blob.item for blob in reading.objects if blob.item.radius > SPECK)
    return Scene(items, reading.background)


def _compared(scenes: SceneSet, found: Iterable[Scene | None]) -> Accuracy:
    statements = map(parse_caption, scenes.captions)
    return accuracy([compare(*both) for both in zip(statements, found, strict=True)])
