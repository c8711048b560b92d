"""Files, folders and hub names -> `datasets`, whole or as streams."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import datasets

from pipelines.command_line import UserError, in_short
from pipelines.data.columns import WHY_NO_TEXT, Columns, TableColumns, TarColumns
from pipelines.data.folders import read_coco, read_pictures
from pipelines.data.locations import is_pattern, local_path
from pipelines.data.settings import DataSettings, Wanted
from pipelines.data.tables import LOADING_ERRORS, Stream, TableSource
from pipelines.data.tars import Tars, tar_features

TABLE_FORMATS = {".parquet": "parquet", ".arrow": "arrow"}
# Below this a stream goes by the row groups of its parquet files, whose ends it looks up first.
FEW_SHARDS = 64

Data: TypeAlias = "datasets.Dataset | datasets.IterableDataset"


def open_table(settings: DataSettings, split: str, wanted: Wanted) -> TableSource:
    """Opens a hub data set, a file or a folder (see `DataSettings.source`).

    Raises:
        UserError: the source, the split or a column does not exist, or cannot be read.
    """
    table, columns = _open(settings, split, wanted, streaming=False)
    if not len(table):
        raise UserError(f"data source {settings.source} has no rows in its split {split!r}.")
    return TableSource(table, columns)


def open_stream(settings: DataSettings, split: str, wanted: Wanted) -> Stream | None:
    """The same as a stream; None for what is at hand row by row as it is (pictures in files of
    their own, saved data sets).

    Raises:
        UserError: as `open_table`.
    """
    table, columns = _open(settings, split, wanted, streaming=True)
    if isinstance(table, datasets.Dataset):
        return None
    if table.num_shards < FEW_SHARDS:
        table = _loaded(table.reshard, settings.source)
    return Stream(table, columns, settings.source)


def _open(
    settings: DataSettings, split: str, wanted: Wanted, streaming: bool
) -> tuple[Data, Columns]:
    source, texts = settings.source, settings.text_columns(wanted)
    path = None if is_pattern(source) else local_path(source, "data source")
    if tars := _tars(path or source, split):
        tar_columns = TarColumns(texts)
        builder = Tars(data_files={split: tars}, features=tar_features(tar_columns))

        def build() -> Data:
            if streaming:
                return builder.as_streaming_dataset(split)
            builder.download_and_prepare()
            return builder.as_dataset(split)

        return _loaded(build, source), tar_columns
    columns = TableColumns(settings.image_column, texts)
    if path is not None and path.suffix == ".json":
        table = read_coco(path, settings.image_folder, texts.captions, columns.image)
    elif path is not None and path.is_dir():
        table = _load_folder(path, split, columns, streaming)
    else:
        table = _load_files(path, split, source, streaming)
    columns = replace(columns, says_why=WHY_NO_TEXT in (table.column_names or ()))
    _check_columns(table, columns, source)
    try:
        return table.cast_column(columns.image, datasets.Image(decode=False)), columns
    except LOADING_ERRORS as error:
        raise UserError(f"column {columns.image!r} of {source} does not hold pictures.") from error


def _tars(place: str | Path, split: str) -> list[str]:
    """The tars that a file, a folder (or one for each split) or a pattern stands for."""
    if isinstance(place, str):
        return [place] if place.endswith(".tar") else []
    if place.is_file():
        return [str(place)] if place.suffix == ".tar" else []
    in_split = sorted((place / split).glob("*.tar"))
    tars = in_split or sorted(place.glob("*.tar"))
    if tars and not in_split and split != "train":
        raise UserError(f"data source {place} has no split {split!r} (a folder of that name).")
    return [str(tar) for tar in tars]


def _load_folder(folder: Path, split: str, columns: TableColumns, streaming: bool) -> Data:
    """A saved data set, tables, or pictures in files of their own."""
    if any((folder / name).is_file() for name in ("dataset_info.json", "dataset_dict.json")):
        return _split_of(partial(datasets.load_from_disk, str(folder)), split, str(folder))
    endings = {file.suffix for file in folder.rglob("*") if file.is_file()}
    for ending, kind in TABLE_FORMATS.items():
        if ending in endings:
            load = partial(datasets.load_dataset, kind, data_dir=str(folder), streaming=streaming)
            return _split_of(load, split, str(folder))
    return read_pictures(folder, split, columns.columns, columns.image)


def _load_files(path: Path | None, split: str, source: str, streaming: bool) -> Data:
    """A file, a pattern of files, or a hub data set."""
    load = partial(datasets.load_dataset, streaming=streaming)
    kind = TABLE_FORMATS.get(Path(source).suffix)
    if kind is not None:
        # A single file, or a pattern, is whichever split is asked for.
        return _split_of(
            partial(load, kind, data_files={split: str(path or source)}), split, source
        )
    if path is None and not is_pattern(source):
        return _split_of(partial(load, source), split, source)
    raise UserError(
        f"data source {source} is neither a folder nor a parquet, arrow, tar or (COCO's) json "
        "file; give one."
    )


def _split_of(load: Callable[[], Any], split: str, source: str) -> Data:
    splits = _loaded(load, source)
    if isinstance(splits, datasets.Dataset):
        return splits
    if split not in splits:
        raise UserError(f"data source {source} has no split {split!r}; it has {', '.join(splits)}.")
    return splits[split]


def _check_columns(table: Data, columns: TableColumns, source: str) -> None:
    if table.features is None:
        raise UserError(
            f"data source {source} does not tell the types of its columns before it is read; set "
            "data.streaming=false."
        )
    for column in [*columns.pictures, *columns.written]:
        if column not in table.column_names:
            raise UserError(
                f"data source {source} has no column {column!r}; it has "
                f"{', '.join(table.column_names)} (data.image_column, data.text_column, "
                "data.question_column, data.answer_column and data.attribute_column choose)."
            )
    for column in columns.written:
        if not _is_text(table.features[column]):
            raise UserError(f"column {column!r} of {source} does not hold texts.")


def _is_text(feature: Any) -> bool:
    """Or a list of texts, or of lists of them (right answers to each question of a list)."""
    while hasattr(feature, "feature"):
        feature = feature.feature
    return getattr(feature, "dtype", None) in ("string", "large_string", "string_view")


def _loaded(load: Callable[[], Any], source: str) -> Any:
    try:
        return load()
    except LOADING_ERRORS as error:
        raise UserError(f"data source {source} cannot be read ({in_short(error)}).") from error
