"""The arguments that all studies have."""

import argparse

from pipelines.command_line import UserError


def parse_study(parser: argparse.ArgumentParser, argv: list[str] | None) -> argparse.Namespace:
    """With `--output`, `--seeds` and `--shorten`.

    Raises:
        UserError: one of the numbers is below 1.
    """
    parser.add_argument("--output", required=True, metavar="DIR", help="new, or of this study")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--shorten", type=int, default=1, metavar="N", help="an Nth of all steps: a dry run"
    )
    arguments = parser.parse_args(argv)
    if arguments.seeds < 1 or arguments.shorten < 1:
        raise UserError("--seeds and --shorten must be at least 1.")
    return arguments
