"""Where pictures and captions come from: a `Source` gives row after row."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import NamedTuple, Protocol

import numpy as np

from pipelines.command_line import UserError
from pipelines.data.scenes import (
    Scene,
    attribute_words,
    caption,
    draw_scene,
    questions,
    scene_at,
)
from pipelines.data.scenes.questions import EACH_ONCE
from pipelines.data.settings import DataSettings, TextColumns, Wanted
from pipelines.data.transforms import Picture, to_array

SCENE_LANGUAGES = {"text": "en", "text_zh": "zh"}
SCENE_QUESTIONS = {("question", "answer"): "en", ("question_zh", "answer_zh"): "zh"}
SCENE_ATTRIBUTES = {"attributes": "en", "attributes_zh": "zh"}
# Which of two objects a relation is of is learned last by far; asked more often still it keeps the
# model from learning the rest (docs/results.md).
TRAINING_QUESTIONS = {"relation": 3}
# Keeps what is asked about a scene independent of how it is described.
QUESTION_STREAM = 0xA5C


class QuestionAnswer(NamedTuple):
    """A question about a picture, with an answer that is right."""

    question: str
    answer: str


@dataclass(frozen=True)
class Texts:
    """What is written about a picture, by the column (of questions) that it stands in, and its
    attributes."""

    captions: dict[str, list[str]] = field(default_factory=dict)
    questions: dict[str, list[QuestionAnswer]] = field(default_factory=dict)
    attributes: list[str] = field(default_factory=list)

    @property
    def all_captions(self) -> list[str]:
        """Of all columns."""
        return list(chain(*self.captions.values()))

    @property
    def every(self) -> Iterator[str]:
        """Text by text, without the attributes."""
        yield from self.all_captions
        for pair in chain(*self.questions.values()):
            yield from pair


@dataclass(frozen=True)
class Row:
    """One picture and its texts, if it has any.

    place: its number in the source, or numbers that stand for it; chance depends on them.
    image: a picture of any kind and size (see `transforms`); None where there are
    ids: of its crops, [crops, h, w], as `encode_images.py` wrote them.
    """

    place: tuple[int, ...]
    image: Picture | None
    texts: Texts
    ids: np.ndarray | None = None

    @property
    def captions(self) -> list[str]:
        """Of all columns."""
        return self.texts.all_captions

    @property
    def questions(self) -> list[QuestionAnswer]:
        """Of all columns."""
        return list(chain(*self.texts.questions.values()))

    @property
    def attributes(self) -> list[str]:
        """Phrases."""
        return self.texts.attributes


class UnreadableRow(Exception):
    """A row without a picture that decodes, or without a text where one is needed."""


class Source(Protocol):
    """Rows by number, 0 ≤ row < length; length None stands for a source that never ends.

    Reading a row may raise `UnreadableRow`. A source can be pickled.
    """

    @property
    def length(self) -> int | None: ...

    def __getitem__(self, row: int) -> Row: ...

    def texts(self, row: int) -> Texts:
        """The texts alone, without decoding the picture."""


class ScenesSource:
    """The embedded data: row n is scene n, drawn when it is asked for."""

    length = None

    def __init__(self, settings: DataSettings, split: str, columns: TextColumns, seed: int) -> None:
        self.settings, self.split, self.columns, self.seed = settings, split, columns, seed
        try:
            self._scene(0)
        except ValueError as error:
            raise UserError(f"data source scenes: {error}.") from error

    def __getitem__(self, row: int) -> Row:
        scene = self._scene(row)
        picture = draw_scene(scene, *self.settings.height_width)
        return Row((row,), picture, self._texts(scene, row))

    def texts(self, row: int) -> Texts:
        return self._texts(self._scene(row), row)

    def _scene(self, row: int) -> Scene:
        height, width = self.settings.height_width
        return scene_at(
            self.seed,
            self.split,
            row,
            self.settings.min_objects,
            self.settings.max_objects,
            height=height,
            width=width,
            object_weights=self.settings.object_weights,
        )

    def _texts(self, scene: Scene, row: int) -> Texts:
        place = (self.seed, zlib.crc32(self.split.encode()), row)
        captions = {
            column: [caption(scene, np.random.default_rng((*place, n)), SCENE_LANGUAGES[column])]
            for n, column in enumerate(self.columns.captions, start=1)
        }
        asked = {}
        for n, pair in enumerate(self.columns.questions):
            rng = np.random.default_rng((*place, n, QUESTION_STREAM))
            times = TRAINING_QUESTIONS if self.split == "train" else EACH_ONCE
            found = questions(scene, rng, SCENE_QUESTIONS[pair], times)
            asked[pair[0]] = [QuestionAnswer(one.question, one.answer) for one in found]
        given = [
            phrase
            for column in self.columns.attributes
            for phrase in attribute_words(scene, SCENE_ATTRIBUTES[column])
        ]
        return Texts(captions, asked, given)


def open_scenes(settings: DataSettings, split: str, wanted: Wanted, seed: int) -> ScenesSource:
    """Raises:
    UserError: there is no such split or column.
    """
    columns = settings.text_columns(wanted)
    for name in columns.captions:
        if name not in SCENE_LANGUAGES:
            raise UserError(f"data source scenes has no column {name!r}; it has text and text_zh.")
    for pair in columns.questions:
        if pair not in SCENE_QUESTIONS:
            known = " and ".join(
                f"{question} with {answer}" for question, answer in SCENE_QUESTIONS
            )
            raise UserError(
                f"data source scenes has no questions {pair[0]!r} with {pair[1]!r}; it has {known}."
            )
    for name in columns.attributes:
        if name not in SCENE_ATTRIBUTES:
            raise UserError(
                f"data source scenes has no attributes {name!r}; it has "
                f"{' and '.join(SCENE_ATTRIBUTES)}."
            )
    return ScenesSource(settings, split, columns, seed)


@dataclass(frozen=True)
class Subset:
    """Some rows of a source, in the given order."""

    source: Source
    rows: np.ndarray

    @property
    def length(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> Row:
        return self.source[int(self.rows[row])]

    def texts(self, row: int) -> Texts:
        return self.source.texts(int(self.rows[row]))


class KeptPictures:
    """A finite source whose pictures are decoded and cut to their size once, and then kept."""

    def __init__(self, source: Source, size: tuple[int, int]) -> None:
        self.source, self.size, self.length = source, size, source.length
        self._kept: dict[int, Row] = {}

    def __getitem__(self, row: int) -> Row:
        if row in self._kept:
            return self._kept[row]
        found = self.source[row]
        if found.image is None:  # ids, which are small as they are
            return found
        self._kept[row] = replace(found, image=to_array(found.image, self.size))
        return self._kept[row]

    def texts(self, row: int) -> Texts:
        return self.source.texts(row)


def readable_texts(source: Source, rows: int) -> Iterator[Texts]:
    """The texts of the first `rows` rows, or of as many as there are."""
    for row in range(rows if source.length is None else min(rows, source.length)):
        try:
            yield source.texts(row)
        except UnreadableRow:
            continue
