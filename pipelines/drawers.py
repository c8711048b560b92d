"""What `generate_images.py` asks of a checkpoint: pictures, and what is written down of each."""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any, Protocol

from PIL import Image

from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.command_line import UserError, sampling_given
from pipelines.data.transforms import read_image
from pipelines.dual_encoder.matcher import Matcher

PROMPTS_AT_ONCE = 64
"""Pictures are written after so many prompts: stopping a long list loses little."""


class Drawer(Protocol):
    """Draws the pictures of a command line.

    pictures: how many.
    """

    pictures: int

    def __init__(self, arguments: argparse.Namespace, prompts: list[str] | None) -> None:
        """Raises:
        UserError: something in the command line is wrong.
        """

    def draw(self, progress: Callable[[int], Any]) -> Iterator[tuple[Image.Image, dict[str, Any]]]:
        """Pictures in order, each with its prompt (`text`), `seed` and settings."""


class BidirectionalDrawer:
    """With the checkpoint of a transformer."""

    def __init__(self, arguments: argparse.Namespace, prompts: list[str] | None) -> None:
        refuse(arguments, ("style_image", "interpolate", "attributes"), "GAN")
        if prompts is None:
            raise UserError("there is nothing to draw; give --prompt or --prompts-file.")
        self.arguments, self.prompts = arguments, prompts
        self.pipe = BidirectionalPipeline.from_pretrained(
            arguments.checkpoint, arguments.device, arguments.dtype
        )
        if arguments.compile:
            self.pipe.compile()
        self.settings = self.pipe.drawing_settings(**self._options())
        self.settings.check_seeds([arguments.seed])
        self.pipe.encode_prompts(prompts)
        self.pictures = len(prompts) * self.settings.num_images

    def draw(self, progress: Callable[[int], Any]) -> Iterator[tuple[Image.Image, dict[str, Any]]]:
        settings, seed, said = self.settings, self.arguments.seed, self._description()
        for first in range(0, len(self.prompts), PROMPTS_AT_ONCE):
            chosen = self.prompts[first : first + PROMPTS_AT_ONCE]
            images = self.pipe.draw(chosen, [seed] * len(chosen), settings, progress)
            for k, image in enumerate(images):
                prompt, picture = divmod(k, settings.num_images)
                of_picture = {"text": chosen[prompt], "seed": seed + picture * settings.rerank}
                yield image, {**of_picture, **said}

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
        said = {**asdict(settings.sampling), "rerank": settings.rerank, "decoder": settings.decoder}
        if arguments.rerank_by is not None:
            said["rerank_by"] = arguments.rerank_by
        if arguments.complete is not None:
            said |= {"complete": arguments.complete, "keep_rows": settings.keep_rows}
        return said


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
