"""`DataSettings` -> what a run reads: an order of samples, rows to validate on, captions."""

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipelines.command_line import UserError
from pipelines.data.encoded_index import AcceptIds, read_index, refuse_ids
from pipelines.data.locations import is_pattern
from pipelines.data.orders import MixedOrder, Mixture, Order, RowOrder
from pipelines.data.settings import DataSettings
from pipelines.data.sources import KeptPictures, Source, Subset, open_scenes, readable_texts
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
    need_text: bool = True,
    seed: int = 0,
    accept_ids: AcceptIds | None = None,
) -> Source:
    """Opens a split of one source (`settings.split` where none is given).

    Without `need_text` captions are not read and rows without any are fine. `seed` chooses among
    the endless `scenes`; other sources have no use for it. Ids in the place of pictures are refused
    but for what `accept_ids` lets pass.

    Raises:
        UserError: the source, the split or a column does not exist.
    """
    split = split or settings.split
    if settings.source == "scenes":
        return open_scenes(settings, split, need_text, seed)
    folder = Path(settings.source).expanduser()
    index = read_index(folder)
    # Only here, because importing datasets takes longer than drawing a thousand scenes.
    if index is None:
        from pipelines.data.table_loading import open_table

        return open_table(settings, split, need_text)
    from pipelines.data.encoded import open_encoded

    (accept_ids or refuse_ids)(index, settings)
    return open_encoded(folder, index, settings, split, need_text)


def open_training_data(
    settings: DataSettings,
    need_text: bool = True,
    seed: int = 0,
    accept_ids: AcceptIds | None = None,
) -> tuple[Order, Source]:
    """Opens what a run trains on and what it validates on (see `DataSettings`).

    Raises:
        UserError: as `open_source`.
    """
    opened = [_open_one(one, need_text, seed, accept_ids) for one in settings.sources()]
    if settings.mixture is None:
        return opened[0]
    orders, validations = zip(*opened, strict=True)
    weights = settings.weights
    return MixedOrder(orders, weights, seed), Mixture(validations, weights)


def _open_one(
    settings: DataSettings, need_text: bool, seed: int, accept_ids: AcceptIds | None
) -> tuple[Order, Source]:
    """Rows kept for validation are chosen by lot, the same whatever the seed (of a stream they are
    the first). A source of fewer than ten rows is too small to divide: it is validated on its
    training rows."""
    if settings.validation_split:
        _refuse_one_table(settings)
    if (stream := open_stream_of(settings, settings.split, need_text)) is not None:
        return _open_streams(settings, stream, need_text, seed)
    train = open_source(settings, None, need_text, seed, accept_ids)
    split = "validation" if settings.source == "scenes" else None
    if split := settings.validation_split or split:
        validation = open_source(settings, split, need_text, seed, accept_ids)
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


def open_stream_of(settings: DataSettings, split: str, need_text: bool) -> "Stream | None":
    """The source as a stream, where one is asked for and it is not at hand row by row anyway."""
    if not settings.streaming or settings.source == "scenes":
        return None
    if read_index(Path(settings.source).expanduser()) is not None:
        return None
    from pipelines.data.table_loading import open_stream

    return open_stream(settings, split, need_text)


def _open_streams(
    settings: DataSettings, stream: "Stream", need_text: bool, seed: int
) -> tuple[Order, Source]:
    from pipelines.data.streams import StreamOrder, Window, all_rows, hold_out

    window, rows = settings.shuffle_window, settings.validation_rows
    if settings.validation_split is None:
        validation, counts = hold_out(stream, rows)
        return StreamOrder(stream, seed, window, counts), validation
    other = open_stream_of(settings, settings.validation_split, need_text)
    assert other is not None
    return StreamOrder(stream, seed, window), Window(other, list(islice(all_rows(other), rows)))


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


def captions_for_vocabulary(settings: DataSettings, seed: int = 0) -> Iterator[str]:
    """The captions that a text tokenizer is trained on: of the first rows of each source, as many
    as suffice."""
    for one in settings.sources():
        if one.source == "scenes":
            yield from readable_texts(open_source(one, seed=seed), SCENES_FOR_VOCABULARY)
        else:
            yield from _captions_of(one)


def _captions_of(settings: DataSettings) -> Iterator[str]:
    if (stream := open_stream_of(settings, settings.split, need_text=True)) is not None:
        rows = (found for shard in range(stream.shards) for found in stream.captions(shard))
        for found in islice(rows, ROWS_FOR_VOCABULARY):
            yield from chain(*found.values())
        return
    source = open_source(settings, accept_ids=lambda index, data: None)
    yield from readable_texts(source, ROWS_FOR_VOCABULARY)
