"""Pictures and captions that other systems made, measured by the same rules."""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from pipelines.command_line import JSON_ERRORS, UserError
from pipelines.data.sources import Source, UnreadableRow
from pipelines.evaluation.rows import Block, by_lot
from pipelines.evaluation.subjects import Made


class PicturesSubject:
    """Pictures that another system drew: a folder as `generate_images.py` writes it.

    Where they were drawn of the data's captions, each is measured beside the row of its own; where
    they were drawn of other prompts, as a set beside rows chosen by lot.

    Args:
        open_picture: reads a file at the size that is measured.

    Raises:
        UserError: the folder has no `metadata.jsonl` with `file_name` and `text`.
    """

    tasks: tuple[str, ...] = ("text_to_image",)
    picture_size: tuple[int, int] | None = None
    checkpoint: Path | None = None

    def __init__(self, folder: Path, open_picture: Callable[[Path], Image.Image]) -> None:
        self.folder, self.open_picture = folder, open_picture
        self.pictures = read_metadata(folder)
        self.chosen: list[int] = []
        self.paired = True

    def suit(self, source: Source, most: int) -> list[int]:
        """Chooses at most so many pictures by lot; returns the rows that they are measured beside.

        Raises:
            UserError: some of the prompts are captions of the data, and some are none.
        """
        count = len(self.pictures)
        row_of: dict[str, int] = {}
        for row in range(max(most, count) if source.length is None else source.length):
            try:
                captions = source.texts(row).all_captions
            except UnreadableRow:
                continue
            for caption in captions:
                row_of.setdefault(_words(caption), row)
        rows = [row_of.get(_words(text)) for _, text in self.pictures]
        found = [row for row in rows if row is not None]
        self.chosen = by_lot(count, most)
        if len(found) == count:
            return [found[n] for n in self.chosen]
        if found:
            _, prompt = self.pictures[rows.index(None)]
            raise UserError(
                f"{self.folder} has {len(found)} pictures of captions of the data, and "
                f"{count - len(found)} of other prompts such as {prompt!r}; give pictures of the "
                "data's captions alone, or of none of them, which are compared as a set."
            )
        self.paired = False
        others = by_lot(source.length, len(self.chosen))
        self.chosen = self.chosen[: len(others)]
        return others

    def make(self, block: Block) -> Made:
        chosen = [self.pictures[self.chosen[row]] for row in block.rows]
        pictures = [self.open_picture(file) for file, _ in chosen]
        return Made(drawn=pictures, prompts=[text for _, text in chosen], paired=self.paired)


def _words(text: str) -> str:
    return " ".join(text.split())


def read_metadata(folder: Path) -> list[tuple[Path, str]]:
    """The files of a system's pictures, and the prompts that they were drawn of.

    Raises:
        UserError: the folder has no such `metadata.jsonl`, or lacks a picture that it names.
    """
    file = folder / "metadata.jsonl"
    try:
        # Not by `splitlines`: JSON may hold what Unicode takes for the end of a line.
        lines = file.read_text(encoding="utf-8").split("\n")
        rows = [json.loads(line) for line in lines if line.strip()]
        pictures = [(folder / row["file_name"], row["text"]) for row in rows]
        if not pictures:
            raise ValueError("it names no pictures")
        for _, text in pictures:
            if not isinstance(text, str):
                raise ValueError(f"text is {text!r} and not a prompt")
    except (OSError, *JSON_ERRORS) as error:
        raise UserError(
            f"{file} cannot be read ({type(error).__name__} {error}); give a folder with "
            "pictures and a metadata.jsonl of file_name and text, as generate_images.py writes it."
        ) from error
    for picture, _ in pictures:
        if not picture.is_file():
            raise UserError(
                f"{file} names {picture.name}, which is not there; draw it again, or take its line "
                "out."
            )
    return pictures


class CaptionsSubject:
    """Captions that another system wrote: lines as `caption_images.py` prints them, or a JSON list
    as COCO's results are.

    They belong to the pictures of the data by file name (`image`, `file_name` or `image_id`) or by
    the number in which it ends (`image_id`); by order, where either side has no names at all.

    Raises:
        UserError: the file holds something else.
    """

    tasks: tuple[str, ...] = ("image_to_text",)
    picture_size: tuple[int, int] | None = None
    checkpoint: Path | None = None

    def __init__(self, file: Path) -> None:
        self.file = file
        rows = _read_captions(file)
        self.captions = [row["caption"] for row in rows]
        self.keys = [_key(row) for row in rows]
        self._of_row: dict[int, str] = {}

    def suit(self, files: Sequence[str], chosen: Sequence[int]) -> None:
        """Finds each row's caption.

        Args:
            files: of all the data's pictures, empty where they have none.
            chosen: the rows that are measured.

        Raises:
            UserError: captions are of pictures that are not there, or that cannot be told apart;
                rows have none; or there are not as many.
        """
        if not any(files) or all(key is None for key in self.keys):
            if len(self.captions) != len(files):
                raise UserError(
                    f"{self.file} has {len(self.captions)} captions and the data {len(files)} rows "
                    "without names to match them by; give one of each, in the order of the data."
                )
            self._of_row = dict(enumerate(self.captions))
            return
        rows_of: dict[str | int, list[int]] = defaultdict(list)
        for row, file in enumerate(files):
            for name in names_of(file):
                rows_of[name].append(row)
        for key, caption in zip(self.keys, self.captions, strict=True):
            if key is None:
                raise UserError(
                    f"{self.file} has captions with image_id and captions without, such as "
                    f"{caption!r}; give all of them one, or none."
                )
            rows = rows_of[key]
            if not rows:
                raise UserError(
                    f"{self.file} has a caption of {key}, and the data have no such picture; name "
                    "the data that it is about."
                )
            if len({files[row] for row in rows}) > 1:
                raise UserError(
                    f"{self.file} has a caption of {key}, and the data have several pictures of "
                    "that name; give captions without names, in the order of the data."
                )
            for row in rows:
                self._of_row.setdefault(row, caption)
        if without := [files[row] or f"row {row}" for row in chosen if row not in self._of_row]:
            raise UserError(
                f"{self.file} has no caption of {without[0]}; give one of every picture that is "
                "measured."
            )

    def make(self, block: Block) -> Made:
        return Made(said=[self._of_row[row] for row in block.places])


def names_of(file: str) -> set[str | int]:
    """By which a picture can be known: its file's name with and without its ending, and the number
    in which that ends; none where it has no file."""
    if not file:
        return set()
    name = Path(file)
    number = re.search(r"\d+$", name.stem)
    return {name.name, name.stem, *([int(number[0])] if number else [])}


def _key(row: dict[str, Any]) -> str | int | None:
    """By which a caption's picture is known."""
    for name in ("image_id", "image", "file_name"):
        value = row.get(name)
        if value not in (None, ""):
            return int(value) if str(value).isdecimal() else Path(str(value)).name
    return None


def _read_captions(file: Path) -> list[dict[str, Any]]:
    try:
        text = file.read_text(encoding="utf-8")
        if text.lstrip().startswith("["):
            rows = json.loads(text)
        else:
            rows = [json.loads(line) for line in text.split("\n") if line.strip()]
        if not rows or not all(isinstance(row["caption"], str) for row in rows):
            raise ValueError("it holds no captions")
        return rows
    except (OSError, *JSON_ERRORS) as error:
        raise UserError(
            f"--captions {file} cannot be read ({type(error).__name__} {error}); give lines as "
            "caption_images.py prints them, or a JSON list of image_id and caption."
        ) from error
