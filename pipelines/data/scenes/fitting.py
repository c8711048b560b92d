"""One blob -> the object that explains it best, and how well it does."""

import math
from dataclasses import dataclass

import numpy as np

from pipelines.data.scenes.components import smoothed
from pipelines.data.scenes.scene import COLOURS, SIZES, SceneObject
from pipelines.data.scenes.shapes import AREAS, PERIMETERS, SHAPES, signed_distance

# Sigmas in pixels at reading resolution, chosen so that damaged scenes stay apart from blends of
# two shapes. Little smoothing, so that a washed-out outline counts; more for colour, which JPEG
# keeps at half the resolution. What a blob is compared with is as soft as damage makes it.
COVERAGE_SMOOTHING = 0.5
COLOUR_SMOOTHING = 2.0
DRAWING_SOFTNESS = 0.8
BORDER = 4  # pixels around a blob that are compared too


@dataclass(frozen=True)
class ObjectReading:
    """One blob, read as the shape that fits best.

    Attributes:
        item: the object, in the scene's coordinates.
        misfit: squared differences between blob and drawing (1 is a pixel fully covered or of
            quite another colour), summed, per pixel of the outline.
        rivalry: the same sum without colours, relative to that of the next best shape.
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


def fit_object(
    contrast: np.ndarray, mask: np.ndarray, background: np.ndarray, units: tuple[float, float]
) -> Fit:
    """Fits all shapes to one blob.

    Area and centre of gravity, which blur leaves alone, give radius and position under each shape;
    what remains is to draw the shapes and compare.

    Args:
        contrast: [3, h, w] RGB difference to the background, zero where other blobs are.
        mask: [h, w] bool, where the blob is.
        background: [3] RGB.
        units: pixels per unit of the scene, vertically and horizontally (resizing may round one).
    """
    rows, columns = _reach(mask), _reach(mask.T)
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
    misses, impurity = _squared_errors(contrast, coverage, drawings, direction)
    best, second = np.argsort(misses)[:2].tolist()
    shape, radius = SHAPES[best], radii[best]
    scene_radius = radius / math.sqrt(units[0] * units[1])
    size, size_error = _size(scene_radius)
    reading = ObjectReading(
        item=SceneObject(shape, name, size, x / units[1], y / units[0], scene_radius),
        misfit=float(misses[best] + impurity) / (PERIMETERS[shape] * radius),
        rivalry=float(misses[best] / misses[second]),
        size_error=size_error,
    )
    return Fit(reading, (rows, columns), direction[:, None, None] * drawings[best])


def _reach(mask: np.ndarray) -> slice:
    """From the first to the last row that the mask [h, w] occupies, and the border."""
    lines = np.flatnonzero(mask.any(axis=1))
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
) -> tuple[np.ndarray, float]:
    """Sums of squared errors in units of the colour's contrast: of the coverage, for each of the
    drawings [n, h, w] -> [n], and of the colour, which they have in common."""
    softness = math.hypot(COVERAGE_SMOOTHING, DRAWING_SOFTNESS)
    misses = smoothed(drawings, softness) - smoothed(coverage, COVERAGE_SMOOTHING)
    impurity = smoothed(contrast - direction[:, None, None] * coverage, COLOUR_SMOOTHING)
    return (misses**2).sum(axis=(1, 2)), float((impurity**2).sum() / (direction @ direction))


def _size(radius: float) -> tuple[str, float]:
    gap = SIZES["large"][0] - SIZES["small"][1]
    errors = {
        size: max(low - radius, radius - high, 0.0) / gap for size, (low, high) in SIZES.items()
    }
    size = min(errors, key=errors.__getitem__)
    return size, errors[size]
