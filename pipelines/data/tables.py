"""Finite sources, all of them `datasets` tables: hub, parquet, arrow, folders of pictures."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import pyarrow
from PIL import Image

from pipelines.command_line import UserError
from pipelines.data.locations import local_path
from pipelines.data.settings import DataSettings
from pipelines.data.sources import Row, UnreadableRow
from pipelines.data.transforms import read_image

TABLE_FORMATS = {".parquet": "parquet", ".arrow": "arrow"}
# Whatever datasets, pyarrow and the hub raise about files and answers they cannot make sense of.
LOADING_ERRORS = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    pyarrow.ArrowException,
    datasets.exceptions.DatasetsError,
)


class TableSource:
    """Rows of a `datasets` table; pictures are decoded here, so that a bad one costs one row."""

    def __init__(self, table: datasets.Dataset, image_column: str, text_columns: list[str]) -> None:
        self.length: int = len(table)
        self.need_text = bool(text_columns)
        undecoded = table.cast_column(image_column, datasets.Image(decode=False))
        self._images = undecoded.select_columns([image_column])
        self._texts = table.select_columns(text_columns) if text_columns else None

    def __getitem__(self, row: int) -> Row:
        texts = self.texts(row)
        (stored,) = self._images[row].values()
        return Row(_decode(stored, row), texts)

    def texts(self, row: int) -> list[str]:
        if self._texts is None:
            return []
        texts = []
        for cell in self._texts[row].values():
            texts += [text for text in (cell if isinstance(cell, list) else [cell]) if text]
        if not any(text.strip() for text in texts):
            raise UnreadableRow(f"row {row} has no caption (in UTF-8)")
        return [text for text in texts if text.strip()]


def _decode(stored: dict[str, Any] | None, row: int) -> Image.Image:
    if stored is None or (stored["bytes"] is None and stored["path"] is None):
        raise UnreadableRow(f"row {row} has no picture")
    try:
        return read_image(stored["bytes"] if stored["bytes"] is not None else stored["path"])
    except UserError as error:
        raise UnreadableRow(f"row {row}: {str(error).rstrip('.')}") from error


def open_table(settings: DataSettings, split: str, need_text: bool) -> TableSource:
    """Opens a hub data set, a parquet or arrow file or folder, or a folder of pictures.

    Raises:
        UserError: the source, the split or a column does not exist, or cannot be read.
    """
    columns = settings.text_columns if need_text else []
    path = local_path(settings.source, "data source")
    table = _read(path, split, columns, settings)
    if not len(table):
        raise UserError(f"data source {settings.source} has no rows in its split {split!r}.")
    for column in [settings.image_column, *columns]:
        if column not in table.column_names:
            known = ", ".join(table.column_names)
            raise UserError(
                f"data source {settings.source} has no column {column!r}; it has {known} "
                "(data.image_column and data.text_column choose)."
            )
    for column in columns:
        if not _is_text(table.features[column]):
            raise UserError(f"column {column!r} of {settings.source} does not hold captions.")
    try:
        return TableSource(table, settings.image_column, columns)
    except LOADING_ERRORS as error:
        raise UserError(
            f"column {settings.image_column!r} of {settings.source} does not hold pictures."
        ) from error


def _read(
    path: Path | None, split: str, columns: list[str], settings: DataSettings
) -> datasets.Dataset:
    if path is None:
        load = partial(datasets.load_dataset, settings.source)
    elif path.is_file():
        if path.suffix not in TABLE_FORMATS:
            raise UserError(
                f"data source {path} is neither a folder nor a parquet or arrow file; give one."
            )
        # A single file is whichever split is asked for.
        files = {split: str(path)}
        load = partial(datasets.load_dataset, TABLE_FORMATS[path.suffix], data_files=files)
    elif (path / "dataset_info.json").is_file() or (path / "dataset_dict.json").is_file():
        load = partial(datasets.load_from_disk, str(path))
    elif kinds := [kind for suffix, kind in TABLE_FORMATS.items() if any(path.rglob(f"*{suffix}"))]:
        load = partial(datasets.load_dataset, kinds[0], data_dir=str(path))
    else:
        return _read_pictures(path, split, columns, settings.image_column)
    try:
        splits = load()
    except LOADING_ERRORS as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"data source {settings.source} cannot be read ({reason}).") from error
    if isinstance(splits, datasets.Dataset):
        return splits
    if split not in splits:
        raise UserError(
            f"data source {settings.source} has no split {split!r}; it has {', '.join(splits)}."
        )
    return splits[split]


def _read_pictures(
    folder: Path, split: str, columns: list[str], image_column: str
) -> datasets.Dataset:
    """A folder of pictures, or of one such folder per split.

    Captions are the columns of `metadata.jsonl` (`file_name` names the picture), else the lines of
    the `.txt` file beside each picture.
    """
    if (folder / split).is_dir():
        folder = folder / split
    elif split != "train":
        raise UserError(f"data source {folder} has no split {split!r} (a folder of that name).")
    metadata = folder / "metadata.jsonl"
    if metadata.is_file():
        rows = _read_metadata(metadata)
        paths = [str(folder / row["file_name"]) for row in rows]
        known = {name for row in rows for name in row}
        texts = {c: [_as_list(row.get(c)) for row in rows] for c in columns if c in known}
    else:
        Image.init()
        pictures = sorted(
            file for file in folder.rglob("*") if file.suffix.lower() in Image.EXTENSION
        )
        paths = [str(picture) for picture in pictures]
        texts = {column: [_lines_beside(picture) for picture in pictures] for column in columns[:1]}
        if columns and pictures and not any(texts[columns[0]]):
            raise UserError(
                f"data source {folder} has pictures but no captions; "
                "write metadata.jsonl (file_name, text) or a .txt file beside each picture."
            )
    if not paths:
        raise UserError(f"data source {folder} holds no pictures and no parquet or arrow files.")
    features = {image_column: datasets.Image()}
    features |= {column: datasets.List(datasets.Value("string")) for column in texts}
    return datasets.Dataset.from_dict(
        {image_column: paths, **texts}, features=datasets.Features(features)
    )


def _read_metadata(file: Path) -> list[dict[str, Any]]:
    rows = []
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not a text in UTF-8 ({error}); save it as such.") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            row["file_name"] = str(row["file_name"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{file}, line {number}, is not a JSON object with a file_name; mend or remove it."
            ) from error
        rows.append(row)
    return rows


def _as_list(cell: Any) -> list[str]:
    cells = cell if isinstance(cell, list) else [cell]
    return [str(text) for text in cells if text is not None]


def _lines_beside(picture: Path) -> list[str]:
    """No lines where there is no such text in UTF-8: that row then is unreadable, and counted."""
    try:
        return picture.with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []


def _is_text(feature: Any) -> bool:
    inner = getattr(feature, "feature", feature)
    return getattr(inner, "dtype", None) in ("string", "large_string", "string_view")
