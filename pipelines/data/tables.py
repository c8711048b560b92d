"""Rows of `datasets`: of a table, by number, and of a stream, shard by shard."""

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager

import datasets
import pyarrow
import pyarrow.compute

from pipelines.command_line import UserError, in_short
from pipelines.data.columns import Cells, Columns
from pipelines.data.sources import Row, Texts, UnreadableRow

# Whatever datasets, pyarrow and the hub raise about files and answers they cannot make sense of.
LOADING_ERRORS = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    tarfile.TarError,
    pyarrow.ArrowException,
    datasets.exceptions.DatasetsError,
)

READ_AT_ONCE = 16


class TableSource:
    """Rows of a `datasets` table; pictures are decoded here, so that a bad one costs one row."""

    def __init__(self, table: datasets.Dataset, columns: Columns) -> None:
        self.length: int = len(table)
        self.columns = columns
        self._pictures = table.select_columns(list(columns.pictures))
        self._texts = table.select_columns(list(columns.written)) if columns.written else None

    def __getitem__(self, row: int) -> Row:
        texts = self.texts(row)
        with naming(f"row {row}"):
            return Row((row,), self.columns.picture(self._pictures[row]), texts)

    def files(self) -> list[str]:
        """The pictures', by their paths as the table has them, empty where they have none; without
        reading the pictures."""
        files = [""] * self.length
        for column in self.columns.pictures:
            paths = pyarrow.compute.struct_field(self._pictures.data.column(column), "path")
            for row, path in enumerate(paths.to_pylist()):
                files[row] = files[row] or path or ""
        return files

    def texts(self, row: int) -> Texts:
        if self._texts is None:
            return Texts()
        with naming(f"row {row}"):
            return self.columns.texts(self._texts[row])


class Stream:
    """Rows of a `datasets` stream, by the shard that they come in."""

    def __init__(self, table: datasets.IterableDataset, columns: Columns, name: str) -> None:
        self.columns, self.name = columns, name
        self._table = table.select_columns([*columns.pictures, *columns.written])
        self.shards: int = table.num_shards

    def read(self, shard: int, start: int = 0) -> Iterator[tuple[int, Cells]]:
        """The undecoded rows of a shard from row `start` on, with their numbers.

        Raises:
            UserError: the shard cannot be read on.
        """
        return self._read(self._table, shard, start)

    def _read(
        self, table: datasets.IterableDataset, shard: int, start: int
    ) -> Iterator[tuple[int, Cells]]:
        number = start
        try:
            # Not row by row: that is slower, and `datasets` would divide them among our workers.
            for batch in table.shard(self.shards, shard).skip(start).iter(READ_AT_ONCE):
                for cells in zip(*batch.values(), strict=True):
                    yield number, dict(zip(batch, cells, strict=True))
                    number += 1
        except LOADING_ERRORS as error:
            raise UserError(
                f"shard {shard} of data source {self.name} cannot be read from its row {number} on "
                f"({in_short(error)}); mend or remove it."
            ) from error

    def row(self, shard: int, number: int, cells: Cells) -> Row:
        """Decodes; raises UnreadableRow."""
        with naming(f"row {number} of shard {shard}"):
            texts = self.columns.texts(cells)
            return Row((shard, number), self.columns.picture(cells), texts)

    def texts(self, shard: int) -> Iterator[Texts]:
        """Those of a shard's rows, without their pictures."""
        texts = self._table.select_columns(list(self.columns.written))
        for _, cells in self._read(texts, shard, 0):
            try:
                yield self.columns.texts(cells)
            except UnreadableRow:
                continue


@contextmanager
def naming(row: str) -> Iterator[None]:
    """Puts the name of a row before what is wrong with it."""
    try:
        yield
    except UnreadableRow as error:
        raise UnreadableRow(f"{row} {error}") from error
