"""Drawing and describing scored on `scenes` by the exact reader, without any outside model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.data.scenes import (
    Match,
    Scene,
    caption,
    compare,
    draw_scene,
    parse_caption,
    read_scene,
    scene_at,
)
from pipelines.data.transforms import arrays_to_pixels, to_image
from vq import VQGAN


@dataclass(frozen=True)
class SceneSet:
    """Scenes with one caption and one picture (uint8 [height, width, 3]) each."""

    scenes: list[Scene]
    captions: list[str]
    pictures: list[np.ndarray]


@dataclass(frozen=True)
class Accuracy:
    """Shares of 1: `exact` has every attribute right and nothing missing or extra."""

    exact: float
    shape: float
    colour: float
    size: float
    relation: float
    count: float


def scene_set(
    split: str,
    count: int,
    objects: int,
    size: tuple[int, int],
    seed: int = 0,
    language: str = "en",
) -> SceneSet:
    """`count` scenes of a split with `objects` objects each; the same every time.

    `seed` is that of the training data, whose other splits these are; "held_out" has scenes with a
    colour-shape pair that no training scene has.
    """
    height, width = size
    scenes = [
        scene_at(seed, split, index, objects, objects, height=height, width=width)
        for index in range(count)
    ]
    return SceneSet(
        scenes,
        [
            caption(scene, np.random.default_rng((seed, index)), language)
            for index, scene in enumerate(scenes)
        ],
        [draw_scene(scene, height, width) for scene in scenes],
    )


def accuracy(matches: Sequence[Match]) -> Accuracy:
    """Shares over all matches."""

    def share(name: str) -> float:
        return sum(getattr(match, name) for match in matches) / len(matches)

    return Accuracy(**{name: share(name) for name in Accuracy.__dataclass_fields__})


@torch.no_grad()
def reconstruction_accuracy(tokenizer: VQGAN, scenes: SceneSet) -> float:
    """The share of pictures that read as the same scene after `encode_to_ids` and `decode_ids`."""
    device = next(tokenizer.parameters()).device
    pixels = arrays_to_pixels(np.stack(scenes.pictures)).to(device)
    again = tokenizer.decode_ids(tokenizer.encode_to_ids(pixels))
    right = sum(map(shows, scenes.scenes, map(to_image, again)))
    return right / len(scenes.scenes)


def shows(scene: Scene, image: Image.Image) -> bool:
    """Whether a picture reads as the objects of a scene, whatever their exact places."""
    read = read_scene(np.asarray(image))
    return read is not None and _attributes(read) == _attributes(scene)


def _attributes(scene: Scene) -> list[tuple[str, str, str]]:
    return sorted((item.size, item.colour, item.shape) for item in scene.objects)


def drawing_accuracy(
    pipe: BidirectionalPipeline,
    scenes: SceneSet,
    rerank: int = 1,
    progress: Callable[[int], None] = lambda done: None,
    **sampling: Any,
) -> Accuracy:
    """Pictures drawn from the captions, read, and compared with what the captions state."""
    seeds = range(0, rerank * len(scenes.captions), rerank)  # every candidate has its own
    images = pipe.generate_images(
        scenes.captions, seed=seeds, rerank=rerank, progress=progress, **sampling
    )
    return accuracy(
        [
            compare(parse_caption(text), read_scene(np.asarray(image)))
            for text, image in zip(scenes.captions, images, strict=True)
        ]
    )


def caption_accuracy(pipe: BidirectionalPipeline, scenes: SceneSet) -> Accuracy:
    """Greedy captions of the pictures, parsed and compared with the scenes."""
    said = pipe.caption_images(scenes.pictures)
    return accuracy(
        [
            compare(parse_caption(text), scene)
            for text, scene in zip(said, scenes.scenes, strict=True)
        ]
    )
