"""Where pictures and captions come from: a `Source` gives row after row."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from pipelines.command_line import UserError
from pipelines.data.scenes import Scene, caption, draw_scene, scene_at
from pipelines.data.settings import DataSettings
from pipelines.data.transforms import Picture

SCENE_LANGUAGES = {"text": "en", "text_zh": "zh"}
ROWS_FOR_VOCABULARY = 20_000
SCENES_FOR_VOCABULARY = 2_000  # 500 hold every word of the grammar unless weights are extreme


@dataclass(frozen=True)
class Row:
    """One picture (of any kind and size; see `transforms`) and its captions, if it has any."""

    image: Picture
    texts: list[str]


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
        return Row(draw_scene(scene, *self.settings.height_width), self._captions(scene, row))

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


def open_source(
    settings: DataSettings, split: str | None = None, need_text: bool = True, seed: int = 0
) -> Source:
    """Opens a split (`settings.split` where none is given).

    Without `need_text` captions are not read and rows without any are fine. `seed` chooses among
    the endless `scenes`; other sources have no use for it.

    Raises:
        UserError: the source, the split or a column does not exist.
    """
    split = split or settings.split
    if settings.source == "scenes":
        unknown = [column for column in settings.text_columns if column not in SCENE_LANGUAGES]
        if need_text and unknown:
            raise UserError(
                f"data source scenes has no column {unknown[0]!r}; it has text and text_zh."
            )
        languages = [SCENE_LANGUAGES[c] for c in settings.text_columns] if need_text else []
        return ScenesSource(settings, split, languages, seed)
    # Only here, because importing datasets takes longer than drawing a thousand scenes.
    from pipelines.data.tables import open_table

    return open_table(settings, split, need_text)


def open_training_sources(
    settings: DataSettings, need_text: bool = True, seed: int = 0
) -> tuple[Source, Source]:
    """Opens what a run trains on and what it validates on (see `DataSettings`).

    Rows kept for validation are chosen by lot, the same whatever the seed. A source of fewer than
    ten rows is too small to divide: it is validated on its training rows.
    """
    train = open_source(settings, None, need_text, seed)
    split = "validation" if settings.source == "scenes" else None
    if settings.validation_split:
        _refuse_one_table(settings)
    if split := settings.validation_split or split:
        return train, open_source(settings, split, need_text, seed)
    assert train.length is not None
    kept = min(settings.validation_rows, train.length // 10)
    if kept == 0:
        return train, train
    order = np.random.default_rng(0).permutation(train.length)
    return Subset(train, np.sort(order[kept:])), Subset(train, np.sort(order[:kept]))


def _refuse_one_table(settings: DataSettings) -> None:
    """A single table is whichever split is asked for: validation would be on training rows."""
    path = Path(settings.source)
    if path.is_file() or (
        (path / "dataset_info.json").is_file() and not (path / "dataset_dict.json").is_file()
    ):
        raise UserError(
            f"data.validation_split is {settings.validation_split}, but {path} is one table "
            "without splits; set it to null, and data.validation_rows are kept from training."
        )


def captions_for_vocabulary(source: Source) -> Iterator[str]:
    """The captions that a text tokenizer is trained on: of the first rows, as many as suffice."""
    rows = SCENES_FOR_VOCABULARY if source.length is None else source.length
    for row in range(min(rows, ROWS_FOR_VOCABULARY)):
        try:
            yield from source.texts(row)
        except UnreadableRow:
            continue
