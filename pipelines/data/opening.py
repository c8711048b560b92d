"""`DataSettings` -> what a run reads: an order of samples, rows to validate on, texts."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipelines.command_line import UserError
from pipelines.data.encoded_index import AcceptIds, read_index, refuse_ids
from pipelines.data.locations import is_pattern
from pipelines.data.orders import MixedOrder, Mixture, Order, RowOrder
from pipelines.data.settings import CAPTIONS, PICTURES_ALONE, DataSettings, Wanted
from pipelines.data.sources import (
    KeptPictures,
    Source,
    Subset,
    Texts,
    open_scenes,
    readable_texts,
)
from pipelines.data.transforms import CENTERED

if TYPE_CHECKING:
    from pipelines.data.tables import Stream

ROWS_FOR_VOCABULARY = 20_000
# Pictures of a source that is small at its final size are decoded once and kept.
PICTURE_MEMORY_BYTES = 256 * 2**20
SCENES_FOR_VOCABULARY = 2_000  # 500 hold every word of the grammar unless weights are extreme


def open_source(
    settings: DataSettings,
    split: str | None = None,
    wanted: Wanted = CAPTIONS,
    seed: int = 0,
    accept_ids: AcceptIds | None = None,
) -> Source:
    """Opens a split of one source (`settings.split` where none is given).

    Of the texts those `wanted` are read, and rows without any of them cannot be. `seed` chooses
    among the endless `scenes`; other sources have no use for it. Ids in the place of pictures are
    refused but for what `accept_ids` lets pass.

    Raises:
        UserError: the source, the split or a column does not exist.
    """
    split = split or settings.split
    if settings.source == "scenes":
        return open_scenes(settings, split, wanted, seed)
    folder = Path(settings.source).expanduser()
    index = read_index(folder)
    # Only here, because importing datasets takes longer than drawing a thousand scenes.
    if index is None:
        from pipelines.data.table_loading import open_table

        return open_table(settings, split, wanted)
    from pipelines.data.encoded import open_encoded

    (accept_ids or refuse_ids)(index, settings)
    return open_encoded(folder, index, settings, split, wanted)


def open_training_data(
    settings: DataSettings,
    wanted: Wanted = CAPTIONS,
    seed: int = 0,
    accept_ids: AcceptIds | None = None,
) -> tuple[Order, Source]:
    """Opens what a run trains on and what it validates on (see `DataSettings`).

    Raises:
        UserError: as `open_source`, or no source has what is wanted.
    """
    _refuse_without_texts(settings, wanted)
    opened = [_open_one(one, wanted, seed, accept_ids) for one in settings.sources()]
    if settings.mixture is None:
        return opened[0]
    orders, validations = zip(*opened, strict=True)
    weights = settings.weights
    return MixedOrder(orders, weights, seed), Mixture(validations, weights)


def _open_one(
    settings: DataSettings, wanted: Wanted, seed: int, accept_ids: AcceptIds | None
) -> tuple[Order, Source]:
    """Rows kept for validation are chosen by lot, the same whatever the seed (of a stream they are
    the first). A source of fewer than ten rows is too small to divide: it is validated on its
    training rows."""
    if settings.validation_split:
        _refuse_one_table(settings)
    if (stream := open_stream_of(settings, settings.split, wanted)) is not None:
        return _open_streams(settings, stream, wanted, seed)
    train = open_source(settings, None, wanted, seed, accept_ids)
    split = "validation" if settings.source == "scenes" else None
    if split := settings.validation_split or split:
        validation = open_source(settings, split, wanted, seed, accept_ids)
    else:
        train, validation = _divided(train, settings.validation_rows)
    # Validation takes the center whatever training takes.
    of_train = _kept(train, settings) if settings.cropping == CENTERED else train
    return RowOrder(of_train, seed), _kept(validation, settings)


def _divided(source: Source, validation_rows: int) -> tuple[Source, Source]:
    """What is trained on and what is kept from it."""
    assert source.length is not None
    kept = min(validation_rows, source.length // 10)
    if kept == 0:
        return source, source
    order = np.random.default_rng(0).permutation(source.length)
    return Subset(source, np.sort(order[kept:])), Subset(source, np.sort(order[:kept]))


def _kept(source: Source, settings: DataSettings) -> Source:
    """The source, its centers decoded once where all of them are small enough to stay."""
    height, width = settings.height_width
    small = (source.length or np.inf) * 3 * height * width <= PICTURE_MEMORY_BYTES
    return KeptPictures(source, (height, width)) if small else source


def open_stream_of(settings: DataSettings, split: str, wanted: Wanted) -> "Stream | None":
    """The source as a stream, where one is asked for and it is not at hand row by row anyway."""
    if not settings.streaming or settings.source == "scenes":
        return None
    if read_index(Path(settings.source).expanduser()) is not None:
        return None
    from pipelines.data.table_loading import open_stream

    return open_stream(settings, split, wanted)


def _open_streams(
    settings: DataSettings, stream: "Stream", wanted: Wanted, seed: int
) -> tuple[Order, Source]:
    from pipelines.data.streams import StreamOrder, Window, all_rows, hold_out

    window, rows = settings.shuffle_window, settings.validation_rows
    if settings.validation_split is None:
        validation, counts = hold_out(stream, rows)
        return StreamOrder(stream, seed, window, counts), validation
    other = open_stream_of(settings, settings.validation_split, wanted)
    assert other is not None
    return StreamOrder(stream, seed, window), Window(other, list(islice(all_rows(other), rows)))


def _refuse_without_texts(settings: DataSettings, wanted: Wanted) -> None:
    """A source of a mixture may lack what another one has."""
    columns = [one.text_columns(wanted) for one in settings.sources()]
    for one, found in zip(settings.sources(), columns, strict=True):
        if wanted.attributes and not found.attributes:
            raise UserError(
                f"data source {one.source} names no column of the attributes that are trained on; "
                "give it an attribute_column, or leave it out."
            )
        if wanted != PICTURES_ALONE and not (found.captions or found.questions):
            raise UserError(
                f"data source {one.source} names no column of the texts that are trained on; give "
                "it a text_column or question_column, or leave it out."
            )
    for kind in ("captions", "questions"):
        if getattr(wanted, kind) and not any(getattr(found, kind) for found in columns):
            name = {"captions": "text_column", "questions": "question_column"}[kind]
            raise UserError(f"data.{name} is [], but {kind} are trained on; name a column of them.")


def _refuse_one_table(settings: DataSettings) -> None:
    """A single table is whichever split is asked for: validation would be on training rows."""
    path = Path(settings.source)
    if (
        is_pattern(settings.source)
        or path.is_file()
        or ((path / "dataset_info.json").is_file() and not (path / "dataset_dict.json").is_file())
    ):
        raise UserError(
            f"data.validation_split is {settings.validation_split}, but {path} is one table "
            "without splits; set it to null, and data.validation_rows are kept from training."
        )


def texts_for_vocabulary(
    settings: DataSettings, wanted: Wanted = CAPTIONS, seed: int = 0
) -> Iterator[str]:
    """The texts that a text tokenizer is trained on."""
    for found in texts_of_first_rows(settings, wanted, seed):
        yield from found.every


def texts_of_first_rows(settings: DataSettings, wanted: Wanted, seed: int) -> Iterator[Texts]:
    """Of each source, as many as suffice to know its words."""
    for one in settings.sources():
        if one.source == "scenes":
            yield from readable_texts(open_source(one, None, wanted, seed), SCENES_FOR_VOCABULARY)
        else:
            yield from _texts_of(one, wanted)


def _texts_of(settings: DataSettings, wanted: Wanted) -> Iterator[Texts]:
    if (stream := open_stream_of(settings, settings.split, wanted)) is not None:
        rows = (found for shard in range(stream.shards) for found in stream.texts(shard))
        yield from islice(rows, ROWS_FOR_VOCABULARY)
        return
    source = open_source(settings, wanted=wanted, accept_ids=lambda index, data: None)
    yield from readable_texts(source, ROWS_FOR_VOCABULARY)
