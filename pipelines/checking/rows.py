"""The rows that a run reads, each once: those it trains on and those it validates on."""

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from PIL import Image

from pipelines.checking.subject import Subject
from pipelines.data.encoding import in_groups
from pipelines.data.orders import MixedOrder, Mixture, Order, RowOrder
from pipelines.data.reading_ahead import looking_ahead
from pipelines.data.sources import KeptPictures, Row, Source, Subset, Texts, UnreadableRow
from pipelines.data.streams import StreamOrder, Window
from pipelines.data.tables import Stream, TableSource
from pipelines.data.transforms import Picture, to_array

Place = tuple[int, ...]
"""A row's number; in a stream its shard's and its own."""
Role = Literal["training", "validation"]
ROWS_AT_ONCE = 64


@dataclass(frozen=True)
class SeenPicture:
    """width, height: as it is stored. digest: of its pixels. pixels: uint8 [h, w, 3], its center as
    a model sees it."""

    width: int
    height: int
    digest: bytes
    pixels: np.ndarray


@dataclass(frozen=True)
class Seen:
    """A row that can be read; `picture` is None where it was encoded before."""

    place: Place
    texts: Texts
    picture: SeenPicture | None


@dataclass(frozen=True)
class Unreadable:
    """One that cannot, and why."""

    place: Place
    reason: str


class Rows(Protocol):
    """What `items` gives is cheap; `read` decodes it, in any thread, or raises `UnreadableRow`.

    count: how many, where that is known. endless: whether they never end. table: whose row numbers
        they bear.
    """

    @property
    def count(self) -> int | None: ...

    @property
    def endless(self) -> bool: ...

    @property
    def table(self) -> Source | None: ...

    def items(self) -> Iterator[Any]: ...

    def place(self, item: Any) -> Place: ...

    def read(self, item: Any) -> Row: ...


class TableRows:
    """Those of a source, by number."""

    def __init__(self, source: Source) -> None:
        # Kept pictures are cut to their size already.
        self.source = source.source if isinstance(source, KeptPictures) else source
        self.count = self.source.length
        self.endless = self.count is None
        self.table = self.source.source if isinstance(self.source, Subset) else self.source

    def items(self) -> Iterator[int]:
        yield from itertools.count() if self.count is None else range(self.count)

    def place(self, item: int) -> Place:
        if isinstance(self.source, Window):
            return self.source.rows[item][:2]
        return (int(self.source.rows[item]) if isinstance(self.source, Subset) else item,)

    def read(self, item: int) -> Row:
        return self.source[item]


class StreamRows:
    """Those of an epoch of a stream, as they lie."""

    count, endless, table = None, False, None

    def __init__(self, stream: Stream, held_out: dict[int, int]) -> None:
        self.stream, self.held_out = stream, held_out

    def items(self) -> Iterator[tuple[int, int, Any]]:
        for shard in range(self.stream.shards):
            for number, cells in self.stream.read(shard, self.held_out.get(shard, 0)):
                yield shard, number, cells

    def place(self, item: tuple[int, int, Any]) -> Place:
        return item[:2]

    def read(self, item: tuple[int, int, Any]) -> Row:
        return self.stream.row(*item)


@dataclass(frozen=True)
class Part:
    """Rows of one source that have one role.

    source: its name. split: that is trained on. weight: how often a sample comes from it. only:
        whether there is no other source.
    """

    role: Role
    source: str
    split: str
    weight: float
    only: bool
    rows: Rows

    @cached_property
    def files(self) -> list[str]:
        """The pictures', by row, where they are files of their own or have names."""
        table = self.rows.table
        return table.files() if isinstance(table, TableSource) else []

    def name(self, place: Place) -> str:
        """What a person finds the row by."""
        name = _number(place)
        if len(place) == 1 and place[0] < len(self.files) and (file := self.files[place[0]]):
            name += f" ({_below(file, self.source)})"
        return name if self.only else f"{name} of {self.source}"

    def reason(self, place: Place, message: str) -> str:
        """What is wrong with a row, without its name: what follows it in `UnreadableRow`."""
        reason = message.removeprefix(_number(place)).strip().removeprefix("cannot be used: ")
        file = self.files[place[0]] if self.files and len(place) == 1 else ""
        return reason.removeprefix(file).strip().removeprefix("the image ")

    def look(
        self, size: tuple[int, int], most: int | None, threads: Executor, advance: Callable[[], Any]
    ) -> Iterator[Seen | Unreadable]:
        """All rows, or the first `most`; tells `advance` of each."""
        batches = in_groups(itertools.islice(self.rows.items(), most), ROWS_AT_ONCE)
        at_work = ([threads.submit(self._look_at, i, size) for i in batch] for batch in batches)
        for batch in looking_ahead(at_work):
            for found in batch:
                yield found.result()
                advance()

    def _look_at(self, item: Any, size: tuple[int, int]) -> Seen | Unreadable:
        place = self.rows.place(item)
        try:
            row = self.rows.read(item)
        except UnreadableRow as error:
            return Unreadable(place, self.reason(place, str(error)))
        return Seen(place, row.texts, None if row.image is None else _look_at(row.image, size))


def _number(place: Place) -> str:
    """As unreadable rows are named."""
    return f"row {place[0]}" if len(place) == 1 else f"row {place[1]} of shard {place[0]}"


def _below(file: str, source: str) -> str:
    """The file's path from its folder on."""
    path, folder = Path(file), Path(source).expanduser()
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else file


def _look_at(picture: Picture, size: tuple[int, int]) -> SeenPicture:
    image = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    digest = blake2b(image.tobytes(), digest_size=8, person=f"{image.width}".encode()).digest()
    return SeenPicture(image.width, image.height, digest, to_array(image, size))


def parts_of(subject: Subject) -> list[Part]:
    """Training's first. A source too small to divide is validated on what it is trained on, and has
    one part."""
    settings, weights = subject.data.sources(), subject.data.weights
    order, validation = subject.order, subject.validation
    orders = order.orders if isinstance(order, MixedOrder) else [order]
    others = validation.sources if isinstance(validation, Mixture) else [validation]
    parts = []
    for one, weight, trained_on in zip(settings, weights, orders, strict=True):
        only, rows = len(settings) == 1, _rows_of(trained_on)
        parts.append(Part("training", one.source, one.split, weight, only, rows))
    for part, other in zip(list(parts), others, strict=True):
        kept = TableRows(other)
        if not (isinstance(part.rows, TableRows) and part.rows.source is kept.source):
            parts.append(replace(part, role="validation", rows=kept))
    return parts


def _rows_of(order: Order) -> Rows:
    if isinstance(order, StreamOrder):
        return StreamRows(order.stream, order.held_out)
    assert isinstance(order, RowOrder)
    return TableRows(order.source)
