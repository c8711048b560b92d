"""Scenes of anyone, read by the exact reader."""

import numpy as np
import pytest
from PIL import Image

from pipelines.evaluation.figures import Missing
from pipelines.evaluation.rows import Block
from pipelines.evaluation.scene_accuracy import scene_set
from pipelines.evaluation.scene_measures import ScenesDescribed, ScenesDrawn
from pipelines.evaluation.subjects import Made


def test_pictures_and_captions_are_judged_attribute_by_attribute():
    scenes = scene_set("test", 20, 2, (64, 64))
    count, places = 20, list(range(20))
    block = Block(
        0, places, places, scenes.pictures, [[c] for c in scenes.captions], [[]] * count,
        [""] * count,
    )  # fmt: skip
    right = [Image.fromarray(picture) for picture in scenes.pictures]
    blank = Image.fromarray(np.full((64, 64, 3), 255, np.uint8))
    drawn, described = ScenesDrawn(), ScenesDescribed()
    made = Made(drawn=[*right[:15], *[blank] * 5], prompts=scenes.captions, said=scenes.captions)
    drawn.update(block, made)
    described.update(block, made)
    found = drawn.figures()
    assert found["exact"] == pytest.approx(0.75) and found["colour"] == pytest.approx(0.75)
    assert described.figures()["exact"] == 1
    swapped = Made(said=["a large red star"] * 20)
    described.update(block, swapped)
    found = described.figures()
    assert 0.5 <= found["exact"] < 0.6 and found["count"] == pytest.approx(0.5)
    assert isinstance(ScenesDrawn().figures()["exact"], Missing)
