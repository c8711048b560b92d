"""A source in pieces that are read independently of each other, each once."""

from collections.abc import Iterator
from typing import Any, Protocol

from pipelines.command_line import UserError
from pipelines.data.opening import open_source, open_stream_of
from pipelines.data.settings import DataSettings, Wanted
from pipelines.data.sources import Row
from pipelines.data.tables import Stream


class Pieces(Protocol):
    """What `items` gives is cheap; `read` decodes it, in any thread, or raises `UnreadableRow`."""

    @property
    def count(self) -> int: ...

    @property
    def rows(self) -> int | None:
        """In all, where that is known."""

    def items(self, piece: int) -> Iterator[Any]: ...

    def read(self, item: Any) -> Row: ...


class TablePieces:
    """So many rows in a piece."""

    def __init__(
        self, settings: DataSettings, wanted: Wanted, rows: int | None, in_piece: int, seed: int
    ) -> None:
        self.source = open_source(settings, None, wanted, seed)
        lengths = [number for number in (self.source.length, rows) if number is not None]
        if not lengths:
            raise UserError("data source scenes never ends; say how many to encode with --rows.")
        self.rows: int | None = min(lengths)
        self.in_piece = in_piece
        self.count = -(-min(lengths) // in_piece)

    def items(self, piece: int) -> Iterator[int]:
        assert self.rows is not None
        yield from range(piece * self.in_piece, min((piece + 1) * self.in_piece, self.rows))

    def read(self, item: int) -> Row:
        return self.source[item]


class StreamPieces:
    """The shards of a stream."""

    rows: int | None = None

    def __init__(self, stream: Stream) -> None:
        self.stream, self.count = stream, stream.shards

    def items(self, piece: int) -> Iterator[Any]:
        for number, cells in self.stream.read(piece):
            yield piece, number, cells

    def read(self, item: Any) -> Row:
        return self.stream.row(*item)


def open_pieces(
    settings: DataSettings, wanted: Wanted, rows: int | None, in_piece: int, seed: int
) -> Pieces:
    """Opens `settings.split` of one source.

    Args:
        rows: the first so many; None takes all.
        in_piece: rows in a piece; a stream's are its shards.

    Raises:
        UserError: as `open_source`; or the rows of a stream are to be counted, or those of `scenes`
            are not.
    """
    stream = open_stream_of(settings, settings.split, wanted)
    if stream is None:
        return TablePieces(settings, wanted, rows, in_piece, seed)
    if rows is not None:
        raise UserError("a stream's rows are not counted in advance; leave --rows out.")
    return StreamPieces(stream)
