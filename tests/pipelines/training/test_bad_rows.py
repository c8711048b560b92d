"""Runs over data of which some rows cannot be read."""

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from pipelines import train_bidirectional, train_tokenizer
from pipelines.data.loader import BatchLoader
from pipelines.data.opening import open_training_data
from pipelines.data.settings import DataSettings
from pipelines.data.text_batches import TextReader
from pipelines.data.text_tokenizer import TextCodec, TextTokenizerSettings, train_text_tokenizer
from pipelines.training.metrics import read_metrics

ROOT = Path(__file__).resolve().parents[3]
ROWS = 400


def jpeg(row: int) -> bytes:
    levels = np.random.default_rng(row).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(levels).resize((48, 40)).save(file, "JPEG")
    return file.getvalue()


def bomb() -> bytes:
    """A PNG that says it has 50,000 x 50,000 pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(100_000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


BROKEN = {
    "truncated JPEG": lambda row: {"image": jpeg(row)[:300]},
    "no bytes": lambda row: {"image": b""},
    "HTML": lambda row: {"image": b"<html><body>404 Not Found</body></html>"},
    "bomb": lambda row: {"image": bomb()},
    "no caption": lambda row: {"text": "  \u200b\n"},
}
ODD = {
    "huge": "a red circle " * 100_000,
    "nul": "a\x00red\x00circle",
    "emoji": "a 👩‍👩‍👧 in a red circle",
    "right to left": "دائرة حمراء \u202e elcric der a",
}


def write(folder: Path, broken: list[int]) -> Path:
    """`broken` rows have one of each kind in turn, some others captions that are odd but whole."""
    rows = [{"image": jpeg(row), "text": f"number {row}"} for row in range(ROWS)]
    for n, row in enumerate(broken):
        rows[row] |= list(BROKEN.values())[n % len(BROKEN)](row)
    for n, text in enumerate(ODD.values()):
        rows[2 + 10 * n]["text"] = text
    cells = [{"bytes": row["image"], "path": None} for row in rows]
    table = datasets.Dataset.from_dict({"image": cells, "text": [row["text"] for row in rows]})
    table.to_parquet(folder / "train.parquet")
    return folder


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
        yield


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """5%."""
    return write(tmp_path_factory.mktemp("few"), list(range(1, ROWS, 20)))


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return write(tmp_path_factory.mktemp("many"), list(range(1, ROWS, 5)))


def arguments(stage: str, data: Path, output: Path) -> list[str]:
    found = ["--config", f"configs/{stage}/tiny.yaml", f"data.source={data}", f"output={output}"]
    found += ["data.validation_split=train", "training.steps=50", "training.log_every=50"]
    return [*found, "training.validate_every=0", "training.sample_every=0"]


@pytest.mark.parametrize("stage", ["tokenizer", "bidirectional"])
def test_a_run_passes_over_them_and_says_so(few, tokenizer_checkpoint, tmp_path, capfd, stage):
    main = train_tokenizer.main if stage == "tokenizer" else train_bidirectional.main
    more = [] if stage == "tokenizer" else [f"tokenizer={tokenizer_checkpoint}"]
    main([*arguments(stage, few, tmp_path / "run"), *more])
    assert read_metrics(tmp_path / "run" / "metrics.jsonl")[-1]["step"] == 50
    said = capfd.readouterr().err
    # 800 samples are two epochs; without captions one in five of the rows is whole.
    unreadable = 2 * 20 * (4 if stage == "tokenizer" else 5) // 5
    assert f"Of 800 samples read: {unreadable} could not be read" in said
    assert ("had a text cut to fit" in said) == (stage == "bidirectional")


@pytest.mark.parametrize("streaming", [False, True])
def test_each_process_takes_as_many_steps_as_the_others(few, streaming):
    settings = DataSettings(
        source=str(few), size=16, streaming=streaming, validation_rows=1, shuffle_window=64
    )
    codec = TextCodec(train_text_tokenizer(["number a red circle"], TextTokenizerSettings()))
    loaders = []
    for rank in range(3):
        order, validation = open_training_data(settings)
        loader = BatchLoader(
            order,
            validation,
            16,
            5,
            rank=rank,
            world_size=3,
            texts=TextReader(codec, 8),
        )
        loaders.append(loader)
    for step in range(53):  # two epochs
        for loader in loaders:
            (batch,) = loader.step(step)
            assert batch["pixels"].shape == (5, 3, 16, 16) and len(batch["text_ids"]) == 5
    assert 34 <= sum(loader.counts.unreadable for loader in loaders) <= 41
    reasons = " ".join(reason for loader in loaders for reason in loader.counts.reasons)
    for words in ("Truncated", "not an image", "too many pixels", "no caption"):
        assert words in reasons


@pytest.mark.parametrize("stage", ["tokenizer", "bidirectional"])
def test_too_many_of_them_stop_a_run_by_their_names(
    many, tokenizer_checkpoint, tmp_path, capfd, stage
):
    main = train_tokenizer.main if stage == "tokenizer" else train_bidirectional.main
    more = [] if stage == "tokenizer" else [f"tokenizer={tokenizer_checkpoint}"]
    with pytest.raises(SystemExit) as stop:
        main([*arguments(stage, many, tmp_path / "run"), *more])
    assert stop.value.code == 2
    last = capfd.readouterr().err.strip().splitlines()[-1]
    assert "rows cannot be read (row " in last and last.endswith("; …); mend or remove them.")


@pytest.mark.slow
def test_two_processes_stop_together(many, few, tmp_path):
    launch = [Path(sys.executable).with_name("accelerate"), "launch", "--multi_gpu"]
    launch += ["--num_processes", "2", "--main_process_port", "0"]
    for data, ends in ((few, True), (many, False)):
        command = [*launch, ROOT / "pipelines" / "train_tokenizer.py"]
        command += arguments("tokenizer", data, tmp_path / data.name)
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert (done.returncode == 0) == ends, done.stderr
        said = "32 could not be read" if ends else "rows cannot be read (row "
        assert said in done.stderr
