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


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr("pipelines.evaluation.scene_accuracy.PICTURES_AT_ONCE", 3)


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


@pytest.mark.parametrize("rerank", [1, 4])
def test_parts_by_whomever_are_drawn_with_the_seeds_of_the_whole(scenes, small_parts, rerank):
    asked = {}

    def draw(prompts, seed, **settings):
        asked.update(zip(prompts, seed, strict=True))
        return [Image.fromarray(scenes.picture(scenes.captions.index(one))) for one in prompts]

    def share(work, parts):
        """As of two processes, the second one first."""
        theirs = [work(part) for part in parts[1::2]]
        mine = [work(part) for part in parts[::2]]
        return [(theirs if n % 2 else mine)[n // 2] for n in range(len(parts))]

    pipe = SimpleNamespace(generate_images=draw)
    assert drawing_accuracy(pipe, scenes, rerank, share=share).exact == 1
    assert asked == {text: rerank * n for n, text in enumerate(scenes.captions)}


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


def test_every_part_of_a_set_is_measured(scenes, small_parts):
    class Tokenizer(torch.nn.Linear):
        """Gives back what it was given, the first picture of each call empty."""

        def encode_to_ids(self, pixels):
            return pixels

        def decode_ids(self, ids):
            return torch.cat([torch.ones_like(ids[:1]), ids[1:]])

    assert reconstruction_accuracy(Tokenizer(1, 1), scenes) == 5 / 8
    told = {picture.tobytes(): n for n, picture in enumerate(scenes.pictures)}
    said = [canonical_caption(scene, "en") for scene in scenes.scenes]
    pipe = SimpleNamespace(
        caption_images=lambda given: [said[told[picture.tobytes()]] for picture in given]
    )
    assert caption_accuracy(pipe, scenes).exact == 1


def test_sets_are_the_same_every_time_and_differ_by_split(scenes):
    again = scene_set("test", 8, 2, (64, 64))
    assert again.captions == scenes.captions
    assert all(map(np.array_equal, again.pictures, scenes.pictures))
    assert scene_set("validation", 8, 2, (64, 64)).captions != scenes.captions
    chinese = scene_set("test", 8, 2, (64, 64), language="zh")
    assert chinese.scenes == scenes.scenes and chinese.captions != scenes.captions
