import math

import numpy as np
import pytest

from pipelines.data.scenes import (
    BACKGROUNDS,
    COLOURS,
    SHAPES,
    Scene,
    SceneObject,
    draw_scene,
    scene_at,
)
from pipelines.data.scenes.drawing import draw_coverage
from pipelines.data.scenes.shapes import AREAS, PERIMETERS, SUPPORTS


def alone(shape, radius=0.2, x=0.5, y=0.5):
    return SceneObject(shape, "black", "large", x, y, radius)


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_covered_has_the_shapes_area_and_centre(shape):
    item = alone(shape, x=0.4, y=0.55)
    rows, columns, coverage = draw_coverage(item, 512, 512)
    area = AREAS[shape] * (item.radius * 512) ** 2
    assert coverage.sum() == pytest.approx(area, rel=0.003)
    ys = np.arange(rows.start, rows.stop) + 0.5
    xs = np.arange(columns.start, columns.stop) + 0.5
    assert coverage.sum(axis=1) @ ys / coverage.sum() == pytest.approx(0.55 * 512, abs=0.2)
    assert coverage.sum(axis=0) @ xs / coverage.sum() == pytest.approx(0.4 * 512, abs=0.2)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_outlines_length_is_how_fast_area_grows(shape):
    # Growing by dr moves each edge by its distance from the centre: 2 * area = perimeter * mean.
    apothem = 2 * AREAS[shape] / PERIMETERS[shape]
    assert 0.3 < apothem <= 1.0
    if shape == "circle":
        assert apothem == pytest.approx(1)
    if shape in ("square", "triangle", "diamond"):  # all edges equally far
        assert apothem == pytest.approx(min(SUPPORTS[shape]), rel=0.02)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_bounding_box_holds_the_whole_shape(shape):
    for radius in (0.13, 0.2):
        item = alone(shape, radius)
        _, _, coverage = draw_coverage(item, 101, 101)
        edges = [coverage[0], coverage[-1], coverage[:, 0], coverage[:, -1]]
        assert all(edge.max() == 0 for edge in edges)


def test_pixels_have_the_objects_and_the_backgrounds_exact_colours():
    for name, colour in COLOURS.items():
        scene = Scene((SceneObject("square", name, "large", 0.5, 0.5, 0.2),), BACKGROUNDS[1])
        picture = draw_scene(scene, 64, 64)
        assert picture.dtype == np.uint8 and picture.shape == (64, 64, 3)
        assert tuple(picture[32, 32]) == colour
        assert tuple(picture[0, 0]) == BACKGROUNDS[1]


def test_edges_are_anti_aliased_and_never_outside_of_both_colours():
    scene = Scene((alone("circle"),), BACKGROUNDS[0])
    values = np.unique(draw_scene(scene, 64, 64)[..., 0])
    assert len(values) >= 8
    assert values.min() == COLOURS["black"][0] and values.max() == BACKGROUNDS[0][0]


def test_a_larger_picture_shows_the_same_scene():
    for index in range(20):
        scene = scene_at(0, "test", index, 1, 4, height=64, width=96)
        small, large = draw_scene(scene, 64, 96), draw_scene(scene, 256, 384)
        shrunk = large.reshape(64, 4, 96, 4, 3).mean(axis=(1, 3))
        # Sharp tips are thinner than a pixel of the small picture, so that not every pixel agrees.
        assert np.abs(shrunk - small).mean() < 0.5


def test_objects_keep_their_place_in_wide_pictures():
    scene = Scene((alone("circle", x=1.5, y=0.25),), BACKGROUNDS[0])
    picture = draw_scene(scene, 64, 128)
    dark = np.argwhere(picture[..., 0] < 128)
    assert dark.mean(axis=0) + 0.5 == pytest.approx((0.25 * 64, 1.5 * 64), abs=0.3)
    assert len(dark) == pytest.approx(math.pi * (0.2 * 64) ** 2, rel=0.03)
