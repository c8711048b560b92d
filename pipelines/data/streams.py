"""Streams in an order that can be replayed: shuffled, resumable, the same in every process.

A stream gives its rows in the order in which they lie in its shards. An epoch goes through the
shards in an order of its own, and within each stretch of so many rows (a window) through the rows
in an order of its own. So a sample's number says which row it is, as it does for a table: together
the processes and workers of a run read each row of an epoch once, whatever their number. Each of
them passes over all rows and decodes its own; which costs little while decoding costs far more, and
is why pictures for the second stage are better encoded first (`encode_images.py`), where processes
take shards of their own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from pipelines.command_line import UserError
from pipelines.data.columns import Cells
from pipelines.data.orders import Bookmark, Sample
from pipelines.data.sources import Row, Texts
from pipelines.data.tables import Stream

UndecodedRow = tuple[int, int, Cells]
"""Shard, number in the shard, cells."""


class Window:
    """Some rows of a stream in memory, undecoded; a source."""

    def __init__(self, stream: Stream, rows: Sequence[UndecodedRow]) -> None:
        self.stream, self.rows = stream, rows

    @property
    def length(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> Row:
        return self.stream.row(*self.rows[row])

    def texts(self, row: int) -> Texts:
        return self.stream.columns.texts(self.rows[row][2])


@dataclass(frozen=True)
class Place:
    """Where a window begins: in which epoch, at which shard of its order, at which row of that;
    and the number of its first sample."""

    epoch: int = 0
    turn: int = 0
    row: int = 0
    number: int = 0


BEGINNING = Place()


class StreamOrder:
    """The samples of a stream.

    Args:
        window: rows that are shuffled together.
        held_out: how many rows at the beginning of a shard are never read, by shard.
        start: where a window begins.
    """

    def __init__(
        self,
        stream: Stream,
        seed: int,
        window: int,
        held_out: dict[int, int] | None = None,
        start: Place = BEGINNING,
    ) -> None:
        self.stream, self.seed, self.window = stream, seed, window
        self.held_out = held_out or {}
        self._stand_at(start)

    def _stand_at(self, place: Place) -> None:
        """Before anything is read."""
        self._start = place
        self._next = place
        self._rows: Iterator[tuple[int, UndecodedRow]] | None = None
        self._current: Window | None = None
        self._permutation = np.empty(0, int)

    def __reduce__(self) -> tuple[Any, ...]:
        # What is being read stays behind; the copy finds its own way from the same place.
        return StreamOrder, (self.stream, self.seed, self.window, self.held_out, self._start)

    def __getitem__(self, number: int) -> Sample:
        if number < self._start.number:
            self._stand_at(BEGINNING)
        while self._current is None or number >= self._start.number + self._current.length:
            self._read_window()
        row = int(self._permutation[number - self._start.number])
        return Sample(self._current, self._start.epoch, row)

    def _read_window(self) -> None:
        start = self._next
        if self._rows is None:
            self._rows = self._rows_from(start)
        found = list(islice(self._rows, self.window))
        if not found:
            if (start.turn, start.row) == (0, 0):
                raise UserError(
                    f"data source {self.stream.name} has no rows to train on beside the "
                    "data.validation_rows that are kept from training; lower that number, or name "
                    "a data.validation_split."
                )
            self._stand_at(Place(start.epoch + 1, number=start.number))
            return
        turn, (_, last, _) = found[-1]
        self._start = start
        self._next = replace(start, turn=turn, row=last + 1, number=start.number + len(found))
        self._current = Window(self.stream, [row for _, row in found])
        rng = np.random.default_rng((self.seed, start.epoch, start.turn, start.row))
        self._permutation = rng.permutation(len(found))

    def _rows_from(self, place: Place) -> Iterator[tuple[int, UndecodedRow]]:
        """The rest of an epoch, each row with the turn of its shard."""
        shards = np.random.default_rng((self.seed, place.epoch)).permutation(self.stream.shards)
        for turn in range(place.turn, len(shards)):
            shard = int(shards[turn])
            reached = place.row if turn == place.turn else 0
            first = max(reached, self.held_out.get(shard, 0))
            for number, cells in self.stream.read(shard, first):
                yield turn, (shard, number, cells)

    @property
    def bookmark(self) -> Bookmark:
        """The window of the sample that was asked for last."""
        made_for = {"shards": self.stream.shards, "window": self.window}
        return {"place": asdict(self._start), **made_for}

    def go_to(self, bookmark: Bookmark) -> str:
        now = self.bookmark
        for name, what in (("shards", "shards"), ("window", "rows in data.shuffle_window")):
            if bookmark.get(name) != now[name]:
                raise UserError(
                    f"data source {self.stream.name} has {now[name]} {what}, and had "
                    f"{bookmark.get(name)} when the run was saved, from which the order of the "
                    "data follows; resume with the same."
                )
        self._stand_at(Place(**bookmark["place"]))
        return ""


def hold_out(stream: Stream, rows: int) -> tuple[Window, dict[int, int]]:
    """The first rows of a stream, to validate on, and how many they are of each shard.

    Raises:
        UserError: there are not as many.
    """
    found = list(islice(all_rows(stream), rows))
    if len(found) < rows:
        raise UserError(
            f"data source {stream.name} has {len(found)} rows, and data.validation_rows={rows} are "
            "to be kept from training; lower that number, or name a data.validation_split."
        )
    counts: dict[int, int] = {}
    for shard, number, _ in found:
        counts[shard] = number + 1
    return Window(stream, found), counts


def all_rows(stream: Stream) -> Iterator[UndecodedRow]:
    """In the order in which they lie."""
    for shard in range(stream.shards):
        for number, cells in stream.read(shard):
            yield shard, number, cells
