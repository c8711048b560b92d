"""What encoding pictures once spares: reading ids beside decoding and encoding at every step.

    python benchmarks/encoded_ids.py --output runs/benchmarks/encoded_ids.json

Scenes, written as JPEGs a quarter larger than the pictures that are trained on, in parquet, as
data that people bring is; encoded by `encode_images.py` with random weights of the tokenizer's
shape (the speed does not depend on them). Timed in turn, batch by batch, per picture: reading and
encoding, reading the ids instead, and the forward and backward pass of the transformer, which
comes on top of either.
"""

import argparse
import io
import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import numpy as np
import torch
from measuring import begin, medians, write_json
from PIL import Image

from pipelines import encode_images
from pipelines.configuration.assembly import bidirectional_task, run_text_tokenizer
from pipelines.configuration.loading import load_configuration
from pipelines.configuration.schemas import BidirectionalRun, TokenizerRun
from pipelines.data.opening import open_source
from pipelines.data.settings import DataSettings
from pipelines.training.checkpoint import open_checkpoint, write_checkpoint
from pipelines.training.distributed import Processes, precision_context
from pipelines.training.loop import under
from pipelines.training.task import Task
from vq import VQGAN

LANGUAGES = ["text", "text_zh"]


class Case(NamedTuple):
    """How many pictures there are, how many go into a step, and how many steps are timed."""

    tokenizer: str
    config: str
    rows: int
    batch_size: int
    repeats: int


CASES = (
    Case("scenes_64", "scenes_64", rows=256, batch_size=32, repeats=7),
    # A step of 300M parameters takes a CPU minutes.
    Case("ernie_vilg_vqgan_256", "ernie_vilg_300m", rows=16, batch_size=1, repeats=3),
)


def write_pictures(folder: Path, size: int, rows: int) -> Path:
    """Scenes as JPEGs in `train.parquet`."""
    source = open_source(DataSettings(size=size * 5 // 4, text_column=LANGUAGES))
    found = [source[row] for row in range(rows)]
    cells = []
    for row in found:
        assert isinstance(row.image, np.ndarray)  # scenes are drawn as such
        file = io.BytesIO()
        Image.fromarray(row.image).save(file, "JPEG", quality=90)
        cells.append({"bytes": file.getvalue(), "path": None})
    texts = {name: [row.texts.captions[name] for row in found] for name in LANGUAGES}
    table = datasets.Dataset.from_dict({"image": cells, **texts})
    folder.mkdir()
    table.to_parquet(folder / "train.parquet")
    return folder


def write_tokenizer(folder: Path, config: str) -> Path:
    """A checkpoint with random weights."""
    run = load_configuration(config, ["data.source=scenes"], TokenizerRun)
    model = VQGAN(run.model).eval()

    def write_parts(target: Path) -> None:
        model.save_pretrained(target / "tokenizer")

    write_checkpoint(folder, "tokenizer", ("reconstruction",), 0, write_parts)
    return folder


def reading(task: Task) -> Callable[[], object]:
    """Reads (and encodes) the next step's batch at each call."""
    steps = iter(range(10**9))
    return lambda: task.batches(next(steps))


def passing(task: Task, precision: str) -> Callable[[], object]:
    """The transformer's forward and backward pass over one batch."""
    batches = task.batches(0)
    autocast = precision_context(torch.device("cpu"), precision)

    def step() -> None:
        for _, losses in task.objective.turns(batches, 0):
            for terms in under(autocast, losses):
                terms["loss"].backward()

    return step


def measure(case: Case, folder: Path) -> dict[str, Any]:
    """Milliseconds a picture."""
    config = f"configs/bidirectional/{case.config}.yaml"
    size = load_configuration(config, [], BidirectionalRun).data.height_width[0]
    tokenizer = write_tokenizer(folder / "tokenizer", f"configs/tokenizer/{case.tokenizer}.yaml")
    pictures = write_pictures(folder / "pictures", size, case.rows)
    arguments = ["--tokenizer", str(tokenizer), "--data", str(pictures), "--size", str(size)]
    arguments += ["--text-column", *LANGUAGES]
    with redirect_stdout(io.StringIO()):
        encode_images.main([*arguments, "--output", str(folder / "ids"), "--device", "cpu"])
    tasks = {}
    for name, source in (("pictures", pictures), ("ids", folder / "ids")):
        overrides = [f"data.source={source}", f"tokenizer={tokenizer}", "data.workers=0"]
        # Pictures of so small a set would be kept after the first epoch; those of a large one are
        # not, and neither are they here.
        overrides += ["data.random_crop=1"] * (name == "pictures")
        overrides += [f"training.batch_size={case.batch_size}", "training.micro_batch_size=null"]
        overrides += ["training.activation_checkpointing=false", "deepspeed=null", "output=unused"]
        run = load_configuration(config, overrides, BidirectionalRun)
        with Processes(torch.device("cpu")) as processes:
            text_tokenizer = run_text_tokenizer(run, processes, folder / "none")
            paths = open_checkpoint(tokenizer)
            tasks[name] = bidirectional_task(run, processes, paths, text_tokenizer)
    candidates = {name: reading(task) for name, task in tasks.items()}
    candidates["transformer"] = passing(tasks["ids"], run.training.precision)
    spent = medians(candidates, case.repeats)
    each = {name: 1000 * found / case.batch_size for name, found in spent.items()}
    each["reading_ratio"] = each["pictures"] / each["ids"]
    each["step_ratio"] = (each["pictures"] + each["transformer"]) / (
        each["ids"] + each["transformer"]
    )
    return {**case._asdict(), **each}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments = begin(parser)
    figures = []
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            figures.append(measure(case, Path(folder)))
        print({k: round(v, 2) if isinstance(v, float) else v for k, v in figures[-1].items()})
    write_json(arguments.output, figures)


if __name__ == "__main__":
    main()
