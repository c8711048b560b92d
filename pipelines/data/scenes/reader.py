"""Pixels -> scene, exactly or not at all: analysis by synthesis.

The picture is cut into blobs, each blob is fitted with all shapes, and the best one has to explain
it: a picture in which any blob fits no shape, fits two about equally or has no proper size is
refused, and so is one with anything else on its background.
"""

import math
from dataclasses import dataclass

import numpy as np

from pipelines.data.scenes.components import area_averaging, connected_components, grown, smoothed
from pipelines.data.scenes.fitting import ObjectReading, fit_object
from pipelines.data.scenes.scene import BACKGROUNDS, MAX_OBJECTS, Scene

# Pictures are read at this shorter side, where the constants hold.
RESOLUTION = 64

# The strictest values that read all of 10,000 scenes right, as drawn and damaged, at 64 and at 128
# pixels: measured by `python -m pipelines.data.scenes.calibration`, rounded up in the third digit.
MAX_MISFIT = 0.0663
MAX_RIVALRY = 0.246
MAX_LEFTOVER = 31.2
# Damage hardly moves a radius; what is neither small nor large is the middle half between the two.
MAX_SIZE_ERROR = 0.25

_FOREGROUND_CONTRAST = 90.0  # RGB distance to the background; a third of the faintest colour's
_BACKGROUND_DISTANCE = 30.0  # from the nearest of the tints, which are about as far apart
_LEFTOVER_SMOOTHING = 1.5  # sigma in pixels
_OUTLINE = 2  # pixels around a blob that its fit answers for


@dataclass(frozen=True)
class Reading:
    """All blobs of a picture, and the largest RGB distance left over between them."""

    objects: tuple[ObjectReading, ...]
    background: tuple[int, int, int]
    leftover: float


def read_scene(pixels: np.ndarray) -> Scene | None:
    """The scene that the picture shows, or None if it shows none exactly.

    Args:
        pixels: uint8 [h, w, 3], at least 64 pixels on the shorter side.

    Returns:
        The scene, its objects in the order of their topmost pixels, or None.

    Raises:
        ValueError: for an array of another type or shape, or too small a picture.
    """
    reading = measure(pixels)
    if reading is None or reading.leftover > MAX_LEFTOVER:
        return None
    for blob in reading.objects:
        if blob.misfit > MAX_MISFIT or blob.rivalry > MAX_RIVALRY:
            return None
        if blob.size_error > MAX_SIZE_ERROR:
            return None
    return Scene(tuple(blob.item for blob in reading.objects), reading.background)


def measure(pixels: np.ndarray) -> Reading | None:
    """How well the picture reads, before any threshold; arguments and errors as `read_scene`.

    None if there is no blob, more than four, or no light background.
    """
    picture = _at_reading_resolution(pixels)
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    background = np.median(border, axis=0)
    tint = min(BACKGROUNDS, key=lambda tint: math.dist(tint, background))
    if math.dist(tint, background) > _BACKGROUND_DISTANCE:
        return None
    contrast = np.ascontiguousarray(np.moveaxis(picture - background, -1, 0), dtype=np.float32)
    foreground = (contrast**2).sum(axis=0) > _FOREGROUND_CONTRAST**2
    masks = connected_components(foreground, most=MAX_OBJECTS)
    if not masks:
        return None
    occupied = grown(foreground, _OUTLINE)
    shorter = min(pixels.shape[:2])
    units = (len(picture) * shorter / pixels.shape[0], picture.shape[1] * shorter / pixels.shape[1])
    leftover = contrast.copy()
    readings = []
    for mask in masks:
        # Between close neighbours each keeps its own side of the gap.
        others = grown(foreground & ~mask, 1) | (occupied & ~grown(mask, _OUTLINE))
        fit = fit_object(np.where(others, 0, contrast), mask, background, units)
        readings.append(fit.reading)
        leftover[:, *fit.box] -= fit.drawing
    distances = np.sqrt((smoothed(leftover, _LEFTOVER_SMOOTHING) ** 2).sum(axis=0))
    return Reading(tuple(readings), tint, float(distances[~occupied].max(initial=0)))


def _at_reading_resolution(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(
            f"pixels are {pixels.dtype} {list(pixels.shape)}; the reader needs uint8 [h, w, 3]"
        )
    height, width = pixels.shape[:2]
    shorter = min(height, width)
    if shorter < RESOLUTION:
        raise ValueError(
            f"a picture of {height} x {width} is too small to read; "
            f"its shorter side must be at least {RESOLUTION} pixels"
        )
    if shorter == RESOLUTION:
        return pixels.astype(np.float32)
    rows = area_averaging(height, round(height * RESOLUTION / shorter))
    columns = area_averaging(width, round(width * RESOLUTION / shorter))
    planes = np.moveaxis(pixels, -1, 0).astype(np.float32)
    return np.moveaxis(rows @ planes @ columns.T, 0, -1)
