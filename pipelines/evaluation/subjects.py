"""What is measured: a checkpoint, or a tokenizer alone (and others: `other_systems.py`)."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.data.transforms import arrays_to_pixels
from pipelines.drawing import PICTURES_AT_ONCE
from pipelines.evaluation.likelihoods import Likelihoods, caption_fits, measure_likelihoods
from pipelines.evaluation.rows import Block
from unified_transformer.sequence import DIRECTIONS
from vq import VQGAN


@dataclass(frozen=True)
class Reconstructed:
    """ids [row, h, w], and the pictures [row, 3, height, width] in [-1, 1] that they stand for."""

    ids: Tensor
    pixels: Tensor


@dataclass(frozen=True)
class Made:
    """What a subject makes of a block; None of what it does not do.

    drawn: a picture of each of the `prompts`, row by row.
    seeds: of what is drawn here.
    paired: whether the prompts are captions of the rows.
    fits: how well each drawn picture fits its prompt, to a matcher or to the subject itself.
    features: a matcher's unit vectors [n, d] of drawn pictures and of their prompts.
    said: a caption of each row's picture.
    answers: to the questions of the block, row by row.
    """

    reconstructed: Reconstructed | None = None
    drawn: list[Image.Image] | None = None
    seeds: list[int] | None = None
    prompts: list[str] = field(default_factory=list)
    paired: bool = True
    fits: list[float] | None = None
    features: tuple[Tensor, Tensor] | None = None
    said: list[str] | None = None
    answers: list[list[str]] | None = None
    likelihoods: Likelihoods | None = None


class Subject(Protocol):
    """Anything that is measured.

    `tasks` as a checkpoint's index has them, and "reconstruction". `picture_size` (height, width),
    None where it is the data's. `checkpoint` is the folder of one, None of another system's work.
    """

    tasks: tuple[str, ...]
    picture_size: tuple[int, int] | None
    checkpoint: Path | None

    def make(self, block: Block) -> Made: ...


class TokenizerSubject:
    """A tokenizer, which reconstructs pictures."""

    tasks: tuple[str, ...] = ("reconstruction",)
    picture_size: tuple[int, int] | None = None
    checkpoint: Path | None = None

    def __init__(self, tokenizer: VQGAN) -> None:
        self.tokenizer = tokenizer.eval()

    def make(self, block: Block) -> Made:
        return Made(reconstructed=reconstruct(self.tokenizer, block.pictures))


class CheckpointSubject(TokenizerSubject):
    """A checkpoint.

    Args:
        tasks: of those that it was trained for, which are measured; None is all of them.
        drawing: options of `generate_images`.

    Raises:
        UserError: it was not trained for one of them.
    """

    def __init__(
        self, pipe: BidirectionalPipeline, tasks: Sequence[str] | None = None, **drawing: Any
    ) -> None:
        super().__init__(pipe.tokenizer)
        for task in tasks or ():
            pipe.require(task)
        self.pipe, self.drawing = pipe, drawing
        self.tasks = ("reconstruction", *(tasks or pipe.tasks))
        self.directions = [task for task in DIRECTIONS if task in self.tasks]
        self.picture_size = pipe.picture_size

    def make(self, block: Block) -> Made:
        pipe, pictures = self.pipe, block.pictures
        reconstructed = reconstruct(pipe.tokenizer, pictures)
        drawn = fits = said = answers = likelihoods = None
        if "text_to_image" in self.tasks:
            prompts = [longest_that_fits(text, self.prompt_fits) for text in block.prompts]
            drawn = pipe.generate_images(prompts, seed=self.seeds(block), **self.drawing)
        if "image_to_text" in self.tasks:
            said = pipe.caption_images(pictures)
            if drawn is not None:
                fits = caption_fits(pipe, drawn, block.prompts)
        if "question_answering" in self.tasks:
            answers = self._answers(block)
        if self.directions:
            likelihoods = measure_likelihoods(pipe, reconstructed.ids, block, self.directions)
        return Made(
            reconstructed,
            drawn,
            self.seeds(block),
            block.prompts,
            fits=fits,
            said=said,
            answers=answers,
            likelihoods=likelihoods,
        )

    def seeds(self, block: Block) -> list[int]:
        """Every candidate of every row has its own, whoever measures it."""
        return [row * self.drawing.get("rerank", 1) for row in block.rows]

    def prompt_fits(self, text: str) -> bool:
        """Into the text positions."""
        return not self.pipe.codec.encode_caption(text, self.positions).truncated

    def question_fits(self, text: str) -> bool:
        """Into the text positions, with [BOS] and an answer's first token."""
        return not self.pipe.codec.encode_caption(text, self.positions - 2).truncated

    @property
    def positions(self) -> int:
        """Of text."""
        return self.pipe.transformer.config.text_positions

    def _answers(self, block: Block) -> list[list[str]]:
        pairs = [
            (picture, longest_that_fits(one.question, self.question_fits))
            for picture, asked in zip(block.pictures, block.questions, strict=True)
            for one in asked
        ]
        said: list[str] = []
        if pairs:
            pictures, questions = zip(*pairs, strict=True)
            said = self.pipe.answer_questions(pictures, questions)
        rest = iter(said)
        return [[next(rest) for _ in asked] for asked in block.questions]


def longest_that_fits(text: str, fits: Callable[[str], bool]) -> str:
    """The beginning of a text, all of it where it can be: nobody can shorten the data's."""
    if fits(text):
        return text
    # The longer a beginning, the more tokens it has: the first that does not fit is searched for.
    end = bisect_right(range(len(text)), False, key=lambda end: not fits(text[:end]))
    while not fits(text[: end - 1]):  # but for a word that grows into fewer pieces
        end -= 1
    return text[: end - 1]


@torch.no_grad()
def reconstruct(tokenizer: VQGAN, pictures: Sequence[np.ndarray]) -> Reconstructed:
    """Through ids and back."""
    device = next(tokenizer.parameters()).device
    ids, again = [], []
    for first in range(0, len(pictures), PICTURES_AT_ONCE):
        pixels = arrays_to_pixels(np.stack(pictures[first : first + PICTURES_AT_ONCE])).to(device)
        ids.append(tokenizer.encode_to_ids(pixels))
        again.append(tokenizer.decode_ids(ids[-1]).float().cpu())
    return Reconstructed(torch.cat(ids), torch.cat(again))
