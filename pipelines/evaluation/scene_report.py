"""All that is measured of a checkpoint on `scenes`, by the exact reader."""

import sys
from dataclasses import asdict, dataclass
from functools import partial
from itertools import accumulate, product

import numpy as np
from tqdm import tqdm

from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.command_line import UserError
from pipelines.data.scenes import compare, parse_caption, read_scene
from pipelines.data.scenes.reader import RESOLUTION
from pipelines.evaluation.descriptions import rows_of
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

ROUNDS = ((12, 1 / 16), (4, 1 / 8), (2, 1 / 4))
"""How many candidates for sampling settings are left, and on how many scenes they are compared, as
a share of those that will be measured: about as many pictures in each round."""
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

    @property
    def shares(self) -> dict[str, float]:
        """Those of scenes, by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, float)}

    def rows(self) -> list[tuple[str, str]]:
        """What a person reads: a description and the share."""
        return rows_of(self.shares)


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

    By successive halving (1502.07943): all candidates are tried on few scenes, those that do best
    on more. Settings differ by less than what as many scenes for each would tell.

    Args:
        scenes: the number of test scenes that will be drawn with them.
        share, quiet: as of `measure_scenes`.
    """
    kept = [
        SamplingSettings(temperature=temperature, guidance_scale=scale)
        for temperature, scale in product(TEMPERATURES, GUIDANCE_SCALES)
    ]
    numbers = [max(1, round(part * scenes)) for _, part in ROUNDS]
    sets = [
        scene_set("validation", sum(numbers), objects, pipe.picture_size, 0, language)
        for objects in (1, 2)
    ]
    pictures = sum(
        min(candidates, len(kept)) * 2 * number
        for (candidates, _), number in zip(ROUNDS, numbers, strict=True)
    )
    with tqdm(
        total=pictures, desc="choosing sampling settings", file=sys.stderr, disable=quiet
    ) as bar:

        def score(settings: SamplingSettings, some: slice) -> float:
            found = [
                drawing_accuracy(pipe, one[some], 1, bar.update, share, **asdict(settings))
                for one in sets
            ]
            return sum(one.exact for one in found)

        ends = accumulate(numbers)
        for (candidates, _), number, end in zip(ROUNDS, numbers, ends, strict=True):
            some = slice(end - number, end)
            kept = sorted(kept[:candidates], key=partial(score, some=some), reverse=True)
    return kept[0]


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
