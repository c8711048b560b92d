from types import SimpleNamespace

import numpy as np
from PIL import Image

from pipelines.evaluation.scene_accuracy import scene_set
from pipelines.evaluation.scene_report import show_scenes


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
