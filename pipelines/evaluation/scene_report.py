"""All that is measured of a checkpoint on `scenes`, by the exact reader."""

import sys
from dataclasses import asdict, dataclass
from itertools import product

import numpy as np
from tqdm import tqdm

from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.command_line import UserError
from pipelines.data.scenes import compare, parse_caption, read_scene
from pipelines.data.scenes.reader import RESOLUTION
from pipelines.evaluation.report import Drawn
from pipelines.evaluation.scene_accuracy import (
    SceneSet,
    Share,
    caption_accuracy,
    drawing_accuracy,
    in_turn,
    reconstruction_accuracy,
    scene_set,
)
from unified_transformer import SamplingSettings

VALIDATION_SHARE = 8
"""Sampling settings are chosen on so many times fewer scenes."""
TEMPERATURES = (0.6, 0.7, 0.8, 1.0)
GUIDANCE_SCALES = (1.0, 1.5, 2.0)


@dataclass(frozen=True)
class SceneReport:
    """Shares of 1 over `scenes` test scenes each, every attribute right."""

    reconstruction_accuracy: float
    one_object_accuracy: float
    two_object_accuracy: float
    two_object_accuracy_best_of_8: float
    one_object_caption_accuracy: float
    two_object_caption_accuracy: float
    held_out_pair_accuracy: float
    held_out_pair_caption_accuracy: float
    scenes: int
    language: str

    def rows(self) -> list[tuple[str, str]]:
        """What a person reads: a description and the share."""
        return [(text, f"{getattr(self, name):.3f}") for text, name in DESCRIPTIONS]


DESCRIPTIONS = (
    ("the tokenizer's reconstructions read right", "reconstruction_accuracy"),
    ("one object drawn", "one_object_accuracy"),
    ("two objects with their relation drawn", "two_object_accuracy"),
    ("the same, best of 8 by its own captions", "two_object_accuracy_best_of_8"),
    ("one object described", "one_object_caption_accuracy"),
    ("two objects with their relation described", "two_object_caption_accuracy"),
    ("held-out colour-shape pairs drawn", "held_out_pair_accuracy"),
    ("held-out colour-shape pairs described", "held_out_pair_caption_accuracy"),
)


def check_readable(size: tuple[int, int]) -> None:
    """Refuses pictures of (height, width) that the exact reader cannot read.

    Raises:
        UserError: they are too small.
    """
    if min(size) < RESOLUTION:
        raise UserError(
            f"pictures of {size[0]} x {size[1]} are too small to be measured on scenes; the reader "
            f"needs {RESOLUTION} pixels at least."
        )


def choose_sampling(
    pipe: BidirectionalPipeline,
    scenes: int,
    language: str = "en",
    share: Share = in_turn,
    quiet: bool = False,
) -> SamplingSettings:
    """The sampling settings that draw best on validation scenes of one and of two objects.

    Args:
        scenes: the number of test scenes that will be drawn with them; an eighth of it are tried.
        share, quiet: as of `measure_scenes`.
    """
    sets = [
        scene_set(
            "validation", max(1, scenes // VALIDATION_SHARE), n, pipe.picture_size, 0, language
        )
        for n in (1, 2)
    ]

    def score(settings: SamplingSettings) -> float:
        found = [drawing_accuracy(pipe, one, share=share, **asdict(settings)) for one in sets]
        return sum(one.exact for one in found)

    candidates = [
        SamplingSettings(temperature=temperature, guidance_scale=scale)
        for temperature, scale in product(TEMPERATURES, GUIDANCE_SCALES)
    ]
    bar = tqdm(candidates, desc="choosing sampling settings", file=sys.stderr, disable=quiet)
    return max(bar, key=score)


def measure_scenes(
    pipe: BidirectionalPipeline,
    scenes: int,
    language: str = "en",
    share: Share = in_turn,
    quiet: bool = False,
) -> SceneReport:
    """All figures on test scenes with captions in `language` ("en", "zh"); pictures are drawn with
    the pipeline's sampling settings.

    Args:
        share: how parts of the sets are measured: by one process, or by several.
        quiet: shows no progress.
    """

    def some(split: str, objects: int) -> SceneSet:
        return scene_set(split, scenes, objects, pipe.picture_size, 0, language)

    one, two, held_out = some("test", 1), some("test", 2), some("held_out", 1)
    with tqdm(
        total=scenes * 11, desc="measuring", unit="picture", file=sys.stderr, disable=quiet
    ) as bar:

        def drawn(scenes: SceneSet, rerank: int = 1) -> float:
            found = drawing_accuracy(
                pipe, scenes, rerank, lambda done: bar.update(rerank * done), share
            )
            return found.exact

        return SceneReport(
            reconstruction_accuracy=reconstruction_accuracy(
                pipe.tokenizer, one[::2] + two[::2], share
            ),
            one_object_accuracy=drawn(one),
            two_object_accuracy=drawn(two),
            two_object_accuracy_best_of_8=drawn(two, rerank=8),
            one_object_caption_accuracy=caption_accuracy(pipe, one, share).exact,
            two_object_caption_accuracy=caption_accuracy(pipe, two, share).exact,
            held_out_pair_accuracy=drawn(held_out),
            held_out_pair_caption_accuracy=caption_accuracy(pipe, held_out, share).exact,
            scenes=scenes,
            language=language,
        )


def show_scenes(pipe: BidirectionalPipeline, language: str = "en") -> list[Drawn]:
    """The first prompts of both test sets, as they come, each drawn with a seed of its own; what is
    right is told by the exact reader, to which a picture that it cannot read is a wrong one."""
    prompts = [
        prompt
        for objects in (1, 2)
        for prompt in scene_set("test", 12, objects, pipe.picture_size, 0, language).captions
    ]
    images = pipe.generate_images(prompts, seed=range(len(prompts)))
    captions = pipe.caption_images(images)
    read = [read_scene(np.asarray(image)) for image in images]
    return [
        Drawn(
            prompt,
            image,
            caption,
            shows_prompt=compare(parse_caption(prompt), scene).exact,
            caption_right=None if scene is None else compare(parse_caption(caption), scene).exact,
        )
        for prompt, image, caption, scene in zip(prompts, images, captions, read, strict=True)
    ]
