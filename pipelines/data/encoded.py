"""Ids of pictures, computed once (`encode_images.py`): how they lie on the disk, and reading them.

encoded.json                    how they were made, and the fingerprint of the tokenizer
SPLIT-00000-of-00012.parquet    one row a picture: `row` (its place in the source), `ids` (of
                                all its crops, one after the other), a column per caption column
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import datasets
import numpy as np
import pyarrow
from einops import rearrange

from pipelines.command_line import UserError, in_short
from pipelines.data.columns import TableColumns
from pipelines.data.settings import DataSettings
from pipelines.data.sources import Captions, Row
from pipelines.data.tables import LOADING_ERRORS
from vq import VQGAN

INDEX = "encoded.json"
FORMAT_VERSION = 1
ID_TYPE = np.uint32


@dataclass(frozen=True)
class EncodedIndex:
    """How a folder of ids was made.

    tokenizer: the fingerprint of what turns pixels into ids.
    size, grid: (height, width) of the pictures and of their ids.
    crops: of each picture, the first in its center, the others at random as `random_crop` and
        `random_flip` (of `DataSettings`) say, from `seed`.
    text_columns: the captions that are kept.
    """

    tokenizer: str
    size: tuple[int, int]
    grid: tuple[int, int]
    crops: int
    random_crop: float | None
    random_flip: bool
    seed: int
    source: str
    text_columns: tuple[str, ...]
    format_version: int = FORMAT_VERSION

    def write(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    def refuse_other_ids(self, tokenizer: str, data: DataSettings) -> None:
        """Raises:
        UserError: they are not what a run with this tokenizer and these settings computes.
        """
        folder, size = data.source, data.height_width
        if self.tokenizer != tokenizer:
            raise UserError(
                f"data source {folder} holds ids of another tokenizer than the run's; train with "
                "the tokenizer that made them, or encode the pictures again (encode_images.py)."
            )
        if self.size != size:
            raise UserError(
                f"data source {folder} holds ids of pictures of {self.size[0]} x {self.size[1]} "
                f"pixels, and data.size is {size[0]} x {size[1]}; give it the same."
            )
        if data.random_crop is not None or data.random_flip:
            raise UserError(
                f"data source {folder} holds ids of {self.crops} crop{'s' * (self.crops > 1)} of "
                "each picture, chosen when they were encoded; set data.random_crop=null and "
                "data.random_flip=false."
            )


def read_index(folder: Path) -> EncodedIndex | None:
    """The index of a folder of ids; None where it is no such folder.

    Raises:
        UserError: it is damaged, or of another version.
    """
    file = folder / INDEX
    if not file.is_file():
        return None
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        version = stored["format_version"]
        if version != FORMAT_VERSION:
            raise UserError(
                f"{file} has format {version}, and this version reads {FORMAT_VERSION}; encode the "
                "pictures again (encode_images.py)."
            )
        names = [field.name for field in fields(EncodedIndex)]
        lists = {name: tuple(stored[name]) for name in ("size", "grid", "text_columns")}
        return EncodedIndex(**{name: stored[name] for name in names} | lists)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{file} is damaged ({in_short(error)}); encode the pictures again (encode_images.py)."
        ) from error


def tokenizer_fingerprint(tokenizer: VQGAN) -> str:
    """Names what turns pixels into ids: configuration, encoder and codebook, without the decoder,
    which may be trained on."""
    digest = hashlib.sha256(json.dumps(asdict(tokenizer.config), sort_keys=True).encode())
    idle = {f"quantizer.{name}" for name in tokenizer.quantizer.TRAINING_BUFFERS}
    for name, tensor in sorted(tokenizer.state_dict().items()):
        if not name.startswith("decoder.") and name not in idle:
            array = tensor.detach().cpu().contiguous().numpy()
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()


AcceptIds = Callable[[EncodedIndex, DataSettings], None]
"""Raises UserError where the ids of a source are not what is wanted."""


def refuse_ids(index: EncodedIndex, data: DataSettings) -> None:
    """For whoever needs pictures."""
    raise UserError(
        f"data source {data.source} holds ids that encode_images.py computed, and the pictures "
        "themselves are needed here; name their source."
    )


def shard_name(split: str, number: int, shards: int) -> str:
    return f"{split}-{number:05d}-of-{shards:05d}.parquet"


def shard_schema(text_columns: tuple[str, ...]) -> pyarrow.Schema:
    integers = pyarrow.list_(pyarrow.int64())
    texts = [(name, pyarrow.list_(pyarrow.string())) for name in text_columns]
    return pyarrow.schema(
        [("row", integers), ("ids", pyarrow.list_(pyarrow.from_numpy_dtype(ID_TYPE))), *texts]
    )


class EncodedSource:
    """Rows of ids; `Row.place` is the picture's in the source that was encoded."""

    def __init__(self, table: datasets.Dataset, index: EncodedIndex, columns: TableColumns) -> None:
        self.length: int = len(table)
        self.index, self.columns = index, columns
        self._ids = table.select_columns(["row", "ids"]).with_format("numpy")
        self._texts = table.select_columns(list(columns.texts)) if columns.texts else None

    def __getitem__(self, row: int) -> Row:
        cells = self._ids[row]
        height, width = self.index.grid
        ids = rearrange(cells["ids"], "(n h w) -> n h w", n=self.index.crops, h=height, w=width)
        return Row(tuple(cells["row"].tolist()), None, self.captions(row), ids)

    def captions(self, row: int) -> Captions:
        return {} if self._texts is None else self.columns.captions(self._texts[row])


def open_encoded(
    folder: Path, index: EncodedIndex, settings: DataSettings, split: str, need_text: bool
) -> EncodedSource:
    """Opens a split of a folder of ids.

    Raises:
        UserError: it is not there, not complete, or lacks a column.
    """
    names = tuple(settings.text_columns) if need_text else ()
    for name in names:
        if name not in index.text_columns:
            raise UserError(
                f"data source {folder} has no captions {name!r}; it was encoded with "
                f"{', '.join(index.text_columns) or 'none'}."
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
    return EncodedSource(table, index, TableColumns("", names))
