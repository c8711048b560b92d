"""What `generate_images.py` asks of a checkpoint: pictures, and what is written down of each."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.command_line import UserError, device_and_dtype, dtype_name, sampling_given
from pipelines.data.transforms import read_image
from pipelines.drawing import PICTURES_AT_ONCE, sequences_that_fit
from pipelines.dual_encoder.matcher import Matcher
from pipelines.fingerprints import file_fingerprint, folder_fingerprint, texts_fingerprint

PROMPTS_TO_NAME = 10


@dataclass(frozen=True)
class Part:
    """Pictures that are drawn together: of the prompts with these numbers these pictures of each;
    `numbers` are their own, among all pictures."""

    prompts: range
    of_each: range
    numbers: range


def divided(prompts: int, of_each: int, together: int) -> list[Part]:
    """All pictures in their order, at most `together` in a part: several prompts with all pictures
    of each, or some pictures of one prompt."""
    several, some = max(1, together // of_each), min(together, of_each)
    parts = []
    for first in range(0, prompts, several):
        chosen = range(first, min(first + several, prompts))
        for k in range(0, of_each, some):
            pictures = range(k, min(k + some, of_each))
            number = first * of_each + k
            numbers = range(number, number + len(chosen) * len(pictures))
            parts.append(Part(chosen, pictures, numbers))
    return parts


class Drawer(Protocol):
    """Draws the pictures of a command line.

    prompts: how many; 1 where there are none.
    of_each: how many pictures of each.
    together: how many are drawn together at most. Who draws whatever `divided` makes of it draws
        the same pictures, up to rounding even by other parts.
    """

    prompts: int
    of_each: int
    together: int

    def __init__(self, arguments: argparse.Namespace, prompts: list[str] | None) -> None:
        """Raises:
        UserError: something in the command line is wrong.
        """

    def begun_with(self) -> dict[str, Any]:
        """What the pictures depend on, but for the checkpoint, by names of the command line."""

    def draw(self, part: Part) -> Iterator[tuple[Image.Image, dict[str, Any]]]:
        """Pictures in order, each with its prompt (`text`), `seed` and settings."""


class BidirectionalDrawer:
    """With the checkpoint of a transformer."""

    def __init__(self, arguments: argparse.Namespace, prompts: list[str] | None) -> None:
        refuse(arguments, ("style_image", "interpolate", "attributes"), "GAN")
        if prompts is None:
            raise UserError("there is nothing to draw; give --prompt or --prompts-file.")
        self.arguments, self.texts = arguments, prompts
        self.pipe = BidirectionalPipeline.from_pretrained(
            arguments.checkpoint, arguments.device, arguments.dtype
        )
        if arguments.compile:
            self.pipe.compile()
        self.settings = self.pipe.drawing_settings(**self._options())
        self.settings.check_seeds([arguments.seed])
        check_prompts(prompts, self.pipe.encode_prompts)
        self.prompts, self.of_each = len(prompts), self.settings.num_images
        sequences = self.settings.rerank * self.settings.sampling.branches
        at_once = sequences_that_fit(self.pipe.transformer, PICTURES_AT_ONCE)
        self.together = max(1, at_once // sequences)
        self.said = self._description()

    def begun_with(self) -> dict[str, Any]:
        return {**of_command_line(self.arguments, self.texts), **self.said}

    def draw(self, part: Part) -> Iterator[tuple[Image.Image, dict[str, Any]]]:
        settings = replace(self.settings, num_images=len(part.of_each))
        texts = self.texts[part.prompts.start : part.prompts.stop]
        seed = self.arguments.seed + part.of_each.start * settings.rerank
        images = self.pipe.draw(texts, [seed] * len(texts), settings)
        for k, image in enumerate(images):
            prompt, picture = divmod(k, settings.num_images)
            of_picture = {"text": texts[prompt], "seed": seed + picture * settings.rerank}
            yield image, {**of_picture, **self.said}

    def _options(self) -> dict[str, Any]:
        """Of the command line, those that say how to draw."""
        arguments, matcher = self.arguments, None
        if arguments.rerank_by is not None:
            matcher = Matcher.from_pretrained(arguments.rerank_by, arguments.device)
        return {
            "num_images": arguments.num_images,
            "rerank": 1 if arguments.rerank is None else arguments.rerank,
            "matcher": matcher,
            "window": arguments.window,
            "decoder": arguments.decoder,
            "complete": None if arguments.complete is None else read_image(arguments.complete),
            "keep_rows": arguments.keep_rows,
            **sampling_given(arguments),
        }

    def _description(self) -> dict[str, Any]:
        """What is written of every picture's settings."""
        arguments, settings = self.arguments, self.settings
        said = settings.said
        if arguments.rerank_by is not None:
            said["rerank_by"] = arguments.rerank_by
        if arguments.complete is not None:
            said |= {"complete": arguments.complete, "keep_rows": settings.keep_rows}
        return {**said, **dtype_said(arguments)}


def dtype_said(arguments: argparse.Namespace) -> dict[str, str]:
    """The number format, by its short name, of the device."""
    _, dtype = device_and_dtype(arguments.device, arguments.dtype)
    return {"dtype": dtype_name(dtype)}


def of_command_line(arguments: argparse.Namespace, prompts: list[str] | None) -> dict[str, Any]:
    """Of what pictures depend on, that which rows do not say, or say by a name alone."""
    begun_with = {"num_images": arguments.num_images, "seed": arguments.seed}
    if prompts is not None:
        begun_with |= {"number of prompts": len(prompts), "prompts": texts_fingerprint(prompts)}
    for name in ("complete", "style_image"):
        if (file := getattr(arguments, name)) is not None:
            begun_with[f"contents of {name}"] = file_fingerprint(file)
    if arguments.rerank_by is not None and Path(arguments.rerank_by).is_dir():
        begun_with["contents of rerank_by"] = folder_fingerprint(Path(arguments.rerank_by))
    return begun_with


def check_prompts(prompts: Sequence[str], encode: Callable[[list[str]], object]) -> None:
    """Tries all of them: whoever mends a long file wants to know of every line.

    Raises:
        UserError: `encode` refuses some.
    """
    wrong = {}
    for number, prompt in enumerate(prompts, start=1):
        try:
            encode([prompt])
        except UserError as error:
            wrong[number] = str(error)
    if not wrong:
        return
    first, *others = wrong.values()
    if not others:
        raise UserError(first if len(prompts) == 1 else f"of prompt {min(wrong)}: {first}")
    named = ", ".join(map(str, list(wrong)[:PROMPTS_TO_NAME]))
    more = ", …" * (len(wrong) > PROMPTS_TO_NAME)
    raise UserError(
        f"{len(wrong)} of {len(prompts)} prompts (numbers {named}{more}, lines without text not "
        f"counted) cannot be drawn; of the first: {first}"
    )


def refuse(arguments: argparse.Namespace, names: tuple[str, ...], kind: str) -> None:
    """Options that were given and are only for the other kind of checkpoint.

    Raises:
        UserError: there are any.
    """
    values = {name: getattr(arguments, name) for name in names}
    given = [name for name, value in values.items() if value is not None and value is not False]
    if given:
        options = " and ".join(f"--{name.replace('_', '-')}" for name in given)
        raise UserError(
            f"{options} is for the checkpoint of a {kind}, which {arguments.checkpoint} is not; "
            "leave it out."
        )
