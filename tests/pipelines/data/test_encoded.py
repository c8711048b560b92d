"""Ids that are computed once, and runs that read them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet
import pytest
import torch
from PIL import Image

from pipelines import encode_images, evaluate_checkpoint, train_bidirectional, train_tokenizer
from pipelines.command_line import UserError
from pipelines.data.encoded_index import INDEX, read_index, tokenizer_fingerprint
from pipelines.data.loader import BatchLoader
from pipelines.data.opening import open_source, open_training_data, texts_for_vocabulary
from pipelines.data.settings import DataSettings
from pipelines.data.text_batches import TextReader
from pipelines.data.text_tokenizer import TextCodec, TextTokenizerSettings, train_text_tokenizer
from pipelines.data.transforms import Cropping, to_array, to_pixels
from vq import VQGAN

ROWS = 50


def noise(row: int) -> Image.Image:
    levels = np.random.default_rng(row).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(levels).resize((40 + row % 3, 32), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """50 rows, each with two English captions and, mostly, a Chinese one."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "p").mkdir()
    cells = []
    for row in range(ROWS):
        noise(row).save(folder / "p" / f"{row}.png")
        cells.append({"bytes": (folder / "p" / f"{row}.png").read_bytes(), "path": None})
    table = datasets.Dataset.from_dict(
        {
            "image": cells,
            "text": [[f"row {row}", f"{row} row"] for row in range(ROWS)],
            "text_zh": [None if row % 7 == 0 else f"第 {row} 行" for row in range(ROWS)],
        }
    )
    table.to_parquet(folder / "train.parquet")
    shutil.rmtree(folder / "p")
    return folder


@pytest.fixture(scope="module")
def tokenizer(tokenizer_checkpoint):
    return VQGAN.from_pretrained(tokenizer_checkpoint / "tokenizer")


def encode(tokenizer_checkpoint, data, output, *more):
    arguments = ["--tokenizer", tokenizer_checkpoint, "--data", data, "--output", output]
    arguments += ["--size", 32, "--text-column", "text", "text_zh", "--rows-per-file", 16]
    encode_images.main([str(argument) for argument in [*arguments, "--batch-size", 6, *more]])
    return output


@pytest.fixture(scope="module")
def encoded(tokenizer_checkpoint, pictures, tmp_path_factory):
    return encode(tokenizer_checkpoint, pictures, tmp_path_factory.mktemp("encoded") / "ids")


@pytest.fixture(scope="module")
def codec(pictures):
    settings = DataSettings(source=str(pictures), text_column=["text", "text_zh"])
    texts = texts_for_vocabulary(settings)
    return TextCodec(train_text_tokenizer(texts, TextTokenizerSettings()))


def rows_in(folder):
    files = sorted(folder.glob("*.parquet"))
    return [row for file in files for row in pyarrow.parquet.read_table(file).to_pylist()]


def load(source, codec, columns=("text", "text_zh"), **changes):
    settings = DataSettings(source=str(source), size=32, text_column=list(columns), **changes)
    order, validation = open_training_data(settings, accept_ids=lambda index, data: None)
    return BatchLoader(order, validation, 32, 8, texts=TextReader(codec, 16), caption_dropout=0.3)


def test_a_run_reads_the_ids_that_it_would_compute(encoded, pictures, tokenizer, codec):
    ours, theirs = load(encoded, codec), load(pictures, codec)
    batches = zip(ours.validation_batches(2), theirs.validation_batches(2), strict=True)
    steps = [(ours.step(step)[0], theirs.step(step)[0]) for step in range(12)]
    for batch, with_pixels in [*steps, *batches]:
        pixels = with_pixels.pop("pixels")
        ids = batch.pop("image_ids")
        assert ids.dtype == torch.int64
        assert torch.equal(ids, tokenizer.encode_to_ids(pixels))
        assert batch.keys() == with_pixels.keys()
        assert all(torch.equal(batch[name], with_pixels[name]) for name in batch)


def test_files_are_parquet_with_the_captions_by_column(encoded, tokenizer):
    names = sorted(file.name for file in encoded.iterdir())
    assert names == [INDEX, *(f"train-{n:05d}-of-00004.parquet" for n in range(4))]
    rows = rows_in(encoded)
    assert list(rows[0]) == ["row", "ids", "text", "text_zh"]
    assert [row["row"] for row in rows] == [[n] for n in range(ROWS)]
    assert rows[7]["text"] == ["row 7", "7 row"] and rows[7]["text_zh"] == []
    index = read_index(encoded)
    assert index.tokenizer == tokenizer_fingerprint(tokenizer) and index.grid == (4, 4)
    only = open_source(
        DataSettings(source=str(encoded), size=32, text_column="text_zh"),
        accept_ids=lambda index, data: None,
    )
    assert only[8].texts.captions == {"text_zh": ["第 8 行"]}


def test_crops_of_each_picture(pictures, tokenizer_checkpoint, tokenizer, codec, tmp_path):
    more = ["--crops", 3, "--random-crop", 1.5, "--random-flip", "--seed", 5]
    output = encode(tokenizer_checkpoint, pictures, tmp_path / "ids", *more)
    rows = rows_in(output)
    for row in (0, 31):
        picture = noise(row)
        crops = [Cropping(1.5, True).choose(5, n, (row,)) for n in (1, 2)]
        arrays = [to_array(picture, (32, 32), crop) for crop in crops]
        pixels = [to_pixels(picture, 32), *(to_pixels(array, 32) for array in arrays)]
        ids = tokenizer.encode_to_ids(torch.stack(pixels)).flatten().tolist()
        assert rows[row]["ids"] == ids
    loader = load(output, codec)
    seen = {
        tuple(ids.flatten().tolist())
        for step in range(60)
        for ids in loader.step(step)[0]["image_ids"]
    }
    assert 100 < len(seen) <= 3 * 45
    (validated,) = loader.validation_batches(1)
    (again,) = loader.validation_batches(1)
    assert torch.equal(validated["image_ids"], again["image_ids"])


def test_it_goes_on_where_it_stopped(encoded, pictures, tokenizer_checkpoint, tmp_path, capsys):
    output = shutil.copytree(encoded, tmp_path / "ids")
    whole = {file.name: file.read_bytes() for file in output.iterdir()}
    (output / "train-00002-of-00004.parquet").unlink()
    (output / "writing.train-00002-of-00004.parquet").write_bytes(b"PAR1 and no more")
    kept = output / "train-00001-of-00004.parquet"
    before = kept.stat().st_mtime_ns
    with pytest.raises(UserError, match="has 3 of the 4 files"):
        open_source(DataSettings(source=str(output)), accept_ids=lambda index, data: None)
    encode(tokenizer_checkpoint, pictures, output)
    assert kept.stat().st_mtime_ns == before
    assert {file.name: file.read_bytes() for file in output.iterdir()} == whole
    assert json.loads(capsys.readouterr().out) == {"output": str(output), "files": 4}


@pytest.mark.slow
def test_two_processes_share_the_work_and_survive_a_kill(
    encoded, pictures, tokenizer_checkpoint, tmp_path
):
    script = Path(encode_images.__file__)
    command = [str(Path(sys.executable).with_name("accelerate")), "launch", "--multi_gpu"]
    command += ["--num_processes", "2", "--main_process_port", "0", str(script)]
    command += ["--tokenizer", str(tokenizer_checkpoint), "--data", str(pictures)]
    command += ["--size", "32", "--text-column", "text", "text_zh", "--rows-per-file", "16"]
    command += ["--output", str(tmp_path / "ids"), "--batch-size", "6"]
    killed = subprocess.Popen(command, start_new_session=True)
    while killed.poll() is None and not list((tmp_path / "ids").glob("*.parquet")):
        time.sleep(0.002)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.strip().splitlines()[-1])["files"] == 4
    assert rows_in(tmp_path / "ids") == rows_in(encoded)
    assert {file.name for file in (tmp_path / "ids").iterdir()} == {
        file.name for file in encoded.iterdir()
    }


def test_splits_share_a_folder(pictures, tokenizer_checkpoint, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    shutil.copy(pictures / "train.parquet", data / "train.parquet")
    table = datasets.load_dataset("parquet", data_files=str(pictures / "train.parquet"))["train"]
    table.select(range(20)).to_parquet(data / "test.parquet")
    output = encode(tokenizer_checkpoint, data, tmp_path / "ids")
    encode(tokenizer_checkpoint, f"{data}:test", output)
    settings = DataSettings(source=str(output), size=32, validation_split="test")
    order, validation = open_training_data(settings, accept_ids=lambda index, data: None)
    assert (order.source.length, validation.length) == (50, 20)


def test_scenes_and_streams(tokenizer_checkpoint, pictures, tmp_path, capsys):
    arguments = ["--tokenizer", str(tokenizer_checkpoint), "--size", "32", "--data"]
    output = ["--output", str(tmp_path / "scenes")]
    encode_images.main([*arguments, "scenes", *output, "--rows", "30"])
    scenes = open_source(
        DataSettings(source=str(tmp_path / "scenes")), accept_ids=lambda index, data: None
    )
    assert scenes.length == 30
    assert scenes[4].texts.captions == open_source(DataSettings())[4].texts.captions
    output = ["--output", str(tmp_path / "stream")]
    encode_images.main([*arguments, str(pictures), *output, "--streaming"])
    rows = rows_in(tmp_path / "stream")
    assert [row["row"] for row in rows] == [[0, row] for row in range(ROWS)]


def test_rows_that_cannot_be_read_are_left_out_and_counted(
    pictures, tokenizer_checkpoint, tmp_path, capsys
):
    table = datasets.load_dataset("parquet", data_files=str(pictures / "train.parquet"))["train"]
    cells = list(table.cast_column("image", datasets.Image(decode=False))["image"])
    cells[3], cells[20] = {"bytes": b"<html>", "path": None}, None
    data = {"image": cells, "text": table["text"][:], "text_zh": table["text_zh"][:]}
    (tmp_path / "data").mkdir()
    datasets.Dataset.from_dict(data).to_parquet(tmp_path / "data" / "train.parquet")
    output = encode(tokenizer_checkpoint, tmp_path / "data", tmp_path / "ids")
    rows = [row["row"][0] for row in rows_in(output)]
    assert rows == [row for row in range(ROWS) if row not in (3, 20)]
    said = capsys.readouterr().err
    assert "2 of 50 rows cannot be read (row 3 cannot be used" in said and "were left out" in said


def refused(capsys, main, *arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    assert stop.value.code == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_what_is_refused(encoded, pictures, tokenizer_checkpoint, tmp_path, capsys):
    def words(*more, output=tmp_path / "new", data=pictures):
        arguments = ["--tokenizer", tokenizer_checkpoint, "--data", data, "--output", output]
        return refused(capsys, encode_images.main, *arguments, *more)

    assert "--size is [8, 8, 8]" in words("--size", 8, 8, 8)
    assert "does not divide" in words("--size", 33)
    assert "--crops is 2" in words("--size", 32, "--crops", 2)
    assert "--crops is 1" in words("--size", 32, "--random-flip")
    assert "random_crop is 0.5" in words("--size", 32, "--random-crop", 0.5, "--crops", 2)
    assert "--threads is 0" in words("--size", 32, "--threads", 0)
    assert "never ends" in words("--size", 32, data="scenes")
    assert "no column 'caption'" in words("--size", 32, "--text-column", "caption")
    assert "made otherwise (text_columns)" in words("--size", 32, output=encoded)
    more = ["--size", 32, "--text-column", "text", "text_zh"]
    assert "another --rows-per-file" in words(*more, output=encoded)
    assert not (tmp_path / "new").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("keep")
    assert "is not empty" in words("--size", 32, output=tmp_path / "mine")


def test_ids_in_the_place_of_pictures(encoded, checkpoint, tokenizer_checkpoint, tmp_path, capsys):
    tiny = ["--config", "configs/tokenizer/tiny.yaml", f"output={tmp_path / 'run'}"]
    source = f"data.source={encoded}"
    assert "pictures themselves" in refused(capsys, train_tokenizer.main, *tiny, source)
    arguments = ["--checkpoint", checkpoint, "--data", f"{encoded}:train"]
    arguments += ["--output", tmp_path / "report"]
    assert "pictures themselves" in refused(capsys, evaluate_checkpoint.main, *arguments)

    def words(*overrides):
        config = ["--config", "configs/bidirectional/tiny.yaml", f"output={tmp_path / 'run'}"]
        config += [f"tokenizer={tokenizer_checkpoint}", "data.size=32", source]
        return refused(capsys, train_bidirectional.main, *config, *overrides)

    assert "pictures of 32 x 32 pixels" in words("data.size=64")
    assert "pictures themselves" in words("end_to_end.hidden_state=consumed")
    assert "set data.random_crop=null" in words("data.random_crop=1.2")
    assert "no captions 'caption'" in words("data.text_column=caption")
    assert "no split 'test'" in words("data.split=test")
    other = shutil.copytree(tokenizer_checkpoint, tmp_path / "other")
    changed = VQGAN.from_pretrained(other / "tokenizer")
    with torch.no_grad():
        changed.quantizer.codebook[0, 0] += 1e-3
    changed.save_pretrained(other / "tokenizer")
    assert "ids of another tokenizer" in words(f"tokenizer={other}")
    mixed = f"data.mixture=[{{source: scenes}}, {{source: {encoded}}}]"
    assert "mixes pictures with encoded ids" in words(mixed, "training.steps=1")


def test_a_decoder_that_was_trained_on_leaves_the_ids_valid(tokenizer):
    before = tokenizer_fingerprint(tokenizer)
    other = VQGAN(tokenizer.config)
    other.load_state_dict(tokenizer.state_dict())
    with torch.no_grad():
        other.decoder.from_code.weight += 1
    assert tokenizer_fingerprint(other) == before
    with torch.no_grad():
        other.encoder.to_code.weight[0] += 1e-6
    assert tokenizer_fingerprint(other) != before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ('{"format_version": 9}', "has format 9"),
        ('{"format_version": 1}', "is damaged"),
    ],
)
def test_a_damaged_index(tmp_path, content, words):
    (tmp_path / INDEX).write_text(content)
    with pytest.raises(UserError, match=words):
        read_index(tmp_path)
