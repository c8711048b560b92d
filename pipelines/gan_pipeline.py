"""Text (or nothing) -> pictures, by a one-stage GAN."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from gan import Generator, TextBatch
from gan.style_encoder import StyleEncoder
from gan.text_encoders import mixed
from pipelines.command_line import UserError, check_seed, device_and_dtype
from pipelines.data.attributes import Attributes, Given
from pipelines.data.text_tokenizer import EncodedText
from pipelines.data.transforms import Picture, to_image, to_pixels
from pipelines.hub.pushable import Pushable
from pipelines.model_loading import load_generator, load_style_encoder
from pipelines.text_encoding import TextReading, load_text_encoder, read_with
from pipelines.training.checkpoint import open_checkpoint

PICTURES_AT_ONCE = 64


class GANPipeline(Pushable):
    """Draws with a checkpoint of `train_gan.py`.

    Example:
        >>> pipe = GANPipeline.from_pretrained("runs/gan_cls/checkpoint")
        >>> images = pipe.generate_images(["a large red circle above a small blue square"])

    `texts` is None where it draws from noise alone.
    """

    def __init__(
        self,
        generator: Generator,
        texts: TextReading | None = None,
        style_encoder: StyleEncoder | None = None,
        tasks: Sequence[str] = ("text_to_image",),
    ) -> None:
        self.generator = generator.eval()
        self.texts = texts
        self.style_encoder = None if style_encoder is None else style_encoder.eval()
        self.tasks = tuple(tasks)
        phrases = generator.config.attributes
        self.attributes = Attributes(tuple(phrases)) if phrases else None

    @classmethod
    def from_pretrained(
        cls, checkpoint: str | Path, device: str | None = None, dtype: str | None = None
    ) -> "GANPipeline":
        """Loads a checkpoint.

        Args:
            checkpoint: the folder that `train_gan.py` wrote, or `owner/name` on the hub.
            device, dtype: as on the command line; the best present by default.

        Raises:
            UserError: it is missing, of another kind or version, or damaged.
        """
        place, number_format = device_and_dtype(device, dtype)
        paths = open_checkpoint(checkpoint, "gan")
        texts = style_encoder = None
        if paths.text_encoder is not None:
            encoder = load_text_encoder(paths.text_encoder).to(place)
            texts = read_with(encoder, paths.text_tokenizer)
        if paths.style_encoder is not None:
            style_encoder = load_style_encoder(paths.style_encoder)
            style_encoder.to(device=place, dtype=number_format)  # type: ignore[call-arg]
        generator = load_generator(paths.generator)
        generator.to(device=place, dtype=number_format)  # type: ignore[call-arg]
        pipe = cls(generator, texts, style_encoder, paths.tasks)
        pipe.checkpoint = paths
        return pipe

    @property
    def picture_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        height, width = self.generator.config.image_size
        return height, width

    def generate_images(
        self,
        prompts: Sequence[str] | None = None,
        num_images: int = 1,
        seed: int | Sequence[int] = 0,
        style: Picture | None = None,
        progress: Callable[[int], None] = lambda done: None,
        attributes: Given | None = None,
    ) -> list[Image.Image]:
        """Draws `num_images` pictures of each prompt, those of one prompt side by side.

        Args:
            prompts: texts; None where it draws from noise alone.
            seed: picture k of a prompt has seed + k; one for all prompts or one for each.
            style: a picture whose style (its noise) all of them get, in the place of a seed's.
            progress: called with the number of pictures finished since the last call.
            attributes: of a GAN with a memory of them, those to draw: phrases, or a text with
                commas between them, for each prompt or one for all. None looks for them in the
                prompts.

        Raises:
            UserError: a prompt is empty, too long or in other characters than the text encoder's,
                prompts are missing or there is no use for them, or there is no style encoder; an
                attribute is unknown, or there is no memory.
        """
        if num_images < 1:
            raise UserError(f"num_images is {num_images}; it must be at least 1.")
        count = 1 if prompts is None else len(prompts)
        seeds = [seed] * count if isinstance(seed, int) else list(seed)
        if len(seeds) != count:
            raise UserError(f"{len(seeds)} seeds for {count} prompts; give one for each.")
        texts, present = self.encode(prompts, attributes)
        noise = torch.cat([self.noise(one, num_images) for one in seeds])
        if style is not None:
            noise = self.style_of(style).expand(len(noise), -1)
        rows = torch.arange(count).repeat_interleave(num_images)
        return self._draw(noise, texts, present, rows, progress)

    def interpolate(
        self,
        prompts: Sequence[str] | None,
        number: int,
        seed: int = 0,
        progress: Callable[[int], None] = lambda done: None,
        attributes: Given | None = None,
    ) -> list[Image.Image]:
        """So many pictures on the way from one text to another, by the same noise; or of one text,
        or none, from the noise of `seed` to that of seed + 1.

        Raises:
            UserError: there are more than two prompts, or fewer than two pictures; or as
                `generate_images`.
        """
        self.check_interpolation(prompts, number)
        texts, present = self.encode(prompts, attributes)
        shares = torch.linspace(1, 0, number, device=self.generator.device)[:, None]
        first = self.noise(seed, 1)
        last = first if prompts is not None and len(prompts) == 2 else self.noise(seed + 1, 1)
        noise = _on_a_sphere(first, last, shares)
        if texts is not None:
            begin = texts.map(lambda t: t[:1].expand(number, *t.shape[1:]))
            end = texts.map(lambda t: t[-1:].expand(number, *t.shape[1:]))
            texts = mixed(begin, end, shares) if len(prompts or ()) == 2 else begin
        if present is not None:
            present = shares * present[:1] + (1 - shares) * present[-1:]
        return self._draw(noise, texts, present, torch.arange(number), progress)

    def check_interpolation(self, prompts: Sequence[str] | None, number: int) -> None:
        """Raises:
        UserError: there are more than two prompts, or fewer than two pictures.
        """
        if number < 2:
            raise UserError(f"{number} pictures have nothing between them; draw 2 or more.")
        if prompts is not None and len(prompts) > 2:
            raise UserError(
                f"{len(prompts)} prompts have no single way between them; give two, or one and "
                "its way is between two noises."
            )

    def encode(
        self, prompts: Sequence[str] | None, attributes: Given | None = None
    ) -> tuple[TextBatch | None, Tensor | None]:
        """Texts, and the attributes that are given or found in them, as the generator takes them.

        Raises:
            UserError: as `generate_images`.
        """
        encoded, present = self.read(prompts, attributes)
        if encoded is None:
            return None, None
        assert self.texts is not None
        known = None if present is None else torch.tensor(present, device=self.generator.device)
        return self.texts(encoded), known

    def read(
        self, prompts: Sequence[str] | None, attributes: Given | None = None
    ) -> tuple[list[EncodedText] | None, list[list[float]] | None]:
        """`encode` before anything is computed: ids of the texts, and the attributes of each.

        Raises:
            UserError: as `generate_images`.
        """
        if isinstance(prompts, str):
            raise UserError(f"prompts is one text, {prompts!r}; give a list of them.")
        if attributes is not None and self.attributes is None:
            raise UserError("this GAN keeps no memory of attributes; leave them out.")
        if self.texts is None:
            if prompts is not None:
                raise UserError("this GAN draws from noise alone; leave the prompts out.")
            return None, None
        if not prompts:
            raise UserError("this GAN draws of texts; give it a prompt.")
        encoded = self.texts.encode_prompts(prompts)
        if self.attributes is None:
            return encoded, None
        return encoded, self.attributes.of_prompts(prompts, attributes)

    def noise(self, seed: int, count: int) -> Tensor:
        """Of the pictures with the seeds from `seed` on, [count, noise_dim]."""
        check_seed(seed)
        check_seed(seed + count - 1)
        parts = [
            self.generator.noise(1, torch.Generator().manual_seed(seed + k)) for k in range(count)
        ]
        return torch.cat(parts)

    @torch.no_grad()
    def style_of(self, picture: Picture) -> Tensor:
        """The noise that a picture could have been drawn from, [1, noise_dim].

        Raises:
            UserError: there is no style encoder.
        """
        if self.style_encoder is None:
            raise UserError(
                "this checkpoint has no style encoder; train one for it "
                "(train_style_encoder.py --config configs/gan/style_encoder.yaml gan=CHECKPOINT)."
            )
        pixels = to_pixels(picture, self.picture_size)[None].to(self.generator.device)
        return self.style_encoder(pixels.to(self.style_encoder.dtype))

    @torch.no_grad()
    def _draw(
        self,
        noise: Tensor,
        texts: TextBatch | None,
        attributes: Tensor | None,
        rows: Tensor,
        progress: Callable[[int], None],
    ) -> list[Image.Image]:
        """Pictures of noises, each with the text of its row."""
        pictures = []
        dtype = self.generator.dtype
        for first in range(0, len(noise), PICTURES_AT_ONCE):
            some = slice(first, first + PICTURES_AT_ONCE)
            chosen = rows[some].to(noise.device)
            pixels = self.generator(
                noise[some].to(dtype),
                None if texts is None else texts.map(partial(_rows_of, rows=chosen, dtype=dtype)),
                None if attributes is None else attributes[chosen].to(dtype),
            )
            pictures += [to_image(one) for one in pixels]
            progress(len(chosen))
        return pictures


def _rows_of(tensor: Tensor, rows: Tensor, dtype: torch.dtype) -> Tensor:
    chosen = tensor[rows]
    return chosen.to(dtype) if chosen.is_floating_point() else chosen


def _on_a_sphere(first: Tensor, last: Tensor, shares: Tensor) -> Tensor:
    """Between two noises [1, d], `shares` [n, 1] of the first: [n, d]. A mean of two is shorter
    than what the generator knows; the length goes along from one's to the other's."""
    straight = shares * first + (1 - shares) * last
    lengths = shares * first.norm() + (1 - shares) * last.norm()
    return straight * lengths / straight.norm(dim=1, keepdim=True)
