"""Text -> pictures and pictures -> text from one checkpoint folder."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from pipelines import drawing
from pipelines.command_line import UserError, device_and_dtype
from pipelines.data.text_tokenizer import EncodedText, TextCodec, load_text_tokenizer
from pipelines.data.transforms import Picture, to_pixels
from pipelines.describing import Caption, Describer
from pipelines.drawing import Artist, DecoderName, DrawingSettings
from pipelines.hub.pushable import Pushable
from pipelines.model_loading import load_reconstructor, load_tokenizer, load_transformer
from pipelines.recommended_sampling import recommended_sampling
from pipelines.sketches import Sketch
from pipelines.training.checkpoint import open_checkpoint
from unified_transformer import Reconstructor, SamplingSettings, UnifiedTransformer
from unified_transformer.sequence import DIRECTIONS
from vq import VQGAN

logger = logging.getLogger(__name__)


class BidirectionalPipeline(Pushable):
    """Draws, describes and answers with one checkpoint.

    Example:
        >>> pipe = BidirectionalPipeline.from_pretrained("runs/quickstart/checkpoint")
        >>> images = pipe.generate_images(["a large red circle above a small blue square"])
        >>> captions = pipe.caption_images(images)
        >>> answers = pipe.answer_questions(images, ["what colour is the circle?"])

    `sampling` are the settings that `generate_images` uses where it is not told otherwise: those
    the checkpoint recommends, else plain sampling. `tasks` are those it was trained for; others are
    refused. `reconstructor` paints from hidden states, after end-to-end training. `decoder` is what
    paints where `generate_images` is not told otherwise: `hidden` then, else `codebook`.
    """

    def __init__(
        self,
        tokenizer: VQGAN,
        codec: TextCodec,
        transformer: UnifiedTransformer,
        sampling: SamplingSettings | None = None,
        tasks: Sequence[str] = DIRECTIONS,
        reconstructor: Reconstructor | None = None,
    ) -> None:
        self.tokenizer = tokenizer.eval()
        self.codec = codec
        self.transformer = transformer.eval()
        self.sampling = sampling or SamplingSettings()
        self.tasks = tuple(tasks)
        if reconstructor is not None:
            reconstructor.eval()
        self.decoder: DecoderName = "codebook" if reconstructor is None else "hidden"
        self.artist = Artist(self.transformer, self.tokenizer, codec, reconstructor)
        self.describer = Describer(self.transformer, codec, self.encode_images)

    @classmethod
    def from_pretrained(
        cls, checkpoint: str | Path, device: str | None = None, dtype: str | None = None
    ) -> "BidirectionalPipeline":
        """Loads a checkpoint.

        Args:
            checkpoint: the folder that `train_bidirectional.py` wrote, or `owner/name` on the hub.
            device, dtype: as on the command line; the best present by default.

        Raises:
            UserError: it is missing, of another kind or version, or damaged.
        """
        place, number_format = device_and_dtype(device, dtype)
        paths = open_checkpoint(checkpoint, "bidirectional")
        tokenizer = load_tokenizer(paths.tokenizer)
        reconstructor = None
        if paths.reconstructor is not None:
            reconstructor = load_reconstructor(paths.reconstructor, tokenizer.config)
            reconstructor.to(device=place, dtype=number_format)
        transformer = load_transformer(paths.transformer)
        pipe = cls(
            tokenizer.to(place).decode_in(number_format),
            TextCodec(load_text_tokenizer(paths.text_tokenizer)),
            transformer.to(device=place, dtype=number_format),  # type: ignore[call-arg]
            recommended_sampling(paths.root),
            paths.tasks,
            reconstructor,
        )
        pipe.checkpoint = paths
        return pipe

    def compile(self) -> "BidirectionalPipeline":
        """Draws through `torch.compile` from here on, which takes ten seconds and more for each
        number of pictures drawn together. Meant for GPUs, where it is not measured yet; on a CPU it
        gains nothing."""
        self.artist.compiled = True
        return self

    @property
    def picture_size(self) -> tuple[int, int]:
        """(height, width) in pixels of what it draws and of what it describes."""
        factor = self.tokenizer.downsampling_factor
        height, width = self.transformer.config.grid
        return height * factor, width * factor

    def generate_images(
        self,
        prompts: Sequence[str],
        num_images: int = 1,
        seed: int | Sequence[int] = 0,
        progress: Callable[[int], None] = lambda done: None,
        watch: Callable[[Sketch], None] | None = None,
        **options: Any,
    ) -> list[Image.Image]:
        """Draws `num_images` pictures of each prompt, those of one prompt side by side.

        Args:
            prompts: texts in the words that the checkpoint was trained on.
            seed: picture k of a prompt has seed + k; one for all prompts or one for each. The same
                prompt, seed and settings give the same picture, whatever else is drawn beside it.
                With `rerank` picture k has the candidates with seeds seed + k * rerank and on.
            progress: called with the number of pictures finished since the last call.
            watch: called after every pass of the model with a sketch of the pictures that are drawn
                together (`paint_sketch` shows how it looks); what it raises stops the drawing.
            **options: as `drawing_settings` takes them.

        Raises:
            UserError: a prompt is empty or too long, a value is out of range, there are not as
                many seeds as prompts, or the checkpoint was not trained for it.
        """
        seeds = [seed] * len(prompts) if isinstance(seed, int) else seed
        if len(seeds) != len(prompts):
            raise UserError(f"{len(seeds)} seeds for {len(prompts)} prompts; give one for each.")
        settings = self.drawing_settings(num_images=num_images, **options)
        return self.draw(prompts, seeds, settings, progress, watch)

    def draw(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        settings: DrawingSettings,
        progress: Callable[[int], None] = lambda done: None,
        watch: Callable[[Sketch], None] | None = None,
    ) -> list[Image.Image]:
        """`generate_images` by settings of `drawing_settings` and with a seed for each prompt.

        Raises:
            UserError: a prompt is empty or too long, or a seed is out of range.
        """
        settings.check_seeds(seeds)
        encoded = self.encode_prompts(prompts)
        warn_of_unknown(prompts, encoded)
        given = None
        if settings.complete is not None:
            given = self.encode_images([settings.complete])[:, : settings.keep_rows]
        prompts_at_once = max(1, drawing.PICTURES_AT_ONCE // settings.sequences)
        images = []
        for first in range(0, len(encoded), prompts_at_once):
            some = slice(first, first + prompts_at_once)
            drawn = self.artist.draw(
                encoded[some], prompts[some], seeds[some], settings, given, watch
            )
            images += drawn
            progress(len(drawn))
        return images

    def drawing_settings(self, **options: Any) -> DrawingSettings:
        """What `generate_images` draws by.

        Args:
            **options: the fields of `DrawingSettings` and of `SamplingSettings`. What is None or
                absent is as the pipeline has it: `sampling`, `decoder`, half of the rows of a
                picture to complete.

        Raises:
            UserError: a value is out of range, or the checkpoint was not trained for it.
        """
        self.require("text_to_image")
        known = {name: value for name, value in options.items() if value is not None}
        sampling = {field.name: known.pop(field.name, None) for field in fields(SamplingSettings)}
        height = self.transformer.config.grid_height
        if known.get("complete") is not None:
            known.setdefault("keep_rows", height // 2)
            if not 1 <= known["keep_rows"] < height:
                raise UserError(
                    f"keep_rows is {known['keep_rows']}; of {height} rows of ids keep from 1 to "
                    f"{height - 1}."
                )
        known.setdefault("decoder", self.decoder)
        settings = DrawingSettings(sampling=self.sampling_settings(**sampling), **known)
        if settings.rerank > 1 and settings.matcher is None:
            self.require("image_to_text")
        if settings.decoder == "hidden" and self.artist.reconstructor is None:
            raise UserError(
                "this checkpoint was not trained end to end: it has no decoder of hidden states; "
                "draw with decoder codebook."
            )
        return settings

    def caption_images(self, images: Iterable[Picture], **captioning: Any) -> list[str]:
        """Describes pictures of any size; `captioning` as the fields of `CaptionSettings`. With
        `num_captions` those of one picture are side by side."""
        return [caption.text for caption in self.describe(images, **captioning)]

    def describe(
        self, images: Iterable[Picture], seed: int = 0, **captioning: Any
    ) -> list[Caption]:
        """Captions with their log-likelihoods, those of one picture side by side.

        Raises:
            UserError: a value is out of range, or the checkpoint was not trained for it.
        """
        self.require("image_to_text")
        return self.describer.describe(images, seed, **captioning)

    def answer_questions(
        self, images: Iterable[Picture], questions: Sequence[str], **answering: Any
    ) -> list[str]:
        """Answers questions about pictures of any size, greedily unless told otherwise.

        Args:
            questions: one for each picture, or one for all of them; of a single picture several.
            **answering: `seed`, and the fields of `CaptionSettings`.

        Raises:
            UserError: there are neither as many questions as pictures nor a single one of either, a
                question is empty or too long, a value is out of range, or the checkpoint was not
                trained for it.
        """
        return [answer.text for answer in self.answer(images, questions, **answering)]

    def answer(
        self,
        images: Iterable[Picture],
        questions: Sequence[str],
        seed: int = 0,
        **answering: Any,
    ) -> list[Caption]:
        """`answer_questions` with log-likelihoods."""
        self.require("question_answering")
        pictures, positions = list(images), self.transformer.config.text_positions
        refuse_one_text(questions)
        encoded = [self.codec.encode_question(question, positions) for question in questions]
        warn_of_unknown(questions, encoded)
        count = max(len(pictures), len(encoded))
        if {len(pictures), len(encoded)} - {1, count}:
            raise UserError(
                f"{len(encoded)} questions about {len(pictures)} pictures; give one for each, one "
                "for all, or one picture."
            )
        given = {id(picture): picture for picture in pictures}  # the same one is encoded once
        numbers = {key: number for number, key in enumerate(given)}
        asked = [
            (numbers[id(pictures[n % len(pictures)])], encoded[n % len(encoded)])
            for n in range(count)
        ]
        return self.describer.answer(list(given.values()), asked, seed, **answering)

    def score_captions(
        self, images: Iterable[Picture], captions: Sequence[str]
    ) -> list[list[float]]:
        """How likely each caption is for each picture: log p(caption | picture) in nats, its end
        included, by picture and caption.

        Raises:
            UserError: a caption is empty or too long, or the checkpoint was not trained for it.
        """
        self.require("image_to_text")
        encoded = self.encode_prompts(captions)
        warn_of_unknown(captions, encoded)
        return self.describer.score(images, encoded)

    @torch.no_grad()
    def encode_images(self, images: Iterable[Picture]) -> Tensor:
        """Pictures of any size -> ids [batch, h, w]."""
        pixels = torch.stack([to_pixels(image, self.picture_size) for image in images])
        return self.tokenizer.encode_to_ids(pixels.to(self.transformer.device))

    def require(self, task: str) -> None:
        """Refuses a task that the checkpoint was not trained for.

        Raises:
            UserError: it is none of `tasks`.
        """
        if task not in self.tasks:
            raise UserError(
                f"this checkpoint was not trained for {task} (only for {', '.join(self.tasks)}); "
                "name one that was."
            )

    def sampling_settings(self, **given: Any) -> SamplingSettings:
        """The checkpoint's recommended settings with what is given put over them.

        Raises:
            UserError: a value is out of range.
        """
        known = {name: value for name, value in given.items() if value is not None}
        try:
            return replace(self.sampling, **known)
        except (ValueError, TypeError) as error:
            raise UserError(f"{error}.") from error

    def encode_prompts(self, prompts: Sequence[str]) -> list[EncodedText]:
        """Prompts -> text ids.

        Raises:
            UserError: a prompt is empty or too long.
        """
        refuse_one_text(prompts)
        positions = self.transformer.config.text_positions
        return [self.codec.encode_prompt(prompt, positions) for prompt in prompts]


def refuse_one_text(texts: Sequence[str]) -> None:
    """Its letters would be taken for the texts.

    Raises:
        UserError: it is no list.
    """
    if isinstance(texts, str):
        raise UserError(f"{texts!r} is one text; give a list of texts.")


def warn_of_unknown(texts: Sequence[str], encoded: Sequence[EncodedText]) -> None:
    """Says which texts have words that the checkpoint does not know."""
    for text, one in zip(texts, encoded, strict=True):
        if one.unknown:
            logger.warning(
                "%d of %d tokens of %r are unknown to this checkpoint and were read as [UNK]",
                one.unknown,
                len(one.ids) - 2,
                text,
            )
