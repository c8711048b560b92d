import re
from collections import Counter

import numpy as np
import pytest

from pipelines.data.scenes import (
    COLOURS,
    HELD_OUT_PAIRS,
    LANGUAGES,
    RELATIONS,
    SHAPES,
    Scene,
    dominant_relation,
    questions,
    scene_at,
)
from pipelines.data.scenes.questions import KINDS, WORDINGS

NUMBERS = WORDINGS["en"].numbers
SINGULAR = {f"{name}s": name for name in (*SHAPES, "object")} | {"crosses": "cross"}


def find(scene, phrase):
    """The objects that an English phrase as "a large red circle" or "blue objects" refers to."""
    words = {SINGULAR.get(word, word) for word in phrase.split()} - {"a", "object"}
    return [item for item in scene.objects if words <= {item.size, item.colour, item.shape}]


def only(scene, phrase):
    found = find(scene, phrase)
    assert len(found) == 1, f"{phrase!r} refers to {len(found)} objects"
    return found[0]


def answer(scene, asked):
    """Answers an English question anew, from the scene alone."""
    text = asked.question
    if asked.kind in ("colour", "shape", "size"):
        phrase = re.fullmatch(rf"what {asked.kind} is the (.+)\?", text)[1]
        return getattr(only(scene, phrase), asked.kind)
    if asked.kind == "count":
        return NUMBERS[len(find(scene, re.fullmatch(r"how many (.+) are there\?", text)[1]))]
    if asked.kind == "yes_no":
        return "yes" if find(scene, re.fullmatch(r"is there (.+)\?", text)[1]) else "no"
    first, second = re.fullmatch(r"where is the (.+) relative to the (.+)\?", text).groups()
    return dominant_relation(only(scene, first), only(scene, second))


def test_every_answer_is_the_only_right_one():
    rng, kinds = np.random.default_rng(0), Counter()
    for index in range(500):
        scene = scene_at(0, "held_out" if index % 4 == 0 else "train", index, 1, 4)
        for asked in questions(scene, rng):
            assert asked.answer == answer(scene, asked), (asked, scene)
            kinds[asked.kind] += 1
    assert set(kinds) == set(KINDS)


@pytest.mark.parametrize("number_of_objects", [1, 2])
def test_each_kind_is_asked_once(number_of_objects):
    for index in range(100):
        scene = scene_at(0, "train", index, number_of_objects, number_of_objects)
        kinds = [asked.kind for asked in questions(scene, np.random.default_rng(index))]
        expected = [kind for kind in KINDS if kind != "relation" or number_of_objects == 2]
        if number_of_objects == 1:
            assert kinds == expected
        else:  # two objects of one shape or one colour cannot always be told apart by the rest
            assert set(kinds) <= set(expected)
            assert {"size", "count", "yes_no", "relation"} <= set(kinds)


def test_kinds_are_asked_as_often_as_is_said():
    scene = scene_at(0, "train", 0, 2, 2)
    asked = questions(scene, np.random.default_rng(0), times={"relation": 20, "count": 0})
    kinds = Counter(one.kind for one in asked)
    assert kinds["relation"] == 20 and kinds["yes_no"] == 1 and "count" not in kinds
    # Of either object relative to the other.
    assert len({one.question for one in asked if one.kind == "relation"}) == 2


def test_both_languages_ask_and_answer_alike():
    words, wording = LANGUAGES["zh"], WORDINGS["zh"]
    translated = {name: words.colours[name] for name in COLOURS}
    translated |= {name: words.shapes[name] for name in SHAPES}
    translated |= words.sizes | {name: words.relations[name][0] for name in RELATIONS}
    translated |= dict(zip(NUMBERS, wording.numbers, strict=True))
    translated |= {"yes": wording.yes, "no": wording.no}
    for index in range(200):
        scene = scene_at(0, "train", index, 1, 4)
        english, chinese = (
            questions(scene, np.random.default_rng(index), language) for language in LANGUAGES
        )
        assert [translated[asked.answer] for asked in english] == [a.answer for a in chinese]
        assert all(asked.question.endswith("？") for asked in chinese)


def test_yes_is_right_as_often_as_no():
    rng = np.random.default_rng(0)
    answers = Counter(
        asked.answer
        for index in range(400)
        for asked in questions(scene_at(0, "train", index, 1, 4), rng)
        if asked.kind == "yes_no"
    )
    assert set(answers) == {"yes", "no"}
    assert abs(answers["yes"] - answers["no"]) < 80  # 4 standard deviations


def test_what_is_counted_by_an_attribute_is_absent_half_of_the_time():
    rng = np.random.default_rng(0)
    answers = Counter(
        asked.answer
        for index in range(600)
        for asked in questions(scene_at(0, "train", index, 2, 2), rng)
        if asked.kind == "count" and asked.question != "how many objects are there?"
    )
    total = answers.total()
    assert 380 < total < 520
    assert abs(answers["zero"] / total - 0.5) < 0.1  # a little less: two sizes leave none out
    assert answers["one"] > answers["two"] > 20


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_training_question_names_a_held_out_pair(language):
    words, rng = LANGUAGES[language], np.random.default_rng(0)
    joint = WORDINGS[language].joint
    pairs = [
        joint.join((words.colours[colour], words.shapes[shape])) for colour, shape in HELD_OUT_PAIRS
    ]
    for index in range(1000):
        for asked in questions(scene_at(0, "train", index, 1, 4), rng, language):
            assert not any(pair in asked.question for pair in pairs)


def test_questions_are_deterministic_given_the_generator():
    scene = scene_at(0, "train", 3, 4, 4)
    first, second = (questions(scene, np.random.default_rng(5)) for _ in range(2))
    assert first == second


def test_an_object_that_nothing_singles_out_is_not_asked_about():
    scene = scene_at(0, "train", 0, 1, 1)
    item = scene.objects[0]
    twins = Scene((item, item), scene.background)
    kinds = {asked.kind for asked in questions(twins, np.random.default_rng(0))}
    assert kinds == {"count", "yes_no"}
