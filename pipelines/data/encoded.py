"""Ids of pictures, computed once (`encode_images.py`): how they lie on the disk, and reading them.

encoded.json                    how they were made, and the fingerprint of the tokenizer
SPLIT-00000-of-00012.parquet    one row a picture: `row` (its place in the source), `ids` (of
                                all its crops, one after the other), a column per column of texts
"""

from pathlib import Path

import datasets
import numpy as np
import pyarrow
from einops import rearrange

from pipelines.command_line import UserError, in_short
from pipelines.data.columns import TableColumns
from pipelines.data.encoded_index import EncodedIndex
from pipelines.data.settings import DataSettings, TextColumns, Wanted
from pipelines.data.sources import Row, Texts
from pipelines.data.tables import LOADING_ERRORS

ID_TYPE = np.uint32


def shard_name(split: str, number: int, shards: int) -> str:
    return f"{split}-{number:05d}-of-{shards:05d}.parquet"


def shard_schema(columns: TextColumns) -> pyarrow.Schema:
    integers = pyarrow.list_(pyarrow.int64())
    texts = [(name, pyarrow.list_(pyarrow.string())) for name in columns.names]
    return pyarrow.schema(
        [("row", integers), ("ids", pyarrow.list_(pyarrow.from_numpy_dtype(ID_TYPE))), *texts]
    )


class EncodedSource:
    """Rows of ids; `Row.place` is the picture's in the source that was encoded."""

    def __init__(self, table: datasets.Dataset, index: EncodedIndex, columns: TableColumns) -> None:
        self.length: int = len(table)
        self.index, self.columns = index, columns
        self._ids = table.select_columns(["row", "ids"]).with_format("numpy")
        self._texts = table.select_columns(list(columns.written)) if columns.written else None

    def __getitem__(self, row: int) -> Row:
        cells = self._ids[row]
        height, width = self.index.grid
        ids = rearrange(cells["ids"], "(n h w) -> n h w", n=self.index.crops, h=height, w=width)
        return Row(tuple(cells["row"].tolist()), None, self.texts(row), ids)

    def texts(self, row: int) -> Texts:
        return Texts() if self._texts is None else self.columns.texts(self._texts[row])


def cells_of(texts: Texts, columns: TextColumns) -> dict[str, list[str]]:
    """What a row's columns of texts hold: of questions and answers as many each."""
    cells = {name: texts.captions.get(name, []) for name in columns.captions}
    for question, answer in columns.questions:
        pairs = texts.questions.get(question, [])
        cells |= {question: [pair.question for pair in pairs]}
        cells |= {answer: [pair.answer for pair in pairs]}
    return cells


def open_encoded(
    folder: Path, index: EncodedIndex, settings: DataSettings, split: str, wanted: Wanted
) -> EncodedSource:
    """Opens a split of a folder of ids.

    Raises:
        UserError: it is not there, not complete, or lacks a column.
    """
    columns = settings.text_columns(wanted)
    for what, asked, known in (
        ("captions", columns.captions, index.columns.captions),
        ("questions", columns.questions, index.columns.questions),
        ("attributes", columns.attributes, index.columns.attributes),
    ):
        for name in asked:
            if name not in known:
                kept = ", ".join(map(in_words, known)) or "none"
                raise UserError(
                    f"data source {folder} has no {what} {in_words(name)}; it was encoded with "
                    f"{kept}."
                )
    files = sorted(folder.glob(f"{split}-?????-of-?????.parquet"))
    if not files:
        raise UserError(f"data source {folder} has no split {split!r}; encode it first.")
    shards = int(files[0].stem[-5:])
    if len(files) != shards:
        raise UserError(
            f"data source {folder} has {len(files)} of the {shards} files of its split {split!r}; "
            "start the encode_images.py that writes it again, which goes on where it stopped."
        )
    try:
        table = datasets.load_dataset(
            "parquet", data_files={split: [str(file) for file in files]}, split=split
        )
    except LOADING_ERRORS as error:
        raise UserError(f"data source {folder} cannot be read ({in_short(error)}).") from error
    if not len(table):
        raise UserError(f"data source {folder} has no rows in its split {split!r}.")
    return EncodedSource(table, index, TableColumns("", columns))


def in_words(column: str | tuple[str, str]) -> str:
    """A column, or one of questions with that of its answers."""
    return repr(column) if isinstance(column, str) else " with ".join(map(repr, column))
