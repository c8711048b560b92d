"""Scores of systems whose answers are known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.data.scenes import canonical_caption
from pipelines.evaluation.scene_accuracy import (
    caption_accuracy,
    drawing_accuracy,
    reconstruction_accuracy,
    scene_set,
)


@pytest.fixture(scope="module")
def scenes():
    return scene_set("test", 8, 2, (64, 64))


def system(pictures=None, captions=None):
    """Gives these whatever it is asked."""
    images = None if pictures is None else [Image.fromarray(picture) for picture in pictures]
    return SimpleNamespace(
        generate_images=lambda prompts, **settings: images, caption_images=lambda given: captions
    )


def test_what_was_asked_for_is_right_and_the_next_ones_picture_is_wrong(scenes):
    assert drawing_accuracy(system(scenes.pictures), scenes).exact == 1
    others = scenes.pictures[1:] + scenes.pictures[:1]
    assert drawing_accuracy(system(others), scenes).exact == 0
    half = scenes.pictures[:4] + others[4:]
    assert drawing_accuracy(system(half), scenes).exact == 0.5


def test_captions_in_any_words_and_either_language(scenes):
    right = [canonical_caption(scene, "zh") for scene in scenes.scenes]
    assert caption_accuracy(system(captions=right), scenes).exact == 1
    wrong = caption_accuracy(system(captions=right[1:] + right[:1]), scenes)
    assert wrong.exact == 0 and wrong.count == 1
    nonsense = ["a red", *right[1:]]
    assert caption_accuracy(system(captions=nonsense), scenes).exact == 7 / 8


def test_reconstructions_must_show_every_object(scenes):
    class Tokenizer(torch.nn.Linear):
        """Gives back what it was given, the last two pictures empty."""

        def encode_to_ids(self, pixels):
            return pixels

        def decode_ids(self, ids):
            return torch.cat([ids[:-2], torch.ones_like(ids[-2:])])

    assert reconstruction_accuracy(Tokenizer(1, 1), scenes) == 6 / 8


def test_sets_are_the_same_every_time_and_differ_by_split(scenes):
    again = scene_set("test", 8, 2, (64, 64))
    assert again.captions == scenes.captions
    assert all(map(np.array_equal, again.pictures, scenes.pictures))
    assert scene_set("validation", 8, 2, (64, 64)).captions != scenes.captions
    chinese = scene_set("test", 8, 2, (64, 64), language="zh")
    assert chinese.scenes == scenes.scenes and chinese.captions != scenes.captions
