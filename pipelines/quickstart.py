"""Trains both stages on the embedded scenes and shows what they learned.

    python pipelines/quickstart.py

Leaves in `runs/quickstart`: the checkpoint, `samples.png` (prompts, drawn pictures, captions read
back from them), a loss curve of each stage, `report.md` and `report.json` with the accuracies on
500 scenes of each kind that were in no training step.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import psutil
import torch

from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.command_line import (
    UserError,
    add_device_argument,
    command,
    command_parser,
    device_and_dtype,
)
from pipelines.configuration.loading import load_configuration
from pipelines.configuration.schemas import BidirectionalRun
from pipelines.evaluation.report import draw_grid, sampling_in_words, write_report
from pipelines.evaluation.scene_report import (
    SceneReport,
    check_readable,
    choose_sampling,
    measure_scenes,
    show_scenes,
)
from pipelines.markdown_tables import table
from pipelines.recommended_sampling import recommend_sampling
from pipelines.train_bidirectional import train_bidirectional
from pipelines.training.distributed import Processes
from pipelines.training.metrics import METRICS, read_metrics

CONFIG = Path(__file__).resolve().parent.parent / "configs/bidirectional/quickstart.yaml"
INTERRUPTED = 130
SCENES = 500
"""Scenes per figure: the standard error of a share is at most 2.2 points."""


def page(report: SceneReport, minutes: float, sampling: str) -> str:
    """`report.md`."""
    return f"""# Quickstart

Both stages trained on the embedded scenes and measured in {minutes:.1f} minutes
(torch {torch.__version__}, {torch.get_num_threads()} threads). Shares of {report.scenes} test
scenes each, every attribute right by the exact reader:

{figures(report)}

Sampling, chosen on validation scenes: {sampling}.

![prompts, drawn pictures, captions read back](samples.png)

Loss curves: [tokenizer](tokenizer/loss_curve.png), [transformer](loss_curve.png).
"""


def figures(report: SceneReport) -> str:
    return table([("what", "share"), *report.rows()])


def next_commands(output: Path) -> str:
    """What to try now, for the last lines of the output."""
    checkpoint = output / "checkpoint"
    return f"""
{output / "report.md"} has the accuracies, {output / "samples.png"} the pictures. Try next:

  .venv/bin/python pipelines/generate_images.py --checkpoint {checkpoint} \\
      --prompt "a large red circle above a small blue square" --num-images 4 --output runs/drawn
  .venv/bin/python pipelines/caption_images.py --checkpoint {checkpoint} runs/drawn/00000.png"""


def minutes_trained(output: Path) -> float:
    """What both stages have had already, where the quickstart is resumed; else 0."""
    stages = (read_metrics(folder / METRICS) for folder in (output, output / "tokenizer"))
    return sum(max((row.get("minutes", 0.0) for row in rows), default=0.0) for rows in stages)


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument(
        "--output", default="runs/quickstart", help="a new or empty folder for what it leaves"
    )
    parser.add_argument(
        "--resume", action="store_true", help="continue a quickstart that was interrupted"
    )
    parser.add_argument(
        "--scenes", type=int, default=SCENES, help="how many test scenes each figure is measured on"
    )
    add_device_argument(parser)
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help="changes to the configuration, such as training.minutes=1",
    )
    return parser.parse_intermixed_args(argv)


@command
def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    output = Path(arguments.output)
    if arguments.scenes < 1:
        raise UserError(f"--scenes is {arguments.scenes}; it must be at least 1.")
    overrides = [f"output={output}", *arguments.overrides]
    config = load_configuration(CONFIG, overrides, BidirectionalRun)
    check_readable(config.data.height_width)
    device, _ = device_and_dtype(arguments.device)
    processes = Processes(device)
    earlier = minutes_trained(output)
    if not train_bidirectional(config, processes, arguments.resume):
        raise SystemExit(INTERRUPTED)
    processes.close()
    checkpoint = output / "checkpoint"
    pipe = BidirectionalPipeline.from_pretrained(checkpoint, arguments.device)
    pipe.sampling = choose_sampling(pipe, arguments.scenes)
    recommend_sampling(checkpoint, pipe.sampling)
    report = measure_scenes(pipe, arguments.scenes)
    draw_grid(output / "samples.png", show_scenes(pipe))
    # Of the whole process: importing is part of what a user waits for.
    minutes = round(earlier + (time.time() - psutil.Process().create_time()) / 60, 2)
    sampling = asdict(pipe.sampling)
    write_report(
        output,
        page(report, minutes, sampling_in_words(pipe.sampling)),
        {**asdict(report), "sampling": sampling, "minutes": minutes},
    )
    print(figures(report))
    print(next_commands(output))


if __name__ == "__main__":
    main()
