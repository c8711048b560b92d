import re
from collections import Counter

import numpy as np
import pytest

from pipelines.data.scenes import (
    HELD_OUT_PAIRS,
    LANGUAGES,
    Attributes,
    Scene,
    SceneObject,
    Statement,
    canonical_caption,
    caption,
    compare,
    describe,
    parse_caption,
    scene_at,
)

CIRCLE = SceneObject("circle", "red", "large", 0.5, 0.3, 0.2)
SQUARE = SceneObject("square", "blue", "small", 0.5, 0.75, 0.15)
CROSS = SceneObject("cross", "green", "small", 0.2, 0.7, 0.15)
WHITE = (250, 250, 250)
STATED = Statement(
    (Attributes("large", "red", "circle"), Attributes("small", "blue", "square")), "above"
)


def test_canonical_captions_read_as_expected():
    two = Scene((CIRCLE, SQUARE), WHITE)
    assert canonical_caption(two) == "a large red circle above a small blue square"
    assert canonical_caption(two, "zh") == "大红色圆形在小蓝色正方形上方"
    swapped = Scene((SQUARE, CIRCLE), WHITE)
    assert canonical_caption(swapped) == "a small blue square below a large red circle"
    three = Scene((CIRCLE, SQUARE, CROSS), WHITE)
    assert canonical_caption(three) == (
        "a large red circle, a small blue square and a small green cross"
    )
    assert canonical_caption(three, "zh") == "大红色圆形、小蓝色正方形和小绿色十字形"
    assert canonical_caption(Scene((CIRCLE,), WHITE)) == describe(CIRCLE) == "a large red circle"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_caption_parses_to_what_its_scene_shows(language):
    rng = np.random.default_rng(0)
    for index in range(600):
        split = "held_out" if index % 4 == 0 else "train"
        scene = scene_at(0, split, index, 1, 4)
        for text in (caption(scene, rng, language), canonical_caption(scene, language)):
            statement = parse_caption(text)
            assert statement is not None, text
            assert compare(statement, scene).exact, text
            assert (statement.relation is not None) == (len(scene.objects) == 2), text


@pytest.mark.parametrize("language", LANGUAGES)
def test_captions_vary_and_the_plain_form_is_the_most_common(language):
    scene = Scene((CIRCLE, SQUARE), WHITE)
    rng = np.random.default_rng(0)
    texts = Counter(caption(scene, rng, language) for _ in range(2000))
    assert len(texts) == 12  # 3 templates, 2 wordings of the relation, 2 orders
    plain = {
        canonical_caption(scene, language),
        canonical_caption(Scene((SQUARE, CIRCLE), WHITE), language),
    }
    assert {text for text, _ in texts.most_common(2)} == plain
    assert sum(texts[text] for text in plain) > 1000


def test_captions_are_deterministic_given_the_generator():
    scene = scene_at(0, "train", 0, 2, 2)
    first, second = (caption(scene, np.random.default_rng(5)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_training_caption_names_a_held_out_pair(language):
    words, rng = LANGUAGES[language], np.random.default_rng(0)
    joint = " " if language == "en" else ""
    pairs = [
        joint.join((words.colours[colour], words.shapes[shape])) for colour, shape in HELD_OUT_PAIRS
    ]
    for index in range(500):
        text = caption(scene_at(0, "train", index, 1, 4), rng, language)
        assert not any(pair in text for pair in pairs)
    text = caption(scene_at(0, "held_out", 0), rng, language)
    assert any(pair in text for pair in pairs)


@pytest.mark.parametrize(
    "text",
    [
        "a large red circle above a small blue square",
        "  A Large RED circle over a small blue square ",
        "there is a large red circle above a small blue square",
        "a large red circle with a small blue square under it",
        "大红色圆形在小蓝色正方形上方",
        "大 红 色 圆 形 在 小 蓝 色 正 方 形 上 面",
        "图中大红色圆形在小蓝色正方形上方",
        "大红色圆形下方有小蓝色正方形",
    ],
)
def test_wordings_state_the_same(text):
    assert parse_caption(text) == STATED


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a large red circle above",
        "a large red circle a small blue square",
        "a large red circle above a small blue square.",
        "a large  red circle",
        "a red circle",
        "a large circle red",
        "a large yellow circle",
        "an large red circle",
        "a large red circle above a small blue square and a small green cross",
        "a large red circle and a small blue square",
        "大红色圆形在小蓝色正方形",
        "大红色圆形 above a small blue square",
    ],
)
def test_anything_else_does_not_parse(text):
    assert parse_caption(text) is None


def test_at_most_four_objects_parse():
    item = "a large red circle"
    assert len(parse_caption(f"{item}, {item}, {item} and {item}").objects) == 4
    assert parse_caption(f"{item}, {item}, {item}, {item} and {item}") is None


def test_captions_are_short():
    rng = np.random.default_rng(0)
    for index in range(200):
        scene = scene_at(0, "train", index, 2, 2)
        assert len(caption(scene, rng).split()) <= 14
        assert len(re.sub(r"\s", "", caption(scene, rng, "zh"))) <= 20


def test_an_unknown_language_is_refused_by_name():
    with pytest.raises(ValueError, match="'fr'.*en or zh"):
        canonical_caption(Scene((CIRCLE,), WHITE), "fr")
