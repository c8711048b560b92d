"""What `generate_images.py` asks of a GAN."""

import argparse
from collections.abc import Iterator
from typing import Any

from PIL import Image

from pipelines.command_line import UserError
from pipelines.data.transforms import read_image
from pipelines.drawers import Part, check_prompts, dtype_said, of_command_line, refuse
from pipelines.gan_pipeline import PICTURES_AT_ONCE, GANPipeline

OF_TRANSFORMERS = (
    "rerank", "rerank_by", "complete", "keep_rows", "decoder", "window", "compile", "temperature",
    "top_k", "top_p", "guidance_scale",
)  # fmt: skip


class GANDrawer:
    """With the checkpoint of a GAN."""

    def __init__(self, arguments: argparse.Namespace, prompts: list[str] | None) -> None:
        refuse(arguments, OF_TRANSFORMERS, "transformer")
        self.arguments, self.texts = arguments, prompts
        self.pipe = GANPipeline.from_pretrained(
            arguments.checkpoint, arguments.device, arguments.dtype
        )
        self.style = None if arguments.style_image is None else read_image(arguments.style_image)
        if arguments.num_images < 1:
            raise UserError(f"--num-images is {arguments.num_images}; it must be at least 1.")
        self.prompts = 1 if prompts is None else len(prompts)
        self.of_each, self.together = arguments.num_images, PICTURES_AT_ONCE
        if arguments.interpolate is not None:
            self._check_interpolation()
            self.prompts, self.of_each = 1, arguments.interpolate
        if prompts and self.pipe.texts is not None:
            check_prompts(prompts, self.pipe.texts.encode_prompts)
        self.pipe.read(prompts, arguments.attributes)
        between_noises = arguments.interpolate is not None and len(prompts or ()) < 2
        self.pipe.noise(arguments.seed, arguments.num_images + between_noises)
        if self.style is not None:
            self.pipe.style_of(self.style)
        self.said = dtype_said(arguments)
        if self.style is not None:
            self.said = {"style_image": arguments.style_image, **self.said}

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
        self.pipe.check_interpolation(self.texts, arguments.interpolate)

    def begun_with(self) -> dict[str, Any]:
        arguments = self.arguments
        given = {"attributes": arguments.attributes, "interpolate": arguments.interpolate}
        return {**of_command_line(arguments, self.texts), **given, **self.said}

    def draw(self, part: Part) -> Iterator[tuple[Image.Image, dict[str, Any]]]:
        if self.arguments.interpolate is not None:
            yield from self._between(part.of_each)
            return
        seed, number = self.arguments.seed + part.of_each.start, len(part.of_each)
        if self.texts is None:
            images = self.pipe.generate_images(None, number, seed, self.style)
            for k, image in enumerate(images):
                yield image, {"seed": seed + k, **self.said}
            return
        chosen, given = slice(part.prompts.start, part.prompts.stop), self.arguments.attributes
        if given is not None and len(given) > 1:
            given = given[chosen]
        texts = self.texts[chosen]
        images = self.pipe.generate_images(texts, number, seed, self.style, attributes=given)
        attributes = self._attributes(texts, given)
        for k, image in enumerate(images):
            prompt, picture = divmod(k, number)
            of_picture = {"text": texts[prompt], "seed": seed + picture}
            yield image, {**of_picture, **self.said, **attributes[prompt]}

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

    def _between(self, some: range) -> Iterator[tuple[Image.Image, dict[str, Any]]]:
        """Some pictures of the way, which is drawn whole. Rows say of what a picture is, and how
        far on the way it is, from 0 to 1."""
        texts, seed, number = self.texts, self.arguments.seed, self.arguments.interpolate
        given = self.arguments.attributes
        images = self.pipe.interpolate(texts, number, seed, attributes=given)
        ends = {"seed": seed} if texts and len(texts) == 2 else {"seeds": [seed, seed + 1]}
        of_ends = self._attributes(texts or [], given)
        said = {**self.said, **(of_ends[0] if of_ends else {})}
        if of_ends and of_ends[0]:
            said["attributes"] = " → ".join(", ".join(of["attributes"]) for of in of_ends)
        for k in some:
            way = {"text": " → ".join(texts or []), "way": k / (number - 1)}
            yield images[k], {**way, **ends, **said}
