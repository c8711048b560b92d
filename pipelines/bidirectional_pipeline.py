"""Text -> pictures and pictures -> text from one checkpoint folder."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from PIL import Image
from torch import Tensor

from pipelines.command_line import UserError, check_seed, device_and_dtype
from pipelines.data.text_tokenizer import EncodedText, TextCodec, load_text_tokenizer
from pipelines.data.transforms import Picture, to_image, to_pixels
from pipelines.recommended_sampling import recommended_sampling
from pipelines.training.checkpoint import open_checkpoint
from unified_transformer import (
    CaptionSettings,
    SamplingSettings,
    UnifiedTransformer,
    generate_captions,
    generate_image_ids,
    score_captions,
)
from vq import VQGAN

logger = logging.getLogger(__name__)

TASKS = ("text_to_image", "image_to_text")
"""What it can do, by the names in a checkpoint's index."""

PICTURES_AT_ONCE = 128
"""Sequences decoded together, both branches of guidance counted: larger gains little on a CPU."""


@dataclass(frozen=True)
class Caption:
    """What was read from a picture; `log_likelihood` in nats, of the whole caption."""

    text: str
    log_likelihood: float


class BidirectionalPipeline:
    """Draws and describes with one checkpoint.

    Example:
        >>> pipe = BidirectionalPipeline.from_pretrained("runs/quickstart/checkpoint")
        >>> images = pipe.generate_images(["a large red circle above a small blue square"])
        >>> captions = pipe.caption_images(images)

    `sampling` are the settings that `generate_images` uses where it is not told otherwise: those
    the checkpoint recommends, else plain sampling. `tasks` are those it was trained for; others are
    refused.
    """

    def __init__(
        self,
        tokenizer: VQGAN,
        codec: TextCodec,
        transformer: UnifiedTransformer,
        sampling: SamplingSettings | None = None,
        tasks: Sequence[str] = TASKS,
    ) -> None:
        self.tokenizer = tokenizer.eval()
        self.codec = codec
        self.transformer = transformer.eval()
        self.sampling = sampling or SamplingSettings()
        self.tasks = tuple(tasks)
        self.compiled = False

    @classmethod
    def from_pretrained(
        cls, checkpoint: str | Path, device: str | None = None, dtype: str | None = None
    ) -> "BidirectionalPipeline":
        """Loads a checkpoint folder.

        Args:
            checkpoint: what `train_bidirectional.py` wrote.
            device, dtype: as on the command line; the best present by default.

        Raises:
            UserError: the folder is missing, of another kind or version, or damaged.
        """
        place, number_format = device_and_dtype(device, dtype)
        paths = open_checkpoint(checkpoint, "bidirectional")
        try:
            tokenizer = VQGAN.from_pretrained(paths.tokenizer)
        except (ValueError, FileNotFoundError) as error:
            raise UserError(str(error)) from error
        transformer = load_transformer(paths.transformer)
        return cls(
            tokenizer.to(place).decode_in(number_format),
            TextCodec(load_text_tokenizer(paths.text_tokenizer)),
            transformer.to(device=place, dtype=number_format),  # type: ignore[call-arg]
            recommended_sampling(paths.root),
            paths.tasks,
        )

    def compile(self) -> "BidirectionalPipeline":
        """Draws through `torch.compile` from here on, which takes ten seconds and more for each
        number of pictures drawn together. Meant for GPUs, where it is not measured yet; on a CPU it
        gains nothing."""
        self.compiled = True
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
        rerank: int = 1,
        window: int | None = None,
        progress: Callable[[int], None] = lambda done: None,
        **sampling: Any,
    ) -> list[Image.Image]:
        """Draws `num_images` pictures of each prompt, those of one prompt side by side.

        Args:
            prompts: texts in the words that the checkpoint was trained on.
            seed: picture k of a prompt has seed + k; one for all prompts or one for each. The same
                prompt, seed and settings give the same picture, whatever else is drawn beside it.
            rerank: each picture is the best of so many candidates by the likelihood of the prompt
                given the picture (the other direction of the same weights); picture k has the
                candidates with seeds seed + k * rerank and on.
            window: how many ids a pass of the model tries at once, which changes the speed and no
                picture; None is what is fastest where that was measured.
            progress: called with the number of pictures finished since the last call.
            **sampling: `temperature`, `top_k`, `top_p`, `guidance_scale`; None or absent is what
                the checkpoint recommends.

        Raises:
            UserError: a prompt is empty or too long, a value is out of range, there are not as
                many seeds as prompts, or the checkpoint was not trained for it.
        """
        seeds = [seed] * len(prompts) if isinstance(seed, int) else seed
        if len(seeds) != len(prompts):
            raise UserError(f"{len(seeds)} seeds for {len(prompts)} prompts; give one for each.")
        self.check_drawing(num_images, rerank, seeds, window)
        settings = self.sampling_settings(**sampling)
        encoded = self.encode_prompts(prompts)
        for prompt, text in zip(prompts, encoded, strict=True):
            if text.unknown:
                logger.warning(
                    "%d of %d tokens of %r are unknown to this checkpoint and were read as [UNK]",
                    text.unknown,
                    len(text.ids) - 2,
                    prompt,
                )
        prompts_at_once = max(1, PICTURES_AT_ONCE // (num_images * rerank * settings.branches))
        images = []
        for first in range(0, len(encoded), prompts_at_once):
            chosen = slice(first, first + prompts_at_once)
            ids = self._draw(encoded[chosen], num_images, rerank, seeds[chosen], settings, window)
            images += [to_image(pixels) for pixels in self.tokenizer.decode_ids(ids)]
            progress(len(ids))
        return images

    def caption_images(self, images: Iterable[Picture], **captioning: Any) -> list[str]:
        """Describes pictures of any size; `captioning` as the fields of `CaptionSettings`."""
        return [caption.text for caption in self.describe(images, **captioning)]

    @torch.no_grad()
    def describe(
        self, images: Iterable[Picture], seed: int = 0, **captioning: Any
    ) -> list[Caption]:
        """Captions with their log-likelihoods.

        Raises:
            UserError: a value is out of range, or the checkpoint was not trained for it.
        """
        self.require("image_to_text")
        check_seed(seed)
        try:
            settings = CaptionSettings(**captioning)
        except ValueError as error:
            raise UserError(f"{error}.") from error
        pictures = list(images)
        at_once = max(1, PICTURES_AT_ONCE // settings.num_beams)
        captions = []
        for first in range(0, len(pictures), at_once):
            ids = self.encode_images(pictures[first : first + at_once])
            said = generate_captions(self.transformer, ids, settings, [seed] * len(ids))
            captions += [
                Caption(self.codec.decode_caption(text), likelihood)
                for text, likelihood in zip(said.ids, said.log_likelihood.tolist(), strict=True)
            ]
        return captions

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

    def check_drawing(
        self, num_images: int, rerank: int, seeds: Sequence[int], window: int | None = None
    ) -> None:
        """Refuses what `generate_images` could not do, before anything is written.

        Raises:
            UserError: a number or seed is out of range, or the checkpoint was not trained for it.
        """
        if num_images < 1 or rerank < 1:
            raise UserError("num_images and rerank must be at least 1.")
        if window is not None and window < 1:
            raise UserError(f"window is {window}; it must be at least 1.")
        self.require("text_to_image")
        if rerank > 1:
            self.require("image_to_text")
        for seed in seeds:
            check_seed(seed)
            check_seed(seed + num_images * rerank - 1)

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
        positions = self.transformer.config.text_positions
        return [self.codec.encode_prompt(prompt, positions) for prompt in prompts]

    def _draw(
        self,
        prompts: list[EncodedText],
        num_images: int,
        rerank: int,
        seeds: Sequence[int],
        settings: SamplingSettings,
        window: int | None,
    ) -> Tensor:
        """Ids [prompts * num_images, h, w]."""
        text_ids, text_length = self.codec.pad(prompts, self.transformer.config.text_positions)
        text_ids, text_length = (t.to(self.transformer.device) for t in (text_ids, text_length))
        candidates = num_images * rerank
        at_once = max(1, PICTURES_AT_ONCE // (len(prompts) * settings.branches))
        drawn, scores = [], []
        for first in range(0, candidates, at_once):
            some = range(first, min(first + at_once, candidates))
            ids = generate_image_ids(
                self.transformer,
                text_ids,
                text_length,
                [[seed + k for k in some] for seed in seeds],
                settings,
                window,
                compiled=self.compiled,
            )
            drawn.append(rearrange(ids, "(prompt k) h w -> prompt k h w", k=len(some)))
            if rerank > 1:
                texts = (t.repeat_interleave(len(some), 0) for t in (text_ids, text_length))
                found = score_captions(self.transformer, ids, *texts)
                scores.append(rearrange(found, "(prompt k) -> prompt k", k=len(some)))
        ids = rearrange(torch.cat(drawn, dim=1), "prompt (n k) h w -> (prompt n) k h w", k=rerank)
        if rerank == 1:
            return ids[:, 0]
        best = rearrange(torch.cat(scores, dim=1), "prompt (n k) -> (prompt n) k", k=rerank)
        return ids[torch.arange(len(ids)), best.argmax(dim=1)]


def load_transformer(folder: Path) -> UnifiedTransformer:
    """The transformer of a checkpoint, with every weight present.

    Raises:
        UserError: the folder is damaged or its weights do not fit its config.
    """
    try:
        loaded: Any = UnifiedTransformer.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except Exception as error:  # whatever a damaged file makes the library raise
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"the transformer in {folder} cannot be loaded ({reason}).") from error
    transformer, report = loaded
    wrong = [*report["missing_keys"], *report["mismatched_keys"], *report["unexpected_keys"]]
    if wrong:
        raise UserError(
            f"the weights in {folder} do not fit its config.json (for example {wrong[0]}); "
            "copy the whole checkpoint again."
        )
    return transformer
