"""Where pictures and captions come from: a `Source` gives row after row."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from pipelines.command_line import UserError
from pipelines.data.scenes import Scene, caption, draw_scene, scene_at
from pipelines.data.settings import DataSettings
from pipelines.data.transforms import Picture, to_array

SCENE_LANGUAGES = {"text": "en", "text_zh": "zh"}


@dataclass(frozen=True)
class Row:
    """One picture and its captions, if it has any.

    place: its number in the source, or numbers that stand for it; chance depends on them.
    image: a picture of any kind and size (see `transforms`); None where there are
    ids: of its crops, [crops, h, w], as `encode_images.py` wrote them.
    """

    place: tuple[int, ...]
    image: Picture | None
    texts: list[str]
    ids: np.ndarray | None = None


class UnreadableRow(Exception):
    """A row without a picture that decodes, or without a caption where one is needed."""


class Source(Protocol):
    """Rows by number, 0 ≤ row < length; length None stands for a source that never ends.

    Reading a row may raise `UnreadableRow`. A source can be pickled.
    """

    @property
    def length(self) -> int | None: ...

    def __getitem__(self, row: int) -> Row: ...

    def texts(self, row: int) -> list[str]:
        """The captions alone, without decoding the picture."""


class ScenesSource:
    """The embedded data: row n is scene n, drawn when it is asked for."""

    length = None

    def __init__(self, settings: DataSettings, split: str, languages: list[str], seed: int) -> None:
        self.settings, self.split, self.languages, self.seed = settings, split, languages, seed
        try:
            self._scene(0)
        except ValueError as error:
            raise UserError(f"data source scenes: {error}.") from error

    def __getitem__(self, row: int) -> Row:
        scene = self._scene(row)
        picture = draw_scene(scene, *self.settings.height_width)
        return Row((row,), picture, self._captions(scene, row))

    def texts(self, row: int) -> list[str]:
        return self._captions(self._scene(row), row) if self.languages else []

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

    def _captions(self, scene: Scene, row: int) -> list[str]:
        split = zlib.crc32(self.split.encode())
        return [
            caption(scene, np.random.default_rng((self.seed, split, row, 1 + n)), language)
            for n, language in enumerate(self.languages)
        ]


def open_scenes(settings: DataSettings, split: str, need_text: bool, seed: int) -> ScenesSource:
    """Raises:
    UserError: there is no such split or column.
    """
    unknown = [column for column in settings.text_columns if column not in SCENE_LANGUAGES]
    if need_text and unknown:
        raise UserError(
            f"data source scenes has no column {unknown[0]!r}; it has text and text_zh."
        )
    languages = [SCENE_LANGUAGES[c] for c in settings.text_columns] if need_text else []
    return ScenesSource(settings, split, languages, seed)


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

    def texts(self, row: int) -> list[str]:
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

    def texts(self, row: int) -> list[str]:
        return self.source.texts(row)


def readable_texts(source: Source, rows: int) -> Iterator[str]:
    """The captions of the first `rows` rows, or of as many as there are."""
    for row in range(rows if source.length is None else min(rows, source.length)):
        try:
            yield from source.texts(row)
        except UnreadableRow:
            continue
