from collections import Counter

import numpy as np
import pytest
import torch

from pipelines.command_line import UserError
from pipelines.data import batches
from pipelines.data.loader import BatchLoader
from pipelines.data.settings import DataSettings
from pipelines.data.sources import Row, UnreadableRow, captions_for_vocabulary, open_source
from pipelines.data.text_tokenizer import TextCodec, TextTokenizerSettings, train_text_tokenizer
from pipelines.data.transforms import to_pixels

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
        return Row(np.full((8, 8, 3), row % 256, np.uint8), self.texts(row))

    def texts(self, row: int) -> list[str]:
        return [f"a {' '.join(WORDS[: row % 12])}", f"b {WORDS[row % 12]}"]


@pytest.fixture(scope="module")
def codec() -> TextCodec:
    captions = [text for row in range(12) for text in NumberedSource(12).texts(row)]
    return TextCodec(train_text_tokenizer(captions, TextTokenizerSettings()))


def rows_of(batch: batches.Batch) -> list[int]:
    return ((batch["pixels"][:, 0, 0, 0] + 1) * 127.5).round().int().tolist()


def assert_equal(first: batches.Batch, second: batches.Batch) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_every_epoch_reads_every_row_once_in_another_order():
    loader = BatchLoader(NumberedSource(30), 8, micro_batch_size=4)
    rows = [row for step in range(15) for batch in loader.step(step) for row in rows_of(batch)]
    first, second = rows[:30], rows[30:]
    assert sorted(first) == sorted(second) == list(range(30))
    assert first != second and first != sorted(first)
    other = BatchLoader(NumberedSource(30), 8, 4, seed=1)
    assert rows_of(other.step(0)[0]) != first[:4]


def test_an_endless_source_is_read_in_its_own_order():
    loader = BatchLoader(NumberedSource(None), 8, micro_batch_size=2, accumulation=3)
    assert [rows_of(batch) for batch in loader.step(2)] == [[12, 13], [14, 15], [16, 17]]


def test_a_step_depends_on_its_number_alone(codec):
    def loader():
        return BatchLoader(
            NumberedSource(30), 8, 4, codec=codec, text_positions=16, caption_dropout=0.5
        )

    onward = loader()
    steps = [onward.step(step)[0] for step in range(12)]
    resumed = loader()
    for step in (9, 10, 3):
        assert_equal(resumed.step(step)[0], steps[step])


@pytest.mark.parametrize("length", [30, None])
def test_two_processes_read_what_one_reads(codec, length):
    def batches_of(world_size, micro_batch_size):
        loaders = [
            BatchLoader(
                NumberedSource(length),
                8,
                micro_batch_size,
                accumulation=2,
                rank=rank,
                world_size=world_size,
                codec=codec,
                text_positions=16,
                caption_dropout=0.3,
            )
            for rank in range(world_size)
        ]
        for step in range(12):
            shares = [loader.step(step) for loader in loaders]
            for micro_batch in range(2):
                yield [share[micro_batch] for share in shares]
        yield from zip(*(loader.validation_batches(2) for loader in loaders), strict=True)

    for (alone,), together in zip(batches_of(1, 4), batches_of(2, 2), strict=True):
        for name in alone:
            if name != "text_ids":
                assert torch.equal(alone[name], torch.cat([part[name] for part in together]))
        ids = [row for part in together for row in part["text_ids"]]
        for one, other in zip(alone["text_ids"], ids, strict=True):
            length = min(len(one), len(other))
            assert torch.equal(one[:length], other[:length])
            assert not one[length:].any() and not other[length:].any()


def test_text_is_padded_to_a_multiple_of_eight(codec):
    loader = BatchLoader(NumberedSource(None), 8, 4, codec=codec, text_positions=14)
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
    loader = BatchLoader(
        NumberedSource(12), 8, 120, codec=codec, text_positions=16, caption_dropout=0.25
    )
    (batch,) = loader.step(0)
    firsts = {codec.decode_caption(ids.tolist())[0] for ids in batch["text_ids"]}
    assert firsts == {"a", "b"}
    assert batch["caption_dropped"].dtype == torch.bool
    assert 0.1 < batch["caption_dropped"].float().mean() < 0.4
    assert not any(kept["caption_dropped"].any() for kept in loader.validation_batches(1))


def test_long_captions_are_cut_and_unknown_tokens_counted(codec):
    loader = BatchLoader(NumberedSource(None), 8, 12, codec=codec, text_positions=6)
    (batch,) = loader.step(0)
    long = batch["text_length"] == 6
    assert (batch["text_ids"][long, 5] == codec.sep_id).all()
    assert loader.counts.truncated_captions > 0 and loader.counts.unknown_tokens == 0
    small = TextCodec(train_text_tokenizer(["a b"], TextTokenizerSettings()))
    loader = BatchLoader(NumberedSource(None), 8, 12, codec=small, text_positions=16)
    loader.step(0)
    assert loader.counts.unknown_tokens > 0


def test_validation_is_the_same_every_time_and_ends_with_its_rows(codec):
    loader = BatchLoader(
        NumberedSource(None), 8, 4, codec=codec, text_positions=16, validation=NumberedSource(10)
    )
    first, second = list(loader.validation_batches(5)), list(loader.validation_batches(5))
    assert [rows_of(batch) for batch in first] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    for one, other in zip(first, second, strict=True):
        assert_equal(one, other)
    assert [rows_of(batch) for batch in loader.validation_batches(1)] == [[0, 1, 2, 3]]


def test_pictures_of_a_small_source_are_decoded_once(monkeypatch):
    source = NumberedSource(10)
    loader = BatchLoader(source, 8, 10)
    first = [loader.step(step) for step in range(3)]
    assert set(source.decoded.values()) == {1}
    monkeypatch.setattr(batches, "PICTURE_MEMORY_BYTES", 10 * 3 * 8 * 8 - 1)
    loader = BatchLoader(source, 8, 10)
    for step in range(3):
        assert_equal(loader.step(step)[0], first[step][0])
    assert set(source.decoded.values()) == {4}


def test_an_unreadable_row_is_replaced_by_the_next_and_counted(caplog):
    loader = BatchLoader(NumberedSource(100, unreadable=(7, 8, 99)), 8, 50)
    rows = Counter(row for step in range(4) for row in rows_of(loader.step(step)[0]))
    assert rows == Counter({row: 2 for row in range(100)}) - Counter({7: 2, 8: 2, 99: 2}) + Counter(
        {9: 4, 0: 2}
    )
    assert (loader.counts.rows, loader.counts.unreadable) == (200, 6)
    assert sorted(loader.counts.reasons) == [7, 8, 99]
    assert caplog.text.count("row 7 is torn") == 1


def test_too_many_unreadable_rows_stop_the_run():
    source = NumberedSource(100, unreadable=tuple(range(0, 60, 10)))
    loader = BatchLoader(source, 8, 50)
    for step in range(3):
        loader.step(step)
    with pytest.raises(UserError, match=r"12 of 200 rows cannot be read \(row .* is torn.*; …\)"):
        loader.step(3)
    with pytest.raises(UserError, match="none of 100 rows from row 0 on .*row 0 is torn"):
        BatchLoader(NumberedSource(None, unreadable=tuple(range(200))), 8, 1).step(0)


def test_workers_read_the_same_ahead(codec):
    def loader(workers):
        return BatchLoader(
            NumberedSource(30), 8, 4, 2, codec=codec, text_positions=16, workers=workers
        )

    before = torch.get_rng_state()
    ahead, plain = loader(1), loader(0)
    for step in (5, 6, 7, 2):
        for one, other in zip(ahead.step(step), plain.step(step), strict=True):
            assert_equal(one, other)
    assert ahead.counts == plain.counts
    assert torch.equal(before, torch.get_rng_state())
    torn = BatchLoader(NumberedSource(None, unreadable=tuple(range(200))), 8, 1, workers=1)
    with pytest.raises(UserError, match=r"^none of 100 rows"):
        torn.step(0)


def test_scenes_in_two_languages():
    source = open_source(DataSettings(text_column=["text", "text_zh"]))
    captions = [text for row in range(100) for text in source.texts(row)]
    codec = TextCodec(train_text_tokenizer(captions, TextTokenizerSettings()))
    loader = BatchLoader(source, 64, 64, codec=codec, text_positions=64)
    (batch,) = loader.step(0)
    assert torch.equal(batch["pixels"][5], to_pixels(source[5].image, 64))
    chinese = [
        codec.decode_caption(ids.tolist()) in source.texts(row)[1:]
        for row, ids in enumerate(batch["text_ids"])
    ]
    assert 16 < sum(chinese) < 48
    # The choice of a language says nothing about how many objects there are.
    one = [source.texts(row)[0].count(" a ") == 0 for row in range(64)]
    assert len(set(zip(chinese, one, strict=True))) == 4
    assert next(captions_for_vocabulary(source)) == captions[0]
