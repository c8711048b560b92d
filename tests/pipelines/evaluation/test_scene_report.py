"""What is measured of a checkpoint on scenes."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from pipelines.evaluation.scene_accuracy import scene_set
from pipelines.evaluation.scene_report import GUIDANCE_SCALES, choose_sampling, show_scenes


def test_what_the_reader_says_of_each_shown_picture_and_caption():
    """A system that draws everything right but the first picture, which is empty, and describes
    everything right but the second."""
    sets = [scene_set("test", 12, objects, (64, 64)) for objects in (1, 2)]
    pictures = [picture for one in sets for picture in one.pictures]
    captions = [caption for one in sets for caption in one.captions]
    images = [Image.fromarray(picture) for picture in pictures]
    images[0] = Image.fromarray(np.full((64, 64, 3), 255, np.uint8))
    said = [captions[0], captions[-1], *captions[2:]]
    shown = show_scenes(
        SimpleNamespace(
            picture_size=(64, 64),
            generate_images=lambda prompts, seed: images,
            caption_images=lambda given: said,
        )
    )
    assert [item.prompt for item in shown] == captions
    assert [item.shows_prompt for item in shown] == [False] + [True] * 23
    assert [item.caption_right for item in shown[1:]] == [False] + [True] * 22
    assert not shown[0].caption_right


@pytest.mark.parametrize("scenes", [3, 80])
def test_the_best_settings_are_found_on_few_scenes(scenes):
    """Of a system that draws right as often as its settings are near to 0.7 and 1.5."""
    drawn = []

    def draw(prompts, temperature, guidance_scale, **settings):
        drawn.append((temperature, guidance_scale, prompts))
        wrong = round(len(prompts) * (abs(temperature - 0.7) + abs(guidance_scale - 1.5)))
        rest = [picture_of[prompt] for prompt in prompts[wrong:]]
        return [np.full((64, 64, 3), 255, np.uint8)] * (len(prompts) - len(rest)) + rest

    sets = [scene_set("validation", 100, objects, (64, 64)) for objects in (1, 2)]
    picture_of = {
        text: picture
        for one in sets
        for text, picture in zip(one.captions, one.pictures, strict=True)
    }
    pipe = SimpleNamespace(picture_size=(64, 64), generate_images=draw)
    best = choose_sampling(pipe, scenes, quiet=True)
    if scenes == 80:  # fewer tell less
        assert (best.temperature, best.guidance_scale) == (0.7, 1.5)
    tried = Counter((temperature, scale) for temperature, scale, _ in drawn)
    assert len(tried) == 12 and tried[best.temperature, best.guidance_scale] == 2 * 3
    assert sorted(tried.values()) == [2] * 8 + [4] * 2 + [6] * 2
    assert {scale for _, scale in tried} == set(GUIDANCE_SCALES)
    # Every round has scenes of its own.
    rounds = {tuple(prompts) for _, _, prompts in drawn}
    assert len(rounds) == 2 * 3
