"""Where pictures and captions come from: a `Source` gives row after row."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Protocol

import numpy as np

from pipelines.command_line import UserError
from pipelines.data.scenes import Scene, caption, draw_scene, scene_at
from pipelines.data.settings import DataSettings
from pipelines.data.transforms import Picture, to_array

SCENE_LANGUAGES = {"text": "en", "text_zh": "zh"}


Captions = dict[str, list[str]]
"""By the column that they stand in."""


@dataclass(frozen=True)
class Row:
    """One picture and its captions, if it has any.

    place: its number in the source, or numbers that stand for it; chance depends on them.
    image: a picture of any kind and size (see `transforms`); None where there are
    ids: of its crops, [crops, h, w], as `encode_images.py` wrote them.
    """

    place: tuple[int, ...]
    image: Picture | None
    captions: Captions
    ids: np.ndarray | None = None

    @property
    def texts(self) -> list[str]:
        """All captions."""
        return [text for texts in self.captions.values() for text in texts]


class UnreadableRow(Exception):
    """A row without a picture that decodes, or without a caption where one is needed."""


class Source(Protocol):
    """Rows by number, 0 ≤ row < length; length None stands for a source that never ends.

    Reading a row may raise `UnreadableRow`. A source can be pickled.
    """

    @property
    def length(self) -> int | None: ...

    def __getitem__(self, row: int) -> Row: ...

    def captions(self, row: int) -> Captions:
        """The captions alone, without decoding the picture."""


class ScenesSource:
    """The embedded data: row n is scene n, drawn when it is asked for."""

    length = None

    def __init__(self, settings: DataSettings, split: str, columns: list[str], seed: int) -> None:
        self.settings, self.split, self.columns, self.seed = settings, split, columns, seed
        try:
            self._scene(0)
        except ValueError as error:
            raise UserError(f"data source scenes: {error}.") from error

    def __getitem__(self, row: int) -> Row:
        scene = self._scene(row)
        picture = draw_scene(scene, *self.settings.height_width)
        return Row((row,), picture, self._captions(scene, row))

    def captions(self, row: int) -> Captions:
        return self._captions(self._scene(row), row)

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

    def _captions(self, scene: Scene, row: int) -> Captions:
        split = zlib.crc32(self.split.encode())
        return {
            column: [
                caption(
                    scene,
                    np.random.default_rng((self.seed, split, row, 1 + n)),
                    SCENE_LANGUAGES[column],
                )
            ]
            for n, column in enumerate(self.columns)
        }


def open_scenes(settings: DataSettings, split: str, need_text: bool, seed: int) -> ScenesSource:
    """Raises:
    UserError: there is no such split or column.
    """
    unknown = [column for column in settings.text_columns if column not in SCENE_LANGUAGES]
    if need_text and unknown:
        raise UserError(
            f"data source scenes has no column {unknown[0]!r}; it has text and text_zh."
        )
    return ScenesSource(settings, split, settings.text_columns if need_text else [], seed)


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

    def captions(self, row: int) -> Captions:
        return self.source.captions(int(self.rows[row]))


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

    def captions(self, row: int) -> Captions:
        return self.source.captions(row)


def readable_texts(source: Source, rows: int) -> Iterator[str]:
    """The captions of the first `rows` rows, or of as many as there are."""
    for row in range(rows if source.length is None else min(rows, source.length)):
        try:
            yield from chain(*source.captions(row).values())
        except UnreadableRow:
            continue
