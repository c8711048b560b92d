"""Cells of a row, as `datasets` stores them -> its picture and texts."""

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from PIL import Image

from pipelines.command_line import UserError
from pipelines.data.attributes import phrases_in
from pipelines.data.settings import TextColumns
from pipelines.data.sources import QuestionAnswer, Texts, UnreadableRow
from pipelines.data.transforms import read_image

Cells = Mapping[str, Any]
WHY_NO_TEXT = "why there is no text"
"""A column that says so of each row, in tables of files."""


class Columns(Protocol):
    """Which columns hold pictures (undecoded) and texts, and how they are read.

    Both raise `UnreadableRow`, with a reason that follows the name of the row.
    """

    @property
    def pictures(self) -> tuple[str, ...]: ...

    @property
    def written(self) -> tuple[str, ...]: ...

    def picture(self, cells: Cells) -> Image.Image: ...

    def texts(self, cells: Cells) -> Texts: ...


@dataclass(frozen=True)
class TableColumns:
    """One picture, and texts in any number of columns; `says_why` where `WHY_NO_TEXT` is one."""

    image: str
    columns: TextColumns
    says_why: bool = False

    @property
    def pictures(self) -> tuple[str, ...]:
        return (self.image,)

    @property
    def written(self) -> tuple[str, ...]:
        return (*self.columns.names, *[WHY_NO_TEXT] * self.says_why)

    def picture(self, cells: Cells) -> Image.Image:
        return _decode(cells[self.image])

    def texts(self, cells: Cells) -> Texts:
        return read_texts(cells, self.columns)


@dataclass(frozen=True)
class TarColumns:
    """Files of a tar by their endings, as WebDataset has them; of the texts' columns `text` stands
    for the `.txt` file, any other for a field of the `.json` file."""

    columns: TextColumns

    pictures = ("jpg", "jpeg", "png", "webp")

    @property
    def written(self) -> tuple[str, ...]:
        return ("txt", "json") if self.columns.names else ()

    def picture(self, cells: Cells) -> Image.Image:
        return _decode(next((cells[name] for name in self.pictures if cells[name]), None))

    def texts(self, cells: Cells) -> Texts:
        names = self.columns.names
        try:
            fields = json.loads(cells["json"]) if set(names) - {"text"} else {}
            found = {
                name: (cells["txt"] or b"").decode() if name == "text" else fields.get(name)
                for name in names
            }
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise UnreadableRow("has no text in UTF-8 and JSON") from error
        return read_texts(found, self.columns)


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


def read_texts(cells: Cells, columns: TextColumns) -> Texts:
    """Raises:
    UnreadableRow: there are none, or questions and answers do not match.
    """
    captions = {name: said(cells[name]) for name in columns.captions}
    questions = {q: question_answers(cells[q], cells[a]) for q, a in columns.questions}
    # A picture may have no attribute.
    attributes = [phrase for name in columns.attributes for phrase in phrases_in(said(cells[name]))]
    if (captions or questions) and not any((*captions.values(), *questions.values())):
        wanted = ["caption"] * bool(captions) + ["question with an answer"] * bool(questions)
        raise UnreadableRow(cells.get(WHY_NO_TEXT) or f"has no {' and no '.join(wanted)}")
    return Texts(captions, questions, attributes)


def said(cell: Any) -> list[str]:
    """The texts in a cell that holds one, a list of them, or anything else."""
    texts = cell if isinstance(cell, list) else [cell]
    return [text for text in texts if isinstance(text, str) and says_something(text)]


def question_answers(question: Any, answer: Any) -> list[QuestionAnswer]:
    """The pairs in two cells: one question, and an answer or a list of right ones; or a list of
    questions and one of as many answers.

    Raises:
        UnreadableRow: there are more of one than of the other.
    """
    if not isinstance(question, list):
        question, answer = [question], [answer]
    answers = answer if isinstance(answer, list) else [answer]
    if len(question) != len(answers):
        raise UnreadableRow(f"has {len(question)} questions and {len(answers)} answers")
    pairs = zip(question, answers, strict=True)
    return [QuestionAnswer(q, a) for one, right in pairs for q in said(one) for a in said(right)]
