from dataclasses import replace

import pytest

from pipelines.data.scenes import Match, Scene, SceneObject, compare, parse_caption

CIRCLE = SceneObject("circle", "red", "large", 0.5, 0.3, 0.2)
SQUARE = SceneObject("square", "blue", "small", 0.5, 0.75, 0.15)
SCENE = Scene((CIRCLE, SQUARE), (250, 250, 250))
NOTHING = Match(shape=False, colour=False, size=False, relation=False, count=False)


def match(text, *objects):
    return compare(parse_caption(text), Scene(objects or SCENE.objects, SCENE.background))


def test_order_does_not_matter():
    for objects in ((CIRCLE, SQUARE), (SQUARE, CIRCLE)):
        assert match("a large red circle above a small blue square", *objects).exact
        assert match("a small blue square below a large red circle", *objects).exact


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("a large red star above a small blue square", {"shape"}),
        ("a large green circle above a small blue square", {"colour"}),
        ("a small red circle above a small blue square", {"size"}),
        ("a large red circle below a small blue square", {"relation"}),
        ("a large red circle left of a small blue square", {"relation"}),
        ("a large green circle above a large blue square", {"colour", "size"}),
        # The right words bound to the wrong objects.
        ("a large blue circle above a small red square", {"colour"}),
    ],
)
def test_each_attribute_is_judged_for_itself(text, wrong):
    result = match(text)
    names = {"shape", "colour", "size", "relation", "count"}
    assert {name for name in names if not getattr(result, name)} == wrong
    assert not result.exact


def test_an_extra_object_spoils_the_count_only():
    cross = SceneObject("cross", "green", "small", 0.2, 0.7, 0.15)
    result = match("a large red circle above a small blue square", CIRCLE, SQUARE, cross)
    assert result == Match(shape=True, colour=True, size=True, relation=True, count=False)
    assert not result.exact


def test_a_missing_object_matches_nothing():
    assert match("a large red circle above a small blue square", CIRCLE) == NOTHING


def test_what_does_not_parse_or_read_matches_nothing():
    assert compare(None, SCENE) == NOTHING
    assert compare(parse_caption("a large red circle"), None) == NOTHING


def test_one_object_states_no_relation():
    assert match("a large red circle", CIRCLE).exact


def test_relations_follow_the_dominant_axis():
    aside = replace(SQUARE, x=0.85, y=0.6)
    assert match("a large red circle left of a small blue square", CIRCLE, aside).exact
    assert not match("a large red circle above a small blue square", CIRCLE, aside).exact
