"""Attributes are phrases of captions, as whole words."""

import pytest

from pipelines.command_line import UserError
from pipelines.data.attributes import Attributes, AttributeSettings, choose_attributes


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
    assert choose_attributes(["no matter"], settings).phrases == ("curved bill", "red")
    with pytest.raises(ValueError, match="empty"):
        AttributeSettings(phrases=["red", " "])
    with pytest.raises(ValueError, match="number"):
        AttributeSettings(number=0)
