"""Pictures that no scene is right for; the reader has to refuse them."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from pipelines.data.scenes.drawing import draw_scene
from pipelines.data.scenes.scene import COLOURS, SIZES, Scene, SceneObject
from pipelines.data.scenes.shapes import SHAPES

# Each maps (scene, rng, height, width) to a picture, uint8 [height, width, 3], in which something
# is wrong with the first object or beside the objects.
Counterexample = Callable[[Scene, np.random.Generator, int, int], np.ndarray]


def half_missing(scene: Scene, rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """The first object is cut along a random line through its centre."""
    without = Scene(scene.objects[1:], scene.background)
    return _cut(scene, draw_scene(scene, height, width), draw_scene(without, height, width), rng)


def two_shapes_mixed(scene: Scene, rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """The mean of two pictures that differ in the first object's shape."""
    first = scene.objects[0]
    other = _with_first(scene, replace(first, shape=_another(rng, SHAPES, first.shape)))
    return _mean(draw_scene(scene, height, width), draw_scene(other, height, width))


def two_shapes_halved(
    scene: Scene, rng: np.random.Generator, height: int, width: int
) -> np.ndarray:
    """One half of the first object has another shape."""
    first = scene.objects[0]
    other = _with_first(scene, replace(first, shape=_another(rng, SHAPES, first.shape)))
    return _cut(scene, draw_scene(scene, height, width), draw_scene(other, height, width), rng)


def two_colours_mixed(
    scene: Scene, rng: np.random.Generator, height: int, width: int
) -> np.ndarray:
    """The first object's colour lies halfway between two."""
    first = scene.objects[0]
    other = _with_first(scene, replace(first, colour=_another(rng, COLOURS, first.colour)))
    return _mean(draw_scene(scene, height, width), draw_scene(other, height, width))


def two_colours_halved(
    scene: Scene, rng: np.random.Generator, height: int, width: int
) -> np.ndarray:
    """One half of the first object has another colour."""
    first = scene.objects[0]
    other = _with_first(scene, replace(first, colour=_another(rng, COLOURS, first.colour)))
    return _cut(scene, draw_scene(scene, height, width), draw_scene(other, height, width), rng)


def size_between(scene: Scene, rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """The first object, alone, is neither small nor large."""
    radius = (SIZES["small"][1] + SIZES["large"][0]) / 2
    item = replace(scene.objects[0], x=0.5, y=0.5, radius=radius)
    return draw_scene(Scene((item,), scene.background), height, width)


def extra_blob(scene: Scene, rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Beside the objects lies a disc too small to be one."""
    shorter = min(height, width)
    colour = _another(rng, COLOURS, "")
    while True:
        x, y = rng.random(2) * np.array([width, height]) / shorter
        radius = rng.uniform(2.5, 7) / 64
        apart = 1.25 * max(item.radius for item in scene.objects) + radius + 3 / 64
        if all(np.hypot(x - item.x, y - item.y) > apart for item in scene.objects):
            blob = SceneObject("circle", colour, "small", x, y, radius)
            return draw_scene(Scene((*scene.objects, blob), scene.background), height, width)


def overlapping(scene: Scene, rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Two shapes of one colour grow out of each other, four fifths of a radius apart."""
    first = scene.objects[0]
    angle, distance = rng.uniform(0, 2 * np.pi), 0.8 * first.radius
    second = replace(
        first,
        shape=_another(rng, SHAPES, ""),
        x=first.x + distance * np.cos(angle),
        y=first.y + distance * np.sin(angle),
    )
    union = Scene((first, second, *scene.objects[1:]), scene.background)
    return draw_scene(union, height, width)


COUNTEREXAMPLES: tuple[Counterexample, ...] = (
    half_missing,
    two_shapes_mixed,
    two_shapes_halved,
    two_colours_mixed,
    two_colours_halved,
    size_between,
    extra_blob,
    overlapping,
)


def _with_first(scene: Scene, first: SceneObject) -> Scene:
    return Scene((first, *scene.objects[1:]), scene.background)


def _another(rng: np.random.Generator, names: Iterable[str], name: str) -> str:
    others = [other for other in names if other != name]
    return others[rng.integers(len(others))]


def _mean(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return ((first.astype(np.uint16) + second) // 2).astype(np.uint8)


def _cut(
    scene: Scene, first: np.ndarray, second: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The first picture on one side of a line through the first object, the second on the other."""
    height, width = first.shape[:2]
    scale, item = min(height, width), scene.objects[0]
    rows, columns = np.indices((height, width))
    angle = rng.uniform(0, 2 * np.pi)
    side = np.cos(angle) * ((columns + 0.5) / scale - item.x)
    side = side + np.sin(angle) * ((rows + 0.5) / scale - item.y)
    return np.where((side < 0)[..., None], first, second)
