"""What a scene is, and how scenes are drawn by lot: any number, seeded, no files."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.data.scenes.shapes import (
    DIRECTIONS,
    DOWN,
    LEFT,
    RIGHT,
    SHAPES,
    SUPPORTS,
    UP,
    opposite,
)

# Well apart from each other and from the backgrounds, in brightness or in both colour channels.
COLOURS = {
    "red": (215, 25, 40),
    "green": (25, 150, 60),
    "blue": (30, 70, 225),
    "orange": (245, 125, 0),
    "purple": (165, 40, 175),
    "black": (20, 20, 25),
}
BACKGROUNDS = ((250, 250, 250), (224, 238, 252), (252, 238, 222))
# Radii as fractions of the shorter side: at 64 pixels 9 to 10 and 13 to 14.
SIZES = {"small": (9 / 64, 10 / 64), "large": (13 / 64, 14 / 64)}
RELATIONS = ("left of", "right of", "above", "below")
OPPOSITE_RELATION = {
    "left of": "right of",
    "right of": "left of",
    "above": "below",
    "below": "above",
}

# Colour-shape pairs that no training scene, caption or question has; no colour or shape twice.
HELD_OUT_PAIRS = (
    ("red", "star"),
    ("blue", "triangle"),
    ("orange", "circle"),
    ("purple", "square"),
)
PAIRS = tuple((colour, shape) for colour in COLOURS for shape in SHAPES)
TRAINING_PAIRS = tuple(pair for pair in PAIRS if pair not in HELD_OUT_PAIRS)

MAX_OBJECTS = 4
EDGE_MARGIN = 1.5 / 64
GAP = 3 / 64
RELATION_MARGIN = 4 / 64
_MAX_LARGE = {1: 1, 2: 2, 3: 1, 4: 1}  # what fits into a square with room to move
_LAYOUTS_AT_ONCE = {1: 1, 2: 256, 3: 128, 4: 1024}  # fastest, measured
_SPLITS = {"train": 0, "validation": 1, "test": 2, "held_out": 3}


@dataclass(frozen=True)
class SceneObject:
    """One shape. x, y (of the centroid; y points down) and radius in shorter sides."""

    shape: str
    colour: str
    size: str
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Scene:
    objects: tuple[SceneObject, ...]
    background: tuple[int, int, int]


def dominant_relation(first: SceneObject, second: SceneObject) -> str:
    """The one relation of the first object to the second, by the axis that separates them most."""
    dx, dy = second.x - first.x, second.y - first.y
    if abs(dx) >= abs(dy):
        return "left of" if dx > 0 else "right of"
    return "above" if dy > 0 else "below"


def clear_relation(first: SceneObject, second: SceneObject) -> str | None:
    """The relation of the first object to the second, None where an eye could hesitate."""
    dx, dy = abs(second.x - first.x), abs(second.y - first.y)
    return dominant_relation(first, second) if abs(dx - dy) >= RELATION_MARGIN else None


def is_held_out(scene: Scene) -> bool:
    """Whether some object's colour and shape are a held-out pair."""
    return any((item.colour, item.shape) in HELD_OUT_PAIRS for item in scene.objects)


def sample_scene(
    rng: np.random.Generator,
    number_of_objects: int,
    held_out: bool = False,
    height: int = 64,
    width: int = 64,
) -> Scene:
    """Draws a scene for pictures of the given aspect (only height : width matters).

    Objects lie inside the picture, apart from each other, and differ in (colour, shape); two
    objects have exactly one clear relation, each of the four equally often. A scene has a held-out
    pair (exactly one) if and only if `held_out`.

    Raises ValueError unless there are one to four objects and the picture has an area.
    """
    if number_of_objects not in _MAX_LARGE:
        raise ValueError(f"number_of_objects is {number_of_objects}; it must be 1 to {MAX_OBJECTS}")
    if height < 1 or width < 1:
        raise ValueError(f"a picture of {height} x {width} has no area; both must be at least 1")
    pairs = _sample_pairs(rng, number_of_objects, held_out)
    sizes = _sample_sizes(rng, number_of_objects)
    background = BACKGROUNDS[rng.integers(len(BACKGROUNDS))]
    radii, positions = _sample_layout(rng, [shape for _, shape in pairs], sizes, height, width)
    objects = tuple(
        SceneObject(shape, colour, size, x, y, radius)
        for (colour, shape), size, radius, (x, y) in zip(
            pairs, sizes, radii.tolist(), positions.tolist(), strict=True
        )
    )
    return Scene(objects, background)


def scene_at(
    seed: int,
    split: str,
    index: int,
    min_objects: int = 1,
    max_objects: int = 2,
    held_out: bool = False,
    height: int = 64,
    width: int = 64,
    object_weights: Sequence[float] | None = None,
) -> Scene:
    """Scene number `index` of a split: a pure function of its arguments.

    `object_weights` say how often it has `min_objects`, …, `max_objects`; None is equally often.

    Splits ("train", "validation", "test", "held_out") have random streams of their own. Scenes of
    "held_out" each have a held-out pair, as those of other splits have where `held_out` asks.

    Raises ValueError for an unknown split, a negative seed or index, and impossible numbers.
    """
    if split not in _SPLITS:
        raise ValueError(f"split is {split!r}; scenes have {', '.join(_SPLITS)}")
    if not 1 <= min_objects <= max_objects <= MAX_OBJECTS:
        raise ValueError(
            f"min_objects is {min_objects} and max_objects {max_objects}; "
            f"they must satisfy 1 <= min_objects <= max_objects <= {MAX_OBJECTS}"
        )
    rng = np.random.default_rng((seed, _SPLITS[split], index))
    number_of_objects = int(rng.integers(min_objects, max_objects + 1))
    if object_weights is not None:
        share = np.array(object_weights) / sum(object_weights)
        number_of_objects = int(rng.choice(np.arange(min_objects, max_objects + 1), p=share))
    return sample_scene(rng, number_of_objects, held_out or split == "held_out", height, width)


def _sample_pairs(rng: np.random.Generator, number: int, held_out: bool) -> list[tuple[str, str]]:
    pairs = [TRAINING_PAIRS[i] for i in rng.permutation(len(TRAINING_PAIRS))[:number]]
    if held_out:
        pairs[rng.integers(number)] = HELD_OUT_PAIRS[rng.integers(len(HELD_OUT_PAIRS))]
    return pairs


def _sample_sizes(rng: np.random.Generator, number: int) -> list[str]:
    """Every combination with at most as many large ones as fit, equally often."""
    while True:
        sizes = ["large" if large else "small" for large in rng.random(number) < 0.5]
        if sizes.count("large") <= _MAX_LARGE[number]:
            return sizes


def _sample_layout(
    rng: np.random.Generator, shapes: list[str], sizes: list[str], height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Radii [n] and centres [n, 2], the latter uniform over all layouts that are allowed.

    The relation of two objects is drawn first, so that wide pictures are not all left and right.
    """
    number, shorter = len(shapes), min(height, width)
    relation = RELATIONS[rng.integers(len(RELATIONS))] if number == 2 else None
    unit_supports = np.stack([SUPPORTS[shape] for shape in shapes])
    ranges = np.array([SIZES[size] for size in sizes])
    while True:  # of two large shapes in a square 1 layout in 1,000 is allowed, at the worst
        radii = ranges[:, 0] + rng.random(number) * (ranges[:, 1] - ranges[:, 0])
        supports = unit_supports * radii[:, None]
        low = supports[:, [LEFT, UP]] + EDGE_MARGIN
        high = np.array([width, height]) / shorter - supports[:, [RIGHT, DOWN]] - EDGE_MARGIN
        layouts = low + rng.random((_LAYOUTS_AT_ONCE[number], number, 2)) * (high - low)
        layout = _first_allowed(layouts, supports, relation)
        if layout is not None:
            return radii, layout


def _first_allowed(
    layouts: np.ndarray, supports: np.ndarray, relation: str | None
) -> np.ndarray | None:
    """The first of the layouts [k, n, 2] that keeps the relation and the gaps between objects."""
    if relation is not None:
        along, across = (layouts[:, 1] - layouts[:, 0]).T
        if relation in ("above", "below"):
            along, across = across, along
        if relation in ("right of", "below"):
            along = -along
        layouts = layouts[along >= np.abs(across) + RELATION_MARGIN]
    number = layouts.shape[1]
    for i in range(number):
        for j in range(i + 1, number):
            offsets = layouts[:, j] - layouts[:, i]
            needed = supports[i] + opposite(supports[j]) + GAP
            layouts = layouts[(offsets @ DIRECTIONS.T >= needed).any(axis=1)]
    return layouts[0] if len(layouts) else None
