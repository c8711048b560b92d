"""Drawing and describing scored on `scenes` by the exact reader, without any outside model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import fmean
from typing import Any, Protocol, TypeVar

import numpy as np
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
from pipelines.data.transforms import to_image
from pipelines.drawing import PICTURES_AT_ONCE
from pipelines.evaluation.subjects import reconstruct
from vq import VQGAN

T = TypeVar("T")


class Share(Protocol):
    """How parts of a set are measured: what comes of each, in their order."""

    def __call__(
        self, work: Callable[[slice], list[T]], parts: Sequence[slice], /
    ) -> list[list[T]]: ...


def in_turn(work: Callable[[slice], list[T]], parts: Sequence[slice]) -> list[list[T]]:
    """By this process alone; `Processes.share_out` is the `Share` of several."""
    return list(map(work, parts))


def of_all(count: int, work: Callable[[slice], list[T]], share: Share) -> list[T]:
    """What comes of all of so many, measured as many at once as are drawn together."""
    firsts = range(0, count, PICTURES_AT_ONCE)
    parts = [slice(first, min(first + PICTURES_AT_ONCE, count)) for first in firsts]
    return list(chain.from_iterable(share(work, parts)))


@dataclass(frozen=True)
class SceneSet:
    """Scenes with one caption each, and one picture of `size` (height, width), which is drawn when
    it is asked for."""

    scenes: list[Scene]
    captions: list[str]
    size: tuple[int, int]

    def picture(self, number: int) -> np.ndarray:
        """uint8 [height, width, 3]."""
        return draw_scene(self.scenes[number], *self.size)

    @property
    def pictures(self) -> list[np.ndarray]:
        """All of them."""
        return list(map(self.picture, range(len(self.scenes))))

    def __getitem__(self, some: slice) -> "SceneSet":
        return SceneSet(self.scenes[some], self.captions[some], self.size)

    def __add__(self, other: "SceneSet") -> "SceneSet":
        return SceneSet(self.scenes + other.scenes, self.captions + other.captions, self.size)


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
        size,
    )


def accuracy(matches: Sequence[Match]) -> Accuracy:
    """Shares over all matches."""

    def share(name: str) -> float:
        return sum(getattr(match, name) for match in matches) / len(matches)

    return Accuracy(**{name: share(name) for name in Accuracy.__dataclass_fields__})


def reconstruction_accuracy(tokenizer: VQGAN, scenes: SceneSet, share: Share = in_turn) -> float:
    """The share of pictures that read as the same scene after `encode_to_ids` and `decode_ids`."""

    def right(some: slice) -> list[bool]:
        part = scenes[some]
        images = map(to_image, reconstruct(tokenizer, part.pictures).pixels)
        return list(map(shows, part.scenes, images))

    found = of_all(len(scenes.scenes), right, share)
    return fmean(found)


def shows(scene: Scene, image: Image.Image) -> bool:
    """Whether a picture reads as the objects of a scene, whatever their exact places."""
    read = read_scene(np.asarray(image))
    return read is not None and _attributes(read) == _attributes(scene)


def _attributes(scene: Scene) -> list[tuple[str, str, str]]:
    return sorted((item.size, item.colour, item.shape) for item in scene.objects)


class Draws(Protocol):
    """A pipeline that draws pictures of prompts, each with a seed."""

    def generate_images(
        self,
        prompts: Sequence[str],
        num_images: int = 1,
        seed: int | Sequence[int] = 0,
        *,
        progress: Callable[[int], None],
    ) -> list[Image.Image]: ...


def drawing_accuracy(
    pipe: Draws,
    scenes: SceneSet,
    rerank: int = 1,
    progress: Callable[[int], None] = lambda done: None,
    share: Share = in_turn,
    attributes: Callable[[Scene], list[str]] | None = None,
    **sampling: Any,
) -> Accuracy:
    """Pictures drawn from the captions, and what `attributes` gives of the scenes beside them, read
    and compared with what the captions state."""

    def draw(some: slice) -> list[Match]:
        captions = scenes.captions[some]
        seeds = range(some.start * rerank, some.stop * rerank, rerank)  # a candidate has its own
        options = {**sampling, "rerank": rerank} if rerank > 1 else {**sampling}
        if attributes is not None:
            options["attributes"] = list(map(attributes, scenes.scenes[some]))
        draw_some: Callable[..., list[Image.Image]] = pipe.generate_images
        images = draw_some(captions, seed=seeds, progress=progress, **options)
        read = [read_scene(np.asarray(image)) for image in images]
        return list(map(compare, map(parse_caption, captions), read))

    return accuracy(of_all(len(scenes.scenes), draw, share))


def caption_accuracy(
    pipe: BidirectionalPipeline, scenes: SceneSet, share: Share = in_turn
) -> Accuracy:
    """Greedy captions of the pictures, parsed and compared with the scenes."""

    def describe(some: slice) -> list[Match]:
        part = scenes[some]
        said = pipe.caption_images(part.pictures)
        return list(map(compare, map(parse_caption, said), part.scenes))

    return accuracy(of_all(len(scenes.scenes), describe, share))
