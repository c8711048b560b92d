"""Attributes are phrases, found in captions as whole words or given beside them."""

import pytest

from pipelines.command_line import UserError
from pipelines.data.attributes import (
    Attributes,
    AttributeSettings,
    choose_attributes,
    choose_given_attributes,
    phrases_in,
)


def test_phrases_are_found_as_whole_words():
    found = Attributes(("red", "ring", "large red", "狗"))
    assert found.of("A LARGE red ring.") == [1, 1, 1, 0]
    assert found.of("a string, reddish") == [0, 0, 0, 0]
    assert found.of("大狗在跑") == [0, 0, 0, 1]


def test_most_frequent_words_are_chosen():
    captions = ["a red circle"] * 3 + ["the red star", "a blue star"] * 2
    chosen = choose_attributes(captions, AttributeSettings(number=3))
    assert chosen.phrases == ("red", "star", "circle")


def test_rare_words_are_left_out():
    captions = ["a red circle"] * 399 + ["a lonely one"]
    assert choose_attributes(captions, AttributeSettings()).phrases == ("circle", "red")
    with pytest.raises(UserError, match="phrases"):
        choose_attributes([f"w{n}" for n in range(400)], AttributeSettings())


def test_named_phrases_are_taken():
    settings = AttributeSettings(phrases=["curved bill", "red", "red"])
    assert choose_attributes(["a red one"], settings).phrases == ("curved bill", "red")
    with pytest.raises(UserError, match="no caption has one"):
        choose_attributes(["no matter"], settings)
    with pytest.raises(ValueError, match="empty"):
        AttributeSettings(phrases=["red", " "])
    with pytest.raises(ValueError, match="number"):
        AttributeSettings(number=0)


@pytest.mark.parametrize(
    ("cell", "phrases"),
    [
        ("red, Curved bill;round", ["red", "Curved bill", "round"]),
        (["red", "large, round"], ["red", "large", "round"]),
        ("红色，圆形、大", ["红色", "圆形", "大"]),
        (" , ;", []),
        ([], []),
    ],
)
def test_phrases_of_a_cell(cell, phrases):
    assert phrases_in(cell) == phrases


def test_given_phrases_are_whole_ones():
    known = Attributes(("bill shape curved", "Red", "红色"))
    assert known.among(["bill_shape::curved", "red", "reddish"]) == [1, 1, 0]
    assert known.among(["red bill shape curved"]) == [0, 0, 0]  # which a text has
    assert known.of("red bill shape curved") == [1, 1, 0]
    assert known.among(["红色"]) == [0, 0, 1]
    assert known.present([1, 0, 1]) == ["bill shape curved", "红色"]


def test_most_frequent_phrases_are_chosen():
    rows = [["Red", "round"], ["red", "round", "red"], ["red", "big"], ["big", "odd one"], []]
    chosen = choose_given_attributes(rows, AttributeSettings(number=3))
    assert chosen.phrases == ("Red", "big", "round")  # as they are spelt first
    assert choose_given_attributes(rows * 100 + [["rare"]], AttributeSettings()).phrases == (
        "Red", "big", "round", "odd one",
    )  # fmt: skip
    named = AttributeSettings(phrases=["round", "oval"])
    assert choose_given_attributes(rows, named).phrases == ("round", "oval")
    with pytest.raises(UserError, match="one picture in 200"):
        choose_given_attributes([[]] * 3, AttributeSettings())
    with pytest.raises(UserError, match="no picture has one of attributes.phrases"):
        choose_given_attributes(rows, AttributeSettings(phrases=["oval"]))


def test_attributes_of_prompts():
    known = Attributes(("red", "blue", "round"))
    prompts = ["a red ring", "a round one"]
    assert known.of_prompts(prompts) == [[1, 0, 0], [0, 0, 1]]
    assert known.of_prompts(prompts, ["blue, round"]) == [[0, 1, 1]] * 2
    assert known.of_prompts(prompts, [["blue"], ""]) == [[0, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["raund"], "does not know the attribute 'raund'; the nearest ones: round."),
        (["qqqq"], "what it knows: red, blue, round."),
        (["red", "red", "red"], "given 3 times for 2 prompts"),
        ("red", "one text"),
    ],
)
def test_refusals_of_given_attributes(given, sentence):
    with pytest.raises(UserError, match=sentence):
        Attributes(("red", "blue", "round")).of_prompts(["a", "b"], given)


def test_other_attributes_are_refused_and_so_is_another_order():
    known = Attributes(("red", "blue", "round"))
    known.refuse_others(["red", "blue", "round"])
    with pytest.raises(UserError, match="from number 2 on round, blue, and now .* blue, round;"):
        known.refuse_others(["red", "round", "blue"])
    with pytest.raises(UserError, match="with 2 attributes, from number 3 on none, and now .* 3,"):
        known.refuse_others(["red", "blue"])
    with pytest.raises(UserError, match="with 4 attributes, from number 4 on big, .* on none;"):
        known.refuse_others(["red", "blue", "round", "big"])
