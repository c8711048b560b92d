"""Cells of a row, as `datasets` stores them -> its picture and captions."""

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from PIL import Image

from pipelines.command_line import UserError
from pipelines.data.sources import Captions, UnreadableRow
from pipelines.data.transforms import read_image

Cells = Mapping[str, Any]


class Columns(Protocol):
    """Which columns hold pictures (undecoded) and captions, and how they are read.

    Both raise `UnreadableRow`, with a reason that follows the name of the row.
    """

    @property
    def pictures(self) -> tuple[str, ...]: ...

    @property
    def texts(self) -> tuple[str, ...]: ...

    def picture(self, cells: Cells) -> Image.Image: ...

    def captions(self, cells: Cells) -> Captions: ...


@dataclass(frozen=True)
class TableColumns:
    """One picture, and captions in any number of columns, each one text or a list."""

    image: str
    texts: tuple[str, ...]

    @property
    def pictures(self) -> tuple[str, ...]:
        return (self.image,)

    def picture(self, cells: Cells) -> Image.Image:
        return _decode(cells[self.image])

    def captions(self, cells: Cells) -> Captions:
        return _not_empty({column: cells[column] for column in self.texts})


@dataclass(frozen=True)
class TarColumns:
    """Files of a tar by their endings, as WebDataset has them; `names` are the captions': `text`
    stands for the `.txt` file, any other for a field of the `.json` file."""

    names: tuple[str, ...]

    pictures = ("jpg", "jpeg", "png", "webp")

    @property
    def texts(self) -> tuple[str, ...]:
        return ("txt", "json") if self.names else ()

    def picture(self, cells: Cells) -> Image.Image:
        return _decode(next((cells[name] for name in self.pictures if cells[name]), None))

    def captions(self, cells: Cells) -> Captions:
        try:
            fields = json.loads(cells["json"]) if set(self.names) - {"text"} else {}
            texts = {
                name: (cells["txt"] or b"").decode() if name == "text" else fields.get(name)
                for name in self.names
            }
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise UnreadableRow("has no caption in UTF-8 and JSON") from error
        return _not_empty(texts)


def _decode(stored: Cells | None) -> Image.Image:
    if stored is None or (stored["bytes"] is None and stored["path"] is None):
        raise UnreadableRow("has no picture")
    try:
        return read_image(stored["bytes"] if stored["bytes"] is not None else stored["path"])
    except UserError as error:
        raise UnreadableRow(f"cannot be used: {str(error).rstrip('.')}") from error


def says_something(text: str) -> bool:
    """Whether there is anything to read: Unicode that can be written down, and more of it than
    blanks and control characters."""
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can spell
        return False
    return any(unicodedata.category(character)[0] not in "CZ" for character in text)


def _not_empty(cells: Cells) -> Captions:
    """The captions among cells that hold a text, a list of them, or anything else."""
    found = {}
    for name, cell in cells.items():
        texts = cell if isinstance(cell, list) else [cell]
        found[name] = [text for text in texts if isinstance(text, str) and says_something(text)]
    if found and not any(found.values()):
        raise UnreadableRow("has no caption (in UTF-8)")
    return found
