"""One blob -> the object that explains it best, and how well it does."""

import math
from dataclasses import dataclass

import numpy as np

from pipelines.data.scenes.components import smoothed
from pipelines.data.scenes.scene import COLOURS, SIZES, SceneObject
from pipelines.data.scenes.shapes import AREAS, PERIMETERS, SHAPES, signed_distance

# Sigmas in pixels at reading resolution. Little smoothing, so that edges too soft or too wavy
# count; more for colour, which JPEG itself keeps at half the resolution.
COVERAGE_SMOOTHING = 0.5
COLOUR_SMOOTHING = 1.0
# Softness of the drawing that a blob is compared with: between a sharp and a damaged one.
DRAWING_SOFTNESS = 0.5
BORDER = 4  # pixels around a blob that are compared too


@dataclass(frozen=True)
class ObjectReading:
    """One blob, read as the shape that fits best.

    Attributes:
        item: the object; its coordinates are in pixels.
        misfit: squared differences between blob and drawing (1 is a pixel fully covered or of
            quite another colour), summed, per pixel of the outline.
        rivalry: the sum, relative to that of the next best shape.
        size_error: how far the radius lies out of the range of its size, in units of the gap
            between the two ranges; at most 0.5 between them.
    """

    item: SceneObject
    misfit: float
    rivalry: float
    size_error: float


@dataclass(frozen=True)
class Fit:
    """`reading` and the drawing that belongs to it: RGB difference to the background, [3, h, w] in
    the rows and columns of `box`."""

    reading: ObjectReading
    box: tuple[slice, slice]
    drawing: np.ndarray


def fit_object(contrast: np.ndarray, mask: np.ndarray, background: np.ndarray, unit: float) -> Fit:
    """Fits all shapes to one blob.

    Area and centre of gravity, which blur leaves alone, give radius and position under each shape;
    what remains is to draw the shapes and compare.

    Args:
        contrast: [3, h, w] RGB difference to the background, zero where other blobs are.
        mask: [h, w] bool, where the blob is.
        background: [3] RGB.
        unit: pixels per unit of the scene.
    """
    rows, columns = (_reach(mask.any(axis=axis)) for axis in (1, 0))
    contrast, mask = contrast[:, rows, columns], mask[rows, columns]
    name, direction = _colour(contrast[:, mask], background)
    strength = float(direction @ direction)
    coverage = np.tensordot(direction / strength, contrast, axes=1)
    # Pixel centres.
    offsets_y = np.arange(rows.start, rows.start + mask.shape[0], dtype=np.float32) + 0.5
    offsets_x = np.arange(columns.start, columns.start + mask.shape[1], dtype=np.float32) + 0.5
    area = max(float(coverage.sum()), 1.0)
    y = float(coverage.sum(axis=1) @ offsets_y) / area
    x = float(coverage.sum(axis=0) @ offsets_x) / area
    radii = [math.sqrt(area / AREAS[shape]) for shape in SHAPES]
    across, down = (offsets_x - x), (offsets_y - y)[:, None]
    distances = np.stack(
        [signed_distance(s, across, down, r) for s, r in zip(SHAPES, radii, strict=True)]
    )
    drawings = np.clip(0.5 - distances, 0, 1)
    errors = _squared_errors(contrast, coverage, drawings, direction)
    best, second = np.argsort(errors)[:2].tolist()
    size, size_error = _size(radii[best] / unit)
    shape, radius = SHAPES[best], radii[best]
    reading = ObjectReading(
        item=SceneObject(shape, name, size, x / unit, y / unit, radius / unit),
        misfit=float(errors[best]) / (PERIMETERS[shape] * radius),
        rivalry=float(errors[best] / errors[second]),
        size_error=size_error,
    )
    return Fit(reading, (rows, columns), direction[:, None, None] * drawings[best])


def _reach(occupied: np.ndarray) -> slice:
    """From the first to the last occupied line, and the border."""
    lines = np.flatnonzero(occupied)
    return slice(max(int(lines[0]) - BORDER, 0), int(lines[-1]) + 1 + BORDER)


def _colour(contrasts: np.ndarray, background: np.ndarray) -> tuple[str, np.ndarray]:
    """The colour nearest to the median of the more contrasting half of the pixels [3, n] (the rest
    is softened by the outline), and its difference [3] to the background."""
    strengths = (contrasts**2).sum(axis=0)
    core = contrasts[:, strengths >= np.median(strengths)]
    seen = background + np.median(core, axis=1)
    name = min(COLOURS, key=lambda name: math.dist(COLOURS[name], seen))
    return name, (np.array(COLOURS[name]) - background).astype(np.float32)


def _squared_errors(
    contrast: np.ndarray, coverage: np.ndarray, drawings: np.ndarray, direction: np.ndarray
) -> np.ndarray:
    """For each of the drawings [n, h, w] the sum of squared errors [n], in units of the colour's
    contrast: those of coverage, and those of colour, which all drawings have in common."""
    impurity = smoothed(contrast - direction[:, None, None] * coverage, COLOUR_SMOOTHING)
    softness = math.hypot(COVERAGE_SMOOTHING, DRAWING_SOFTNESS)
    misses = smoothed(drawings, softness) - smoothed(coverage, COVERAGE_SMOOTHING)
    return (misses**2).sum(axis=(1, 2)) + (impurity**2).sum() / (direction @ direction)


def _size(radius: float) -> tuple[str, float]:
    gap = SIZES["large"][0] - SIZES["small"][1]
    errors = {
        size: max(low - radius, radius - high, 0.0) / gap for size, (low, high) in SIZES.items()
    }
    size = min(errors, key=errors.__getitem__)
    return size, errors[size]
