"""What `generate_images.py` asks of a GAN."""

import argparse
from collections.abc import Callable, Iterator
from typing import Any

from PIL import Image

from pipelines.command_line import UserError
from pipelines.data.transforms import read_image
from pipelines.drawers import PROMPTS_AT_ONCE, refuse
from pipelines.gan_pipeline import GANPipeline

OF_TRANSFORMERS = (
    "rerank", "rerank_by", "complete", "keep_rows", "decoder", "window", "compile", "temperature",
    "top_k", "top_p", "guidance_scale",
)  # fmt: skip


class GANDrawer:
    """With the checkpoint of a GAN."""

    def __init__(self, arguments: argparse.Namespace, prompts: list[str] | None) -> None:
        refuse(arguments, OF_TRANSFORMERS, "transformer")
        self.arguments, self.prompts = arguments, prompts
        self.pipe = GANPipeline.from_pretrained(
            arguments.checkpoint, arguments.device, arguments.dtype
        )
        self.style = None if arguments.style_image is None else read_image(arguments.style_image)
        if arguments.num_images < 1:
            raise UserError(f"--num-images is {arguments.num_images}; it must be at least 1.")
        self.pictures = (1 if prompts is None else len(prompts)) * arguments.num_images
        if arguments.interpolate is not None:
            self._check_interpolation()
            self.pictures = arguments.interpolate
        self.pipe.encode(prompts, arguments.attributes)
        between_noises = arguments.interpolate is not None and len(prompts or ()) < 2
        self.pipe.noise(arguments.seed, arguments.num_images + between_noises)
        if self.style is not None:
            self.pipe.style_of(self.style)

    def _check_interpolation(self) -> None:
        """Raises:
        UserError: with something else that says how many pictures there are, or their noise.
        """
        arguments = self.arguments
        if arguments.num_images > 1 or self.style is not None:
            raise UserError(
                "--interpolate draws one row of pictures from the noise of seeds; leave "
                "--num-images and --style-image out."
            )
        self.pipe.check_interpolation(self.prompts, arguments.interpolate)

    def draw(self, progress: Callable[[int], Any]) -> Iterator[tuple[Image.Image, dict[str, Any]]]:
        if self.arguments.interpolate is not None:
            yield from self._between(progress)
            return
        seed, number = self.arguments.seed, self.arguments.num_images
        said = {} if self.style is None else {"style_image": self.arguments.style_image}
        if self.prompts is None:
            images = self.pipe.generate_images(None, number, seed, self.style, progress)
            for k, image in enumerate(images):
                yield image, {"seed": seed + k, **said}
            return
        for first in range(0, len(self.prompts), PROMPTS_AT_ONCE):
            chosen = self.prompts[first : first + PROMPTS_AT_ONCE]
            given = self.arguments.attributes
            if given is not None and len(given) > 1:
                given = given[first : first + PROMPTS_AT_ONCE]
            images = self.pipe.generate_images(chosen, number, seed, self.style, progress, given)
            attributes = self._attributes(chosen, given)
            for k, image in enumerate(images):
                prompt, picture = divmod(k, number)
                of_picture = {"text": chosen[prompt], "seed": seed + picture}
                yield image, {**of_picture, **said, **attributes[prompt]}

    def _attributes(self, prompts: list[str], given: list[str] | None) -> list[dict[str, Any]]:
        """What is written of each prompt's attributes: which, and where they are from."""
        known = self.pipe.attributes
        if known is None:
            return [{}] * len(prompts)
        source = "the prompt" if given is None else "given"
        return [
            {"attributes": known.present(values), "attributes_from": source}
            for values in known.of_prompts(prompts, given)
        ]

    def _between(
        self, progress: Callable[[int], Any]
    ) -> Iterator[tuple[Image.Image, dict[str, Any]]]:
        """Rows say of what a picture is, and how far on the way it is, from 0 to 1."""
        prompts, seed, number = self.prompts, self.arguments.seed, self.arguments.interpolate
        given = self.arguments.attributes
        images = self.pipe.interpolate(prompts, number, seed, progress, given)
        ends = {"seed": seed} if prompts and len(prompts) == 2 else {"seeds": [seed, seed + 1]}
        of_ends = self._attributes(prompts or [], given)
        said = dict(of_ends[0]) if of_ends else {}
        if said:
            said["attributes"] = " → ".join(", ".join(of["attributes"]) for of in of_ends)
        for k, image in enumerate(images):
            way = {"text": " → ".join(prompts or []), "way": k / (number - 1)}
            yield image, {**way, **ends, **said}
