from collections import Counter

import numpy as np
import pytest
import torch

from pipelines.command_line import UserError
from pipelines.data import batches, opening
from pipelines.data.loader import BatchLoader
from pipelines.data.opening import open_source, open_training_data, texts_for_vocabulary
from pipelines.data.orders import RowOrder
from pipelines.data.settings import DataSettings
from pipelines.data.sources import Row, Source, Texts, UnreadableRow
from pipelines.data.text_batches import EncoderIds, TextReader
from pipelines.data.text_tokenizer import (
    TextCodec,
    TextTokenizerSettings,
    character_tokenizer,
    train_text_tokenizer,
)
from pipelines.data.transforms import Cropping, to_pixels

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "elf", "xi"]


class NumberedSource:
    """Row n is a picture whose every value is n, with two captions that name n."""

    def __init__(self, length: int | None, unreadable: tuple[int, ...] = ()):
        self.length, self.unreadable = length, unreadable
        self.decoded = Counter()

    def __getitem__(self, row: int) -> Row:
        if row in self.unreadable:
            raise UnreadableRow(f"row {row} is torn")
        self.decoded[row] += 1
        return Row((row,), np.full((8, 8, 3), row % 256, np.uint8), self.texts(row))

    def texts(self, row: int) -> Texts:
        return Texts({"text": [f"a {' '.join(WORDS[: row % 12])}", f"b {WORDS[row % 12]}"]})


@pytest.fixture(scope="module")
def codec() -> TextCodec:
    captions = [text for row in range(12) for text in NumberedSource(12)[row].captions]
    return TextCodec(train_text_tokenizer(captions, TextTokenizerSettings()))


def load(source: Source, *arguments, seed: int = 0, validation: Source | None = None, **options):
    order = RowOrder(source, seed)
    return BatchLoader(order, validation or source, 8, *arguments, seed=seed, **options)


def rows_of(batch: batches.Batch) -> list[int]:
    return ((batch["pixels"][:, 0, 0, 0] + 1) * 127.5).round().int().tolist()


def assert_equal(first: batches.Batch, second: batches.Batch) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_every_epoch_reads_every_row_once_in_another_order():
    loader = load(NumberedSource(30), micro_batch_size=4)
    rows = [row for step in range(15) for batch in loader.step(step) for row in rows_of(batch)]
    first, second = rows[:30], rows[30:]
    assert sorted(first) == sorted(second) == list(range(30))
    assert first != second and first != sorted(first)
    other = load(NumberedSource(30), 4, seed=1)
    assert rows_of(other.step(0)[0]) != first[:4]


def test_an_endless_source_is_read_in_its_own_order():
    loader = load(NumberedSource(None), micro_batch_size=2, accumulation=3)
    assert [rows_of(batch) for batch in loader.step(2)] == [[12, 13], [14, 15], [16, 17]]


def test_a_step_depends_on_its_number_alone(codec):
    def loader():
        return load(NumberedSource(30), 4, texts=TextReader(codec, 16), caption_dropout=0.5)

    onward = loader()
    steps = [onward.step(step)[0] for step in range(12)]
    resumed = loader()
    for step in (9, 10, 3):
        assert_equal(resumed.step(step)[0], steps[step])


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_has_each_row_once_however_many_read_it(world_size, workers):
    """31 rows in batches of 12: epochs end within a batch, and within a process's share of it."""
    loaders = [
        load(
            NumberedSource(31), 12 // world_size, rank=rank, world_size=world_size, workers=workers
        )
        for rank in range(world_size)
    ]
    rows = [row for step in range(8) for loader in loaders for row in rows_of(loader.step(step)[0])]
    for epoch in range(3):
        assert sorted(rows[31 * epoch : 31 * (epoch + 1)]) == list(range(31))
    if (world_size, workers) != (1, 0):
        alone = load(NumberedSource(31), 12)
        assert rows == [row for step in range(8) for row in rows_of(alone.step(step)[0])]


@pytest.mark.parametrize("length", [30, None])
@pytest.mark.parametrize("world_size", [2, 3])
def test_several_processes_read_what_one_reads(codec, length, world_size):
    def batches_of(world_size, micro_batch_size):
        loaders = [
            load(
                NumberedSource(length),
                micro_batch_size,
                accumulation=2,
                rank=rank,
                world_size=world_size,
                texts=TextReader(codec, 16),
                caption_dropout=0.3,
                cropping=Cropping(1.5, True),
            )
            for rank in range(world_size)
        ]
        for step in range(12):
            shares = [loader.step(step) for loader in loaders]
            for micro_batch in range(2):
                yield [share[micro_batch] for share in shares]
        yield from zip(*(loader.validation_batches(2) for loader in loaders), strict=True)

    several = batches_of(world_size, 6 // world_size)
    for (alone,), together in zip(batches_of(1, 6), several, strict=True):
        for name in alone:
            if name != "text_ids":
                assert torch.equal(alone[name], torch.cat([part[name] for part in together]))
        ids = [row for part in together for row in part["text_ids"]]
        for one, other in zip(alone["text_ids"], ids, strict=True):
            length = min(len(one), len(other))
            assert torch.equal(one[:length], other[:length])
            assert not one[length:].any() and not other[length:].any()


class Gradients(NumberedSource):
    """Pictures of 16 x 24 that get lighter to the right."""

    def __getitem__(self, row: int) -> Row:
        columns = np.arange(24, dtype=np.uint8) * 10
        return Row(
            (row,),
            np.broadcast_to(columns[None, :, None], (16, 24, 3)).copy(),
            Texts({"text": ["a"]}),
        )


def test_crops_are_chosen_by_lot():
    def ends(cropping):
        """The lightness of each picture's left and right end."""
        loader = load(Gradients(80), 80, cropping=cropping)
        pixels = loader.step(0)[0]["pixels"]
        (kept,) = loader.validation_batches(1)
        assert (kept["pixels"] == kept["pixels"][0]).all()
        return pixels[:, 0, 0, 0], pixels[:, 0, 0, -1]

    left, right = ends(Cropping())
    assert (left == left[0]).all() and (right > left).all()
    left, right = ends(Cropping(random_crop=1.0))
    assert left.min() < -0.9 and right.max() > 0.75
    width = right - left
    assert width.min() > 0 and width.max() - width.min() < 0.05  # only moved, along the longer side
    left, right = ends(Cropping(random_crop=2.0))
    assert (right - left).max() > 1.6 * (right - left).min()
    left, right = ends(Cropping(random_flip=True))
    assert 20 < (left > right).sum() < 60


def test_a_row_has_another_crop_in_each_epoch_and_the_same_one_again():
    cropping = Cropping(1.5, True)
    chosen = {cropping.choose(0, epoch, (row,)) for epoch in range(3) for row in range(5)}
    assert len(chosen) == 15
    assert cropping.choose(0, 2, (4,)) in chosen and cropping.choose(1, 2, (4,)) not in chosen


def test_a_table_of_another_length_is_told_on_resuming():
    loader = load(NumberedSource(30), 4)
    loader.step(3)
    assert load(NumberedSource(30), 4).go_to(loader.bookmark) == ""
    assert "rows of the data 30 -> 31" in load(NumberedSource(31), 4).go_to(loader.bookmark)


def test_text_is_padded_to_a_multiple_of_eight(codec):
    loader = load(NumberedSource(None), 4, texts=TextReader(codec, 14))
    seen = set()
    for step in range(6):
        (batch,) = loader.step(step)
        ids, lengths = batch["text_ids"], batch["text_length"]
        assert ids.dtype == lengths.dtype == torch.int64
        assert ids.shape[1] == min(-(-int(lengths.max()) // 8) * 8, 14)
        for row, length in zip(ids, lengths.tolist(), strict=True):
            assert row[0] == codec.cls_id and row[length - 1] == codec.sep_id
            assert not (row[:length] == codec.pad_id).any()
            assert (row[length:] == codec.pad_id).all()
        seen.add(ids.shape[1])
    assert seen == {8, 14}


def test_captions_are_chosen_and_dropped_by_lot(codec):
    loader = load(NumberedSource(12), 120, texts=TextReader(codec, 16), caption_dropout=0.25)
    (batch,) = loader.step(0)
    firsts = {codec.decode_caption(ids.tolist())[0] for ids in batch["text_ids"]}
    assert firsts == {"a", "b"}
    assert batch["caption_dropped"].dtype == torch.bool
    assert 0.1 < batch["caption_dropped"].float().mean() < 0.4
    assert not any(kept["caption_dropped"].any() for kept in loader.validation_batches(1))


def test_captions_come_in_a_text_encoders_ids_as_well(codec):
    """The one that was chosen, whether or not it is dropped; cut to what the encoder takes."""
    letters = TextCodec(character_tokenizer("abcdefghijklmnopqrstuvwxyz "))
    reader = TextReader(codec, 16, encoder=EncoderIds(letters, 12))
    (plain,), (batch,) = (
        load(NumberedSource(12), 60, texts=texts, caption_dropout=0.5).step(0)
        for texts in (TextReader(codec, 16), reader)
    )
    added = {name: batch.pop(name) for name in ("encoder_text_ids", "encoder_text_length")}
    assert_equal(batch, plain)
    assert batch["caption_dropped"].any() and added["encoder_text_length"].max() == 12
    for ids, said in zip(added["encoder_text_ids"], batch["text_ids"], strict=True):
        caption = codec.decode_caption(said.tolist())
        assert letters.decode_caption(ids.tolist()) == caption[:10].strip()


def test_long_captions_are_cut_and_unknown_tokens_counted(codec):
    loader = load(NumberedSource(None), 12, texts=TextReader(codec, 6))
    (batch,) = loader.step(0)
    long = batch["text_length"] == 6
    assert (batch["text_ids"][long, 5] == codec.sep_id).all()
    assert loader.counts.truncated_texts > 0 and loader.counts.unknown_tokens == 0
    small = TextCodec(train_text_tokenizer(["a b"], TextTokenizerSettings()))
    loader = load(NumberedSource(None), 12, texts=TextReader(small, 16))
    loader.step(0)
    assert loader.counts.unknown_tokens > 0


def test_validation_is_the_same_every_time_and_ends_with_its_rows(codec):
    loader = load(
        NumberedSource(None),
        4,
        texts=TextReader(codec, 16),
        validation=NumberedSource(10),
    )
    first, second = list(loader.validation_batches(5)), list(loader.validation_batches(5))
    assert [rows_of(batch) for batch in first] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    for one, other in zip(first, second, strict=True):
        assert_equal(one, other)
    assert [rows_of(batch) for batch in loader.validation_batches(1)] == [[0, 1, 2, 3]]


def test_pictures_of_a_small_source_are_decoded_once(monkeypatch):
    source = NumberedSource(10)
    monkeypatch.setattr(opening, "open_source", lambda *arguments: source)

    def steps(**settings):
        order, validation = open_training_data(DataSettings(source="x", size=8, **settings))
        loader = BatchLoader(order, validation, 8, 9)
        return [loader.step(step)[0] for step in range(3)]

    first = steps()
    assert set(source.decoded.values()) == {1}
    monkeypatch.setattr(opening, "PICTURE_MEMORY_BYTES", 9 * 3 * 8 * 8 - 1)
    for one, other in zip(steps(), first, strict=True):
        assert_equal(one, other)
    assert Counter(source.decoded.values()) == {4: 9}


def test_an_unreadable_row_is_replaced_by_the_next_and_counted(caplog):
    loader = load(NumberedSource(100, unreadable=(7, 8, 99)), 50)
    rows = Counter(row for step in range(4) for row in rows_of(loader.step(step)[0]))
    assert rows == Counter({row: 2 for row in range(100)}) - Counter({7: 2, 8: 2, 99: 2}) + Counter(
        {9: 4, 0: 2}
    )
    assert (loader.counts.rows, loader.counts.unreadable) == (200, 6)
    assert sorted(loader.counts.reasons) == [f"row {row} is torn" for row in (7, 8, 99)]
    assert caplog.text.count("row 7 is torn") == 1


def test_too_many_unreadable_rows_stop_the_run():
    source = NumberedSource(100, unreadable=tuple(range(0, 60, 5)))
    loader = load(source, 50)
    for step in range(3):
        loader.step(step)
    with pytest.raises(UserError, match=r"24 of 200 rows cannot be read \(row .* is torn.*; …\)"):
        loader.step(3)
    with pytest.raises(UserError, match="none of 100 rows from row 0 on .*row 0 is torn"):
        load(NumberedSource(None, unreadable=tuple(range(200))), 1).step(0)


def test_workers_read_the_same_ahead(codec):
    def loader(workers):
        return load(NumberedSource(30), 4, 2, texts=TextReader(codec, 16), workers=workers)

    before = torch.get_rng_state()
    ahead, plain = loader(1), loader(0)
    for step in (5, 6, 7, 2):
        for one, other in zip(ahead.step(step), plain.step(step), strict=True):
            assert_equal(one, other)
    ahead.counts.seconds = plain.counts.seconds
    assert ahead.counts == plain.counts
    assert torch.equal(before, torch.get_rng_state())
    torn = load(NumberedSource(None, unreadable=tuple(range(200))), 1, workers=1)
    with pytest.raises(UserError, match=r"^none of 100 rows"):
        torn.step(0)


def test_scenes_in_two_languages():
    source = open_source(DataSettings(text_column=["text", "text_zh"]))
    captions = [text for row in range(100) for text in source[row].captions]
    codec = TextCodec(train_text_tokenizer(captions, TextTokenizerSettings()))
    loader = BatchLoader(RowOrder(source, 0), source, 64, 64, texts=TextReader(codec, 64))
    (batch,) = loader.step(0)
    assert torch.equal(batch["pixels"][5], to_pixels(source[5].image, 64))
    chinese = [
        codec.decode_caption(ids.tolist()) in source[row].captions[1:]
        for row, ids in enumerate(batch["text_ids"])
    ]
    assert 16 < sum(chinese) < 48
    # The choice of a language says nothing about how many objects there are.
    one = [source[row].captions[0].count(" a ") == 0 for row in range(64)]
    assert len(set(zip(chinese, one, strict=True))) == 4
    settings = DataSettings(text_column=["text", "text_zh"])
    assert next(texts_for_vocabulary(settings)) == captions[0]
