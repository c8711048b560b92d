"""What is measured: a checkpoint, a tokenizer alone, pictures or captions of any other system."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.command_line import UserError
from pipelines.data.transforms import arrays_to_pixels
from pipelines.drawing import PICTURES_AT_ONCE
from pipelines.evaluation.likelihoods import Likelihoods, caption_fits, measure_likelihoods
from pipelines.evaluation.rows import Block
from vq import VQGAN


@dataclass(frozen=True)
class Reconstructed:
    """ids [row, h, w], and the pictures [row, 3, height, width] in [-1, 1] that they stand for."""

    ids: Tensor
    pixels: Tensor


@dataclass(frozen=True)
class Made:
    """What a subject makes of a block; None of what it does not do.

    drawn: a picture of each row's prompt, and `prompts`, as they were drawn.
    fits: how well each drawn picture fits its prompt, to the subject itself.
    said: a caption of each row's picture.
    answers: to the questions of the block, row by row.
    """

    reconstructed: Reconstructed | None = None
    drawn: list[Image.Image] | None = None
    prompts: list[str] = field(default_factory=list)
    fits: list[float] | None = None
    said: list[str] | None = None
    answers: list[list[str]] | None = None
    likelihoods: Likelihoods | None = None


class Subject(Protocol):
    """Anything that is measured.

    `tasks` as a checkpoint's index has them, and "reconstruction". `picture_size` (height, width),
    None where it is the data's.
    """

    tasks: tuple[str, ...]
    picture_size: tuple[int, int] | None

    def make(self, block: Block) -> Made: ...


class TokenizerSubject:
    """A tokenizer, which reconstructs pictures."""

    tasks: tuple[str, ...] = ("reconstruction",)
    picture_size: tuple[int, int] | None = None

    def __init__(self, tokenizer: VQGAN) -> None:
        self.tokenizer = tokenizer.eval()

    def make(self, block: Block) -> Made:
        return Made(reconstructed=reconstruct(self.tokenizer, block.pictures))


class CheckpointSubject(TokenizerSubject):
    """A checkpoint, in all that it was trained for.

    Args:
        drawing: options of `generate_images`.
    """

    def __init__(self, pipe: BidirectionalPipeline, **drawing: Any) -> None:
        super().__init__(pipe.tokenizer)
        self.pipe, self.drawing = pipe, drawing
        self.tasks = ("reconstruction", *pipe.tasks)
        self.picture_size = pipe.picture_size
        self.rates_pairs = bool({"text_to_image", "image_to_text"} & set(pipe.tasks))

    def make(self, block: Block) -> Made:
        pipe, pictures = self.pipe, block.pictures
        reconstructed = reconstruct(pipe.tokenizer, pictures)
        prompts = [self.as_prompt(text) for text in block.prompts]
        drawn = fits = said = answers = likelihoods = None
        if "text_to_image" in pipe.tasks:
            drawn = pipe.generate_images(prompts, seed=self.seeds(block), **self.drawing)
        if "image_to_text" in pipe.tasks:
            said = pipe.caption_images(pictures)
            if drawn is not None:
                fits = caption_fits(pipe, drawn, prompts)
        if "question_answering" in pipe.tasks:
            answers = self._answers(block)
        if self.rates_pairs:
            likelihoods = measure_likelihoods(pipe, reconstructed.ids, block)
        return Made(reconstructed, drawn, prompts, fits, said, answers, likelihoods)

    def seeds(self, block: Block) -> list[int]:
        """Every candidate of every row has its own, whoever measures it."""
        return [row * self.drawing.get("rerank", 1) for row in block.rows]

    def as_prompt(self, caption: str) -> str:
        """The caption, cut to what the model can take, as in training."""
        codec, positions = self.pipe.codec, self.pipe.transformer.config.text_positions
        # Words may come apart otherwise where they are put together again: then a few less.
        for room in range(positions, 2, -1):
            encoded = codec.encode_caption(caption, room)
            text = codec.decode_caption(encoded.ids) if encoded.truncated else caption
            if not codec.encode_caption(text, positions).truncated:
                break
        return text

    def _answers(self, block: Block) -> list[list[str]]:
        pairs = [
            (picture, one.question)
            for picture, asked in zip(block.pictures, block.questions, strict=True)
            for one in asked
        ]
        said: list[str] = []
        if pairs:
            pictures, questions = zip(*pairs, strict=True)
            said = self.pipe.answer_questions(pictures, questions)
        rest = iter(said)
        return [[next(rest) for _ in asked] for asked in block.questions]


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


class PicturesSubject:
    """Pictures that another system drew: a folder as `generate_images.py` writes it.

    They are compared with the data's as they are, whichever prompts they were drawn of, in the
    order of `metadata.jsonl`.

    Args:
        open_picture: reads a file at the size that is measured.

    Raises:
        UserError: the folder has no `metadata.jsonl` with `file_name` and `text`.
    """

    tasks: tuple[str, ...] = ("text_to_image",)
    picture_size: tuple[int, int] | None = None

    def __init__(self, folder: Path, open_picture: Callable[[Path], Image.Image]) -> None:
        self.folder, self.open_picture = folder, open_picture
        self.rows = [(row["file_name"], row["text"]) for row in read_metadata(folder)]
        for name, _ in self.rows:
            if not (folder / name).is_file():
                raise UserError(
                    f"{folder / 'metadata.jsonl'} names {name}, which is not there; draw it again, "
                    "or take its line out."
                )

    def make(self, block: Block) -> Made:
        chosen = [self.rows[row] for row in block.rows if row < len(self.rows)]
        pictures = [self.open_picture(self.folder / name) for name, _ in chosen]
        return Made(drawn=pictures, prompts=[text for _, text in chosen])


def read_metadata(folder: Path) -> list[dict[str, str]]:
    """`file_name` and `text` of the pictures that a system drew.

    Raises:
        UserError: the folder has no such `metadata.jsonl`.
    """
    file = folder / "metadata.jsonl"
    try:
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line]
        return [{name: str(row[name]) for name in ("file_name", "text")} for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{file} cannot be read ({type(error).__name__} {error}); give a folder with "
            "pictures and a metadata.jsonl of file_name and text, as generate_images.py writes it."
        ) from error


class CaptionsSubject:
    """Captions that another system wrote: lines as `caption_images.py` prints them, or a JSON list
    as COCO's results are.

    They belong to the pictures of the data by file name (`image` or `file_name`), by the number in
    which it ends (`image_id`), or, where either lacks names, by order.

    Raises:
        UserError: the file holds something else.
    """

    tasks: tuple[str, ...] = ("image_to_text",)
    picture_size: tuple[int, int] | None = None

    def __init__(self, file: Path) -> None:
        self.file = file
        rows = _read_captions(file)
        self.captions = [row["caption"] for row in rows]
        self.keys = [_key(row) for row in rows]
        self._of_picture: dict[str | int, str] = {}

    def suit(self, names: Sequence[str]) -> None:
        """Finds each picture's caption; `names` are those of all the data's picture files.

        Raises:
            UserError: captions are of pictures that are not there, or not as many.
        """
        kinds = {type(key) for key in self.keys}
        if not all(names) or len(kinds) > 1 or None in self.keys:
            if len(self.captions) != len(names):
                raise UserError(
                    f"{self.file} has {len(self.captions)} captions and the data {len(names)} rows "
                    "without names to match them by; give one of each, in the order of the data."
                )
            return
        known = {_number(name) if kinds == {int} else name for name in names}
        for key, caption in zip(self.keys, self.captions, strict=True):
            if key not in known:
                raise UserError(
                    f"{self.file} has a caption of {key}, and the data have no such picture; name "
                    "the data that it is about."
                )
            assert key is not None
            self._of_picture.setdefault(key, caption)

    def make(self, block: Block) -> Made:
        return Made(said=list(map(self._caption, block.places, block.names)))

    def _caption(self, place: int, name: str) -> str:
        if not self._of_picture:
            return self.captions[place]
        found = self._of_picture.get(name, self._of_picture.get(_number(name) or 0))
        if found is None:
            raise UserError(
                f"{self.file} has no caption of {name}; give one of every picture of the data."
            )
        return found


def _number(name: str) -> int | None:
    """In which the name of a file ends."""
    found = re.search(r"\d+$", Path(name).stem)
    return int(found[0]) if found else None


def _key(row: dict[str, Any]) -> str | int | None:
    """By which a caption's picture is known."""
    if str(row.get("image_id", "")).isdecimal():
        return int(row["image_id"])
    name = row.get("image") or row.get("file_name")
    return Path(str(name)).name if name else None


def _read_captions(file: Path) -> list[dict[str, Any]]:
    try:
        text = file.read_text(encoding="utf-8")
        if text.lstrip().startswith("["):
            rows = json.loads(text)
        else:
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        if not rows or not all(isinstance(row["caption"], str) for row in rows):
            raise ValueError("it holds no captions")
        return rows
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"--captions {file} cannot be read ({type(error).__name__} {error}); give lines as "
            "caption_images.py prints them, or a JSON list of image_id and caption."
        ) from error
