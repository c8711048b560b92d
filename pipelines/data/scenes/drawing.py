"""Scene -> pixels: analytic, anti-aliased, and fast, since training draws every picture anew."""

import math

import numpy as np

from pipelines.data.scenes.scene import COLOURS, Scene, SceneObject
from pipelines.data.scenes.shapes import DOWN, LEFT, RIGHT, SUPPORTS, UP, signed_distance


def draw_scene(scene: Scene, height: int, width: int) -> np.ndarray:
    """Draws the scene, uint8 [height, width, 3]; 1 unit of the scene is the shorter side.

    A scene must have been sampled for this aspect; what lies outside of the picture is cut.
    """
    picture = np.empty((height, width, 3), dtype=np.uint8)
    picture[:] = scene.background
    background = np.array(scene.background, dtype=np.float32)
    for item in scene.objects:
        rows, columns, coverage = draw_coverage(item, height, width)
        contrast = np.array(COLOURS[item.colour], dtype=np.float32) - background
        # Objects never touch, so that each lies on plain background: no need to blend in place.
        coloured = background + coverage[..., None] * contrast + 0.5
        np.copyto(picture[rows, columns], coloured, where=coverage[..., None] > 0, casting="unsafe")
    return picture


def draw_coverage(item: SceneObject, height: int, width: int) -> tuple[slice, slice, np.ndarray]:
    """The object's bounding box (rows, columns) in the picture and the share of each pixel it
    covers there, float32 [box height, box width] in [0, 1]."""
    scale = min(height, width)
    x, y, radius = item.x * scale, item.y * scale, item.radius * scale
    supports = SUPPORTS[item.shape] * radius
    rows = _pixels_between(y - supports[UP], y + supports[DOWN], height)
    columns = _pixels_between(x - supports[LEFT], x + supports[RIGHT], width)
    offsets_y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + np.float32(0.5 - y)
    offsets_x = np.arange(columns.start, columns.stop, dtype=np.float32) + np.float32(0.5 - x)
    distance = signed_distance(item.shape, offsets_x, offsets_y, radius)
    return rows, columns, np.clip(0.5 - distance, 0, 1)


def _pixels_between(low: float, high: float, length: int) -> slice:
    """The pixels that an interval touches, widened by anti-aliasing: over a pixel at sharp tips."""
    return slice(max(math.floor(low - 2), 0), min(math.ceil(high + 2), length))
