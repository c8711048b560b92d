"""Trains both stages on the embedded scenes and shows what they learned.

    python pipelines/quickstart.py

Leaves in `runs/quickstart`: the checkpoint, `samples.png` (prompts, drawn pictures, captions read
back from them), a loss curve of each stage, `report.md` and `report.json` with the accuracies on
500 scenes of each kind that were in no training step.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path

import torch
from tqdm import tqdm

from pipelines.bidirectional_pipeline import BidirectionalPipeline, recommend_sampling
from pipelines.command_line import command, device_and_dtype
from pipelines.configuration.loading import load_configuration
from pipelines.configuration.schemas import BidirectionalRun
from pipelines.evaluation.report import Drawn, draw_grid, table
from pipelines.evaluation.scene_accuracy import (
    caption_accuracy,
    drawing_accuracy,
    reconstruction_accuracy,
    scene_set,
)
from pipelines.train_bidirectional import train_bidirectional
from pipelines.training.distributed import Processes
from unified_transformer import SamplingSettings

CONFIG = Path(__file__).resolve().parent.parent / "configs/bidirectional/quickstart.yaml"
SCENES = 500
"""Scenes per figure: the standard error of a share is at most 2.2 points."""
VALIDATION_SHARE = 8
"""Sampling settings are chosen on so many times fewer scenes."""
TEMPERATURES = (0.6, 0.8, 1.0)
GUIDANCE_SCALES = (1.0, 1.5, 2.0)


@dataclass(frozen=True)
class Report:
    """The measured shares, of 1; `minutes` from the start of the command to the report."""

    reconstruction_accuracy: float
    one_object_accuracy: float
    two_object_accuracy: float
    two_object_accuracy_best_of_8: float
    one_object_caption_accuracy: float
    two_object_caption_accuracy: float
    held_out_pair_accuracy: float
    held_out_pair_caption_accuracy: float
    sampling: dict[str, float]
    scenes: int
    minutes: float = 0.0


def choose_sampling(pipe: BidirectionalPipeline, scenes: int) -> SamplingSettings:
    """The sampling settings that draw best on validation scenes of one and of two objects."""
    sets = [scene_set("validation", scenes, objects, pipe.picture_size) for objects in (1, 2)]

    def score(settings: SamplingSettings) -> float:
        return sum(drawing_accuracy(pipe, part, **asdict(settings)).exact for part in sets)

    candidates = [
        SamplingSettings(temperature=temperature, guidance_scale=scale)
        for temperature, scale in product(TEMPERATURES, GUIDANCE_SCALES)
    ]
    return max(tqdm(candidates, desc="choosing sampling settings", file=sys.stderr), key=score)


def measure(pipe: BidirectionalPipeline, scenes: int) -> Report:
    """All figures of the report on test scenes, with the pipeline's sampling settings."""
    size = pipe.picture_size
    one, two = (scene_set("test", scenes, objects, size) for objects in (1, 2))
    held_out = scene_set("held_out", scenes, 1, size)
    both = replace(one, scenes=one.scenes[::2] + two.scenes[::2])
    both = replace(both, pictures=one.pictures[::2] + two.pictures[::2])
    with tqdm(total=scenes * 11, desc="measuring", unit="picture", file=sys.stderr) as progress:
        return Report(
            reconstruction_accuracy=reconstruction_accuracy(pipe.tokenizer, both),
            one_object_accuracy=drawing_accuracy(pipe, one, progress=progress.update).exact,
            two_object_accuracy=drawing_accuracy(pipe, two, progress=progress.update).exact,
            two_object_accuracy_best_of_8=drawing_accuracy(
                pipe, two, rerank=8, progress=lambda done: progress.update(8 * done)
            ).exact,
            one_object_caption_accuracy=caption_accuracy(pipe, one).exact,
            two_object_caption_accuracy=caption_accuracy(pipe, two).exact,
            held_out_pair_accuracy=drawing_accuracy(pipe, held_out, progress=progress.update).exact,
            held_out_pair_caption_accuracy=caption_accuracy(pipe, held_out).exact,
            sampling=asdict(pipe.sampling),
            scenes=scenes,
        )


def show(pipe: BidirectionalPipeline, path: Path) -> list[Drawn]:
    """Writes the picture grid: the first prompts of both test sets, as they come."""
    prompts = [
        prompt
        for objects in (1, 2)
        for prompt in scene_set("test", 12, objects, pipe.picture_size).captions
    ]
    images = pipe.generate_images(prompts)
    captions = pipe.caption_images(images)
    drawn = [Drawn(*item) for item in zip(prompts, images, captions, strict=True)]
    draw_grid(path, drawn)
    return drawn


ROWS = (
    ("the tokenizer's reconstructions read right", "reconstruction_accuracy"),
    ("one object drawn", "one_object_accuracy"),
    ("two objects with their relation drawn", "two_object_accuracy"),
    ("the same, best of 8 by its own captions", "two_object_accuracy_best_of_8"),
    ("one object described", "one_object_caption_accuracy"),
    ("two objects with their relation described", "two_object_caption_accuracy"),
    ("held-out colour-shape pairs drawn", "held_out_pair_accuracy"),
    ("held-out colour-shape pairs described", "held_out_pair_caption_accuracy"),
)


def page(report: Report) -> str:
    """`report.md`."""
    shares = [(text, f"{getattr(report, name):.3f}") for text, name in ROWS]
    sampling = ", ".join(f"{name} {value}" for name, value in report.sampling.items())
    return f"""# Quickstart

Both stages trained on the embedded scenes and measured in {report.minutes:.1f} minutes
(torch {torch.__version__}, {torch.get_num_threads()} threads). Shares of {report.scenes} test
scenes each, every attribute right by the exact reader:

{table([("what", "share"), *shares])}

Sampling, chosen on validation scenes: {sampling}.

![prompts, drawn pictures, captions read back](samples.png)

Loss curves: [tokenizer](tokenizer/loss_curve.png), [transformer](loss_curve.png).
"""


def next_commands(output: Path) -> str:
    """What to try now, for the last lines of the output."""
    checkpoint = output / "checkpoint"
    return f"""
{output / "report.md"} has the accuracies, {output / "samples.png"} the pictures. Try next:

  .venv/bin/python pipelines/generate_images.py --checkpoint {checkpoint} \\
      --prompt "a large red circle above a small blue square" --num-images 4 --output runs/drawn
  .venv/bin/python pipelines/caption_images.py --checkpoint {checkpoint} runs/drawn/00000.png"""


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train both stages on scenes and measure them.")
    parser.add_argument("--output", default="runs/quickstart", help="a new or empty folder")
    parser.add_argument("--scenes", type=int, default=SCENES, help="test scenes per figure")
    parser.add_argument("--device", help="cuda, mps or cpu; the best present by default")
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="such as training.minutes=1"
    )
    return parser.parse_intermixed_args(argv)


@command
def main(argv: list[str] | None = None) -> None:
    start = time.monotonic()
    arguments = parse_arguments(argv)
    output = Path(arguments.output)
    overrides = [f"output={output}", *arguments.overrides]
    config = load_configuration(CONFIG, overrides, BidirectionalRun)
    device, _ = device_and_dtype(arguments.device)
    processes = Processes(device)
    if not train_bidirectional(config, processes):
        return
    processes.close()
    checkpoint = output / "checkpoint"
    pipe = BidirectionalPipeline.from_pretrained(checkpoint, arguments.device)
    pipe.sampling = choose_sampling(pipe, max(1, arguments.scenes // VALIDATION_SHARE))
    recommend_sampling(checkpoint, pipe.sampling)
    report = measure(pipe, arguments.scenes)
    show(pipe, output / "samples.png")
    report = replace(report, minutes=round((time.monotonic() - start) / 60, 2))
    (output / "report.json").write_text(json.dumps(asdict(report), indent=2) + "\n")
    (output / "report.md").write_text(page(report))
    print(page(report).split("\n\n")[2])
    print(next_commands(output))


if __name__ == "__main__":
    main()
