"""The command line that every training script shares."""

import argparse
from dataclasses import dataclass

from pipelines.command_line import add_device_argument, command_parser


@dataclass(frozen=True)
class TrainingArguments:
    """What was asked for on the command line."""

    config: str
    overrides: list[str]
    resume: bool
    device: str | None


def parse_arguments(argv: list[str] | None, text: str | None) -> TrainingArguments:
    """`text` is the script's docstring."""
    parser = command_parser(text)
    parser.add_argument(
        "--config", required=True, metavar="YAML", help="the configuration of the run"
    )
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help="changes to the configuration, such as training.steps=100",
    )
    parser.add_argument(
        "--resume", action="store_true", help="continue the run in its output folder"
    )
    add_device_argument(parser)
    parser.add_argument(
        "--dtype",
        choices=["fp32", "bf16", "fp16"],
        help="how numbers are held: short for training.precision=…",
    )
    # The deepspeed launcher adds this; the environment says the same.
    parser.add_argument("--local_rank", help=argparse.SUPPRESS)
    given = parser.parse_intermixed_args(argv)
    if given.dtype is not None:
        given.overrides.append(f"training.precision={given.dtype}")
    return TrainingArguments(given.config, given.overrides, given.resume, given.device)
