import io
import json
import tarfile
from collections import Counter

import datasets
import numpy as np
import pytest
from PIL import Image

from pipelines.command_line import UserError
from pipelines.data.loader import BatchLoader
from pipelines.data.opening import open_source, open_training_data, texts_for_vocabulary
from pipelines.data.orders import block_shares
from pipelines.data.settings import PICTURES_ALONE, DataSettings, MixtureEntry, Wanted
from pipelines.data.streams import StreamOrder
from pipelines.data.text_batches import TextReader
from pipelines.data.text_tokenizer import TextCodec, TextTokenizerSettings, train_text_tokenizer


def png(level: int) -> bytes:
    """One level, which survives the way to pixels."""
    file = io.BytesIO()
    Image.new("L", (8, 8), level).save(file, "PNG")
    return file.getvalue()


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def write_tars(folder, counts=(10, 3, 17, 1), **replaced):
    """Rows numbered through all tars; `replaced` gives files of rows another content, by name."""
    folder.mkdir(parents=True, exist_ok=True)
    row = 0
    for number, count in enumerate(counts):
        with tarfile.open(folder / f"{number:05d}.tar", "w") as tar:
            for _ in range(count):
                texts = {"caption": f"row {row}", "text_zh": [f"第 {row} 行"]}
                for ending, content in (
                    ("png", png(row)),
                    ("txt", f"row {row}".encode()),
                    ("json", json.dumps(texts).encode()),
                ):
                    content = replaced.get(f"{ending}_{row}", content)
                    if content is not None:
                        add(tar, f"{number:05d}{row:04d}.{ending}", content)
                row += 1
    return folder


@pytest.fixture(scope="module")
def tars(tmp_path_factory):
    """31 rows in four tars."""
    return write_tars(tmp_path_factory.mktemp("tars"))


@pytest.fixture(scope="module")
def codec():
    captions = [f"row {row} 第行" for row in range(31)]
    return TextCodec(train_text_tokenizer(captions, TextTokenizerSettings()))


def streaming(source, **changes) -> DataSettings:
    defaults = {"size": 8, "streaming": True, "shuffle_window": 7, "validation_rows": 1}
    return DataSettings(source=str(source), **(defaults | changes))


def load(settings, micro_batch_size=6, seed=0, **options) -> BatchLoader:
    order, validation = open_training_data(settings, Wanted(options.get("texts") is not None), seed)
    return BatchLoader(order, validation, settings.height_width, micro_batch_size, **options)


def rows_of(batch) -> list[int]:
    return ((batch["pixels"][:, 0, 0, 0] + 1) * 127.5).round().int().tolist()


def rows_read(loaders, steps) -> list[int]:
    return [row for step in steps for loader in loaders for row in rows_of(loader.step(step)[0])]


def test_tars_are_a_table_too(tars):
    source = open_source(DataSettings(source=str(tars), text_column=["text", "text_zh", "caption"]))
    assert source.length == 31
    assert source[12].captions == ["row 12", "第 12 行", "row 12"]
    assert np.asarray(source[12].image).max() == 12
    assert open_source(DataSettings(source=str(tars / "00001.tar"))).length == 3
    assert open_source(DataSettings(source=f"{tars}/*.tar")).length == 31
    with pytest.raises(UserError, match="has no split 'test'"):
        open_source(DataSettings(source=str(tars)), "test")


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_of_a_stream_has_each_row_once(tars, world_size, workers):
    """30 rows beside the one for validation, in batches of 12 that end within windows, shards and
    epochs."""
    loaders = [
        load(streaming(tars), 12 // world_size, rank=rank, world_size=world_size, workers=workers)
        for rank in range(world_size)
    ]
    rows = rows_read(loaders, range(8))
    epochs = [rows[30 * epoch : 30 * (epoch + 1)] for epoch in range(3)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(1, 31))
    assert epochs[0] != epochs[1]
    assert [rows_of(batch) for batch in loaders[0].validation_batches(1)] == [[0]]
    if (world_size, workers) != (1, 0):
        assert rows == rows_read([load(streaming(tars), 12)], range(8))


def test_a_stream_is_shuffled_by_the_seed_within_windows_and_by_shards(tars):
    def epoch(seed):
        return rows_read([load(streaming(tars), 30, seed=seed)], [0])

    assert epoch(0) == epoch(0) != epoch(1)
    first_windows = {min(epoch(seed)[:7]) for seed in range(6)}
    assert len(first_windows) > 1  # another shard comes first
    assert epoch(0)[:7] != sorted(epoch(0)[:7])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_stream_goes_on_where_it_was(tars, codec, workers):
    options = {
        "texts": TextReader(codec, 16),
        "caption_dropout": 0.3,
        "workers": workers,
    }
    settings = streaming(tars, text_column=["text", "text_zh"], random_crop=1.2, random_flip=True)
    straight = load(settings, **options)
    steps = [straight.step(step)[0] for step in range(12)]
    for stop in (1, 4, 5, 11):
        before = load(settings, **options)
        for step in range(stop):
            before.step(step)
        after = load(settings, **options)
        assert after.go_to(json.loads(json.dumps(before.bookmark))) == ""
        for step in range(stop, 12):
            (batch,) = after.step(step)
            assert all((batch[name] == steps[step][name]).all() for name in batch)


def test_resuming_reads_no_shard_that_was_finished(tars, monkeypatch):
    before = load(streaming(tars, validation_split=None), 10)
    for step in range(3):
        before.step(step)
    assert before.bookmark["place"]["turn"] > 1
    after = load(streaming(tars), 10)
    after.go_to(before.bookmark)
    read = []
    stream = after._steps.order.stream
    plain = stream.read
    monkeypatch.setattr(
        stream, "read", lambda shard, start: read.append(shard) or plain(shard, start)
    )
    after.step(3)
    shards = np.random.default_rng((0, 0)).permutation(4)
    assert read[0] == shards[before.bookmark["place"]["turn"]]


def test_a_stream_with_other_shards_is_not_resumed(tars, tmp_path):
    loader = load(streaming(tars))
    loader.step(0)
    for settings, words in (
        (streaming(write_tars(tmp_path / "fewer", (10, 21))), "has 2 shards, and had 4"),
        (streaming(tars, shuffle_window=8), "8 rows in data.shuffle_window, and had 7"),
    ):
        with pytest.raises(UserError, match=words):
            load(settings).go_to(loader.bookmark)


def test_parquet_goes_by_its_row_groups(tmp_path):
    cells = [{"bytes": png(row), "path": None} for row in range(30)]
    table = datasets.Dataset.from_dict({"image": cells, "text": [f"row {n}" for n in range(30)]})
    table.to_parquet(tmp_path / "train.parquet", batch_size=8)
    for source in (tmp_path, tmp_path / "train.parquet", f"{tmp_path}/*.parquet"):
        loader = load(streaming(source, validation_rows=2))
        assert loader._steps.order.stream.shards == 4
        assert sorted(rows_read([loader], range(5))[:28]) == list(range(2, 30))
    assert list(texts_for_vocabulary(streaming(tmp_path))) == [f"row {n}" for n in range(30)]
    with pytest.raises(UserError, match="no column 'caption'; it has image, text"):
        load(streaming(tmp_path, text_column="caption"), texts=1)


def test_a_split_of_its_own_to_validate_on(tmp_path):
    write_tars(tmp_path / "train")
    write_tars(tmp_path / "validation", (4,))
    settings = streaming(tmp_path, validation_split="validation", validation_rows=3)
    loader = load(settings)
    assert sorted(rows_read([loader], range(6))[:31]) == list(range(31))
    assert [rows_of(batch) for batch in loader.validation_batches(1)] == [[0, 1, 2]]
    with pytest.raises(UserError, match="has 31 rows, and data.validation_rows=32"):
        load(streaming(tmp_path, validation_rows=32))
    with pytest.raises(UserError, match="no rows to train on"):
        load(streaming(tmp_path, validation_rows=31)).step(0)


def test_a_damaged_file_in_a_tar_costs_its_row_alone(tmp_path, codec):
    replaced = {
        "png_3": b"no picture",
        "png_7": None,
        "txt_11": b"\xff\xfe\x00",
        "txt_13": None,
        "txt_17": b"",
    }
    folder = write_tars(tmp_path / "damaged", (100, 100), **replaced)
    options = {"texts": TextReader(codec, 16)}
    loader = load(streaming(folder, shuffle_window=50), 199, **options)
    rows = rows_of(loader.step(0)[0])
    lost = {3, 7, 11, 13, 17}
    assert set(rows) == set(range(1, 200)) - lost and len(rows) == 199
    assert loader.counts.unreadable == 5
    assert {reason.split(" ")[1] for reason in loader.counts.reasons} == {str(n) for n in lost}
    table = open_source(DataSettings(source=str(folder)))
    assert table.length == 200 and table[14].captions == ["row 14"]


def test_a_torn_tar_stops_the_run_by_its_name(tmp_path):
    folder = write_tars(tmp_path / "torn", (20, 20))
    torn = folder / "00001.tar"
    with tarfile.open(torn) as tar:
        inside = tar.getmembers()[30].offset_data + 10
    torn.write_bytes(torn.read_bytes()[:inside])
    loader = load(streaming(folder), 39)
    with pytest.raises(
        UserError, match=r"shard 1 of data source .*torn cannot be read from its row"
    ):
        loader.step(0)


def test_captions_for_the_vocabulary(tars):
    settings = streaming(tars, text_column="text_zh")
    assert list(texts_for_vocabulary(settings)) == [f"第 {row} 行" for row in range(31)]


def test_a_mixture_takes_from_each_source_by_its_weight(tars, tmp_path):
    other = write_tars(
        tmp_path / "other", (200,), **{f"png_{n}": png(100 + n % 8) for n in range(200)}
    )
    settings = DataSettings(
        size=8,
        streaming=True,
        shuffle_window=5,
        validation_rows=1,
        mixture=[MixtureEntry(str(tars), 3.0), MixtureEntry(str(other))],
    )
    loaders = [load(settings, 50, rank=rank, world_size=2) for rank in range(2)]
    rows = rows_read(loaders, range(10))
    first = [row for row in rows if row < 100]
    assert len(rows) == 1000 and len(first) == 750
    epochs = [first[30 * n : 30 * (n + 1)] for n in range(25)]
    assert all(sorted(epoch) == list(range(1, 31)) for epoch in epochs)
    assert 60 < sum(row < 100 for row in rows[:100]) < 90
    assert rows == rows_read([load(settings, 100)], range(10))
    resumed = load(settings, 100)
    resumed.go_to(json.loads(json.dumps(loaders[0].bookmark)))
    straight = load(settings, 100)
    assert rows_read([resumed], [10]) == rows_read([straight], range(11))[1000:]
    settings.mixture[0].weight = 2.0
    with pytest.raises(UserError, match="other sources or weights"):
        load(settings).go_to(loaders[0].bookmark)


def test_a_mixture_of_a_table_scenes_and_other_columns(tmp_path, codec):
    cells = [{"bytes": png(row), "path": None} for row in range(40)]
    captions = [f"row {n}" for n in range(40)]
    table = datasets.Dataset.from_dict({"picture": cells, "caption": captions})
    table.to_parquet(tmp_path / "train.parquet")
    entry = MixtureEntry(str(tmp_path), 1.0, image_column="picture", text_column="caption")
    settings = DataSettings(size=32, mixture=[entry, MixtureEntry("scenes")])
    texts = list(texts_for_vocabulary(settings))
    assert texts[:40] == captions and len(texts) > 1000
    loader = load(settings, 100, texts=TextReader(codec, 16))
    pixels = loader.step(0)[0]["pixels"]
    flat = (pixels == pixels[:, :, :1, :1]).all(dim=(1, 2, 3)).sum()
    assert 35 < flat < 65
    # Four rows of the table are for validation, and last for about eight of the mixture.
    assert sum(len(batch["pixels"]) for batch in loader.validation_batches(5)) in range(5, 20)


@pytest.mark.parametrize(
    "weights", [(1, 1), (3, 1), (1, 1, 1), (1, 1e-9), (5, 1e-9, 1e-9), (0.7, 0.2)]
)
def test_shares_of_a_block(weights):
    shares = block_shares(weights, 1000)
    assert shares.sum() == 1000 and shares.min() >= 1
    exact = np.asarray(weights) / sum(weights) * 1000
    assert np.abs(shares - exact).max() < len(weights)


def test_windows_of_a_stream_are_read_once_going_onward(tars):
    order, _ = open_training_data(streaming(tars), wanted=PICTURES_ALONE)
    assert isinstance(order, StreamOrder)
    read = Counter()
    plain = order.stream.read

    def counted(shard, start):
        for number, cells in plain(shard, start):
            read[shard, number] += 1
            yield number, cells

    order.stream.read = counted
    for number in range(60):
        order[number]
    assert set(read.values()) == {2}
