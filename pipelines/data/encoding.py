"""Writes the ids of a piece of a source into a file that is whole or not there."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow
import pyarrow.parquet
from einops import rearrange

from pipelines.data.batches import ReadingCounts
from pipelines.data.encoded import ID_TYPE, cells_of, shard_schema
from pipelines.data.encoded_index import EncodedIndex
from pipelines.data.pieces import Pieces
from pipelines.data.reading_ahead import looking_ahead
from pipelines.data.sources import Row, UnreadableRow
from pipelines.data.transforms import CENTER, to_array
from pipelines.training.storage import replace_file

ROWS_IN_A_GROUP = 1000
Item = TypeVar("Item")
EncodePictures = Callable[[np.ndarray], np.ndarray]
"""uint8 [n, height, width, 3] -> ids [n, h, w]."""


@dataclass(frozen=True)
class PictureEncoder:
    """Reads pictures in threads, while those before them are encoded.

    Args:
        encode: the tokenizer's part.
        index: size, crops and texts.
        batch_size: crops that are encoded together (at least those of one picture).
        threads: that decode pictures.
    """

    encode: EncodePictures
    index: EncodedIndex
    batch_size: int
    threads: Executor

    def write(
        self, pieces: Pieces, piece: int, file: Path, advance: Callable[[int], Any]
    ) -> ReadingCounts:
        """Encodes a piece into `file`; tells `advance` of every so many rows read."""
        counts = ReadingCounts()
        schema = shard_schema(self.index.columns)

        def write(path: Path) -> None:
            with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
                encoded = self._encoded(pieces, piece, counts, advance)
                for group in in_groups(encoded, ROWS_IN_A_GROUP):
                    writer.write_table(pyarrow.Table.from_pylist(group, schema))

        replace_file(file, write)
        return counts

    def _encoded(
        self, pieces: Pieces, piece: int, counts: ReadingCounts, advance: Callable[[int], Any]
    ) -> Iterator[dict[str, Any]]:
        """A row of the file for each row that can be read."""
        at_once = max(1, self.batch_size // self.index.crops)
        batches = in_groups(pieces.items(piece), at_once)
        read = ([self.threads.submit(self._read, pieces, item) for item in b] for b in batches)
        for batch in looking_ahead(read):
            rows = [row for row in (self._result(found, counts) for found in batch) if row]
            if rows:
                crops = np.stack(list(chain.from_iterable(crops for _, crops in rows)))
                ids = self.encode(crops).astype(ID_TYPE)
                each = rearrange(ids, "(n crops) h w -> n (crops h w)", crops=self.index.crops)
                for (row, _), of_row in zip(rows, each, strict=True):
                    texts = cells_of(row.texts, self.index.columns)
                    yield {"row": list(row.place), "ids": of_row, **texts}
            advance(len(batch))

    def _read(self, pieces: Pieces, item: Any) -> tuple[Row, list[np.ndarray]]:
        """A row with the crops of its picture."""
        row, index = pieces.read(item), self.index
        assert row.image is not None
        others = [index.cropping.choose(index.seed, n, row.place) for n in range(1, index.crops)]
        return row, [to_array(row.image, index.size, crop) for crop in (CENTER, *others)]

    def _result(
        self, found: "Future[tuple[Row, list[np.ndarray]]]", counts: ReadingCounts
    ) -> tuple[Row, list[np.ndarray]] | None:
        counts.rows += 1
        try:
            return found.result()
        except UnreadableRow as error:
            counts.unreadable += 1
            counts.reasons[str(error)] = None
            return None


def in_groups(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items, the last one shorter."""
    iterator = iter(items)
    while group := list(islice(iterator, size)):
        yield group
