"""What is measured of whatever draws, on test rows that nothing was trained on."""

from collections.abc import Callable, Sequence
from dataclasses import asdict

import numpy as np
import torch
from PIL import Image
from reproduction_study.cells import Figures
from reproduction_study.pairs import Pairs

from pipelines.data.scenes import SIZES, Scene, compare, parse_caption, read_scene
from pipelines.data.scenes.reader import measure
from pipelines.dual_encoder.matcher import Matcher
from pipelines.evaluation.dual_encoder_metrics import diversity, frechet_distance, r_precision
from pipelines.evaluation.scene_accuracy import Accuracy, SceneSet, accuracy, scene_set

SCENES = 500
"""Of each set."""
PICTURES = 2
"""Of each text, for diversity."""

SPECK = SIZES["small"][0] / 2
"""Radius, in shorter sides, of what is no object: young generators have such at the edges."""

Draw = Callable[[Sequence[str], Sequence[int]], list[Image.Image]]
"""Texts and a seed for each -> pictures."""


def scene_figures(draw: Draw, matcher: Matcher, side: int, objects: Sequence[int]) -> Figures:
    """Of test scenes with so many objects each, by the exact reader and by the judge; and of scenes
    of one object with a colour-shape pair that no training scene has."""
    sets = {f"objects_{number}": _scenes("test", number, side) for number in objects}
    drawn = {name: _sets(draw, scenes.captions) for name, scenes in sets.items()}
    figures: Figures = {name: readings(sets[name], drawn[name][0]) for name in sets}
    held_out = _scenes("held_out", 1, side)
    figures["held_out"] = readings(held_out, draw(held_out.captions, range(SCENES)))
    captions = [caption for scenes in sets.values() for caption in scenes.captions]
    pictures = [picture for scenes in sets.values() for picture in scenes.pictures]
    together = [[one for name in sets for one in drawn[name][k]] for k in range(PICTURES)]
    return figures | judged(matcher, Pairs(pictures, captions, [], 0), together)


def pair_figures(draw: Draw, matcher: Matcher, pairs: Pairs) -> Figures:
    """Of captioned pictures, by the judge."""
    return judged(matcher, pairs, _sets(draw, pairs.captions))


def judged(matcher: Matcher, pairs: Pairs, drawn: Sequence[Sequence[Image.Image]]) -> Figures:
    """By the judge's features: R-precision among 100 captions, Fréchet distance from the real
    pictures, diversity within a caption.

    Args:
        drawn: sets with one picture of each caption.
    """
    features = [matcher.image_features(images) for images in drawn]
    texts = matcher.text_features(pairs.captions)
    return {
        "r_precision": r_precision(features[0], texts, pairs.captions),
        "distance": frechet_distance(matcher.image_features(pairs.pictures), features[0]),
        "diversity": diversity(torch.stack(features, dim=1)),
    }


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


def _compared(scenes: SceneSet, found: Sequence[Scene | None]) -> Accuracy:
    statements = map(parse_caption, scenes.captions)
    return accuracy([compare(*both) for both in zip(statements, found, strict=True)])


def _scenes(split: str, objects: int, side: int) -> SceneSet:
    return scene_set(split, SCENES, objects, (side, side))


def _sets(draw: Draw, captions: Sequence[str]) -> list[list[Image.Image]]:
    """`PICTURES` pictures of each caption, by noises that none shares."""
    count = len(captions)
    return [draw(captions, range(k * count, (k + 1) * count)) for k in range(PICTURES)]
