from collections import Counter
from itertools import combinations, product

import numpy as np
import pytest

from pipelines.data.scenes import (
    COLOURS,
    HELD_OUT_PAIRS,
    RELATIONS,
    SHAPES,
    SIZES,
    clear_relation,
    is_held_out,
    sample_scene,
    scene_at,
)
from pipelines.data.scenes.drawing import draw_coverage
from pipelines.data.scenes.scene import _sample_layout

ASPECTS = [(64, 64), (64, 96), (160, 64)]


def some_scenes(number_of_objects, height=64, width=64, count=60):
    return [
        scene_at(1, "train", i, number_of_objects, number_of_objects, height=height, width=width)
        for i in range(count)
    ]


def test_a_scene_is_a_pure_function_of_seed_split_and_index():
    assert scene_at(3, "train", 7) == scene_at(3, "train", 7)
    others = [scene_at(4, "train", 7), scene_at(3, "train", 8), scene_at(3, "validation", 7)]
    assert all(scene_at(3, "train", 7) != other for other in others)


def test_splits_share_no_scene():
    splits = [
        {scene_at(0, split, i, 1, 1) for i in range(300)}
        for split in ("train", "validation", "test", "held_out")
    ]
    assert all(len(scenes) == 300 for scenes in splits)
    assert all(not first & second for first, second in combinations(splits, 2))


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_held_out_pairs_appear_only_where_asked_for(split):
    assert not any(is_held_out(scene_at(0, split, i, 1, 4)) for i in range(500))
    assert all(is_held_out(scene_at(0, split, i, 1, 4, held_out=True)) for i in range(100))
    assert all(is_held_out(scene_at(0, "held_out", i, 1, 4)) for i in range(100))


def test_held_out_pairs_repeat_no_colour_and_no_shape():
    colours, shapes = zip(*HELD_OUT_PAIRS, strict=True)
    assert len(set(colours)) == len(set(shapes)) == len(HELD_OUT_PAIRS)
    assert set(colours) <= set(COLOURS) and set(shapes) <= set(SHAPES)


def test_every_held_out_pair_is_drawn():
    seen = {
        (item.colour, item.shape) for i in range(80) for item in scene_at(0, "held_out", i).objects
    }
    assert set(HELD_OUT_PAIRS) <= seen


@pytest.mark.parametrize(("height", "width"), ASPECTS)
@pytest.mark.parametrize("number_of_objects", [1, 2, 3, 4])
def test_objects_lie_inside_and_apart_and_differ(number_of_objects, height, width):
    for scene in some_scenes(number_of_objects, height, width):
        assert len(scene.objects) == number_of_objects
        assert len({(item.colour, item.shape) for item in scene.objects}) == number_of_objects
        outlines = []
        for item in scene.objects:
            low, high = SIZES[item.size]
            assert low <= item.radius <= high
            rows, columns, coverage = draw_coverage(item, height, width)
            canvas = np.zeros((height, width))
            canvas[rows, columns] = coverage
            frame = np.concatenate([canvas[0], canvas[-1], canvas[:, 0], canvas[:, -1]])
            assert not frame.any(), "touches the picture's edge"
            inside = canvas >= 0.5
            inner = inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
            outlines.append(np.argwhere(inside & ~np.pad(inner, 1)))
        for first, second in combinations(outlines, 2):
            gap = np.linalg.norm(first[:, None] - second[None], axis=-1).min()
            assert gap > 2.5, "two objects nearly touch"


def test_two_objects_have_one_clear_relation_each_equally_often():
    for height, width in ASPECTS:
        counts = Counter(
            clear_relation(*scene.objects) for scene in some_scenes(2, height, width, count=400)
        )
        assert set(counts) == set(RELATIONS)
        assert min(counts.values()) > 70  # 100 expected; this is 3.5 standard deviations off


def test_relations_of_swapped_objects_are_opposite():
    opposites = {frozenset(("left of", "right of")), frozenset(("above", "below"))}
    for scene in some_scenes(2):
        first, second = scene.objects
        pair = frozenset((clear_relation(first, second), clear_relation(second, first)))
        assert pair in opposites
    above, below = sorted(some_scenes(2)[0].objects, key=lambda item: item.y)
    if abs(above.y - below.y) > abs(above.x - below.x):
        assert clear_relation(above, below) == "above"


def test_every_size_combination_is_drawn_equally_often():
    sizes = Counter(
        tuple(item.size for item in scene.objects) for scene in some_scenes(2, count=600)
    )
    assert set(sizes) == set(product(SIZES, repeat=2))
    assert min(sizes.values()) > 110  # 150 expected; this is 3.5 standard deviations off


def test_objects_come_as_often_as_weighed():
    scenes = [scene_at(0, "train", i, 1, 3, object_weights=[1, 2, 5]) for i in range(800)]
    numbers = Counter(len(scene.objects) for scene in scenes)
    for number, weight in ((1, 1), (2, 2), (3, 5)):
        assert abs(numbers[number] - 100 * weight) < 50  # 3.5 standard deviations


def test_the_hardest_combinations_of_large_shapes_are_placed():
    rng = np.random.default_rng(0)
    for shapes in product(SHAPES, repeat=2):
        _, positions = _sample_layout(rng, list(shapes), ["large", "large"], 64, 64)
        assert positions.shape == (2, 2)
    for shape in SHAPES:
        sizes = ["large", "small", "small", "small"]
        assert _sample_layout(rng, [shape] * 4, sizes, 64, 64)[1].shape == (4, 2)


def test_impossible_requests_are_refused_by_name():
    rng = np.random.default_rng(0)
    for number in (0, 5):
        with pytest.raises(ValueError, match="number_of_objects"):
            sample_scene(rng, number)
    with pytest.raises(ValueError, match="area"):
        sample_scene(rng, 1, height=0)
    with pytest.raises(ValueError, match="'training'.*train"):
        scene_at(0, "training", 0)
    with pytest.raises(ValueError, match="min_objects"):
        scene_at(0, "train", 0, 3, 2)
