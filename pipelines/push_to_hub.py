"""Pushes a run's checkpoint to the Hugging Face hub, with a model card written from the run.

    python pipelines/push_to_hub.py --checkpoint runs/quickstart --repo owner/name --dry-run DIR
    python pipelines/push_to_hub.py --checkpoint runs/quickstart --repo owner/name

The first only writes what would be pushed. Every command takes `--checkpoint owner/name` then.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from pipelines.command_line import command, command_parser, open_output
from pipelines.hub.pushing import CARD, collect, push, write_files


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument(
        "--checkpoint", required=True, metavar="DIR", help="a run's folder, or its checkpoint"
    )
    parser.add_argument(
        "--repo",
        required=True,
        metavar="OWNER/NAME",
        help="where to push to; a new repository is made",
    )
    parser.add_argument(
        "--private",
        action="store_true",
        default=None,
        help="make a new repository that only its owner may read",
    )
    parser.add_argument(
        "--license",
        metavar="ID",
        help="the licence of the weights, as the hub abbreviates it: apache-2.0",
    )
    parser.add_argument(
        "--report",
        metavar="DIR",
        help="a folder of evaluate_checkpoint.py, whose figures the card takes",
    )
    parser.add_argument(
        "--commit-message", metavar="TEXT", help="the message of the commit in the repository"
    )
    parser.add_argument(
        "--dry-run", metavar="DIR", help="write what would be pushed into a new or empty folder"
    )
    return parser.parse_args(argv)


@command
def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    files = collect(arguments.checkpoint, arguments.repo, arguments.license, arguments.report)
    if isinstance(files[CARD], bytes) and arguments.license is None:
        print("The card names no licence; --license ID does.", file=sys.stderr)
    if arguments.dry_run is not None:
        folder = open_output(arguments.dry_run)
        write_files(files, folder)
        print(folder)
        return
    pushed = push(files, arguments.repo, arguments.private, arguments.commit_message)
    if pushed.card_kept:
        print(
            f"The {CARD} of {arguments.repo} was not written by drawscribe, and stays.",
            file=sys.stderr,
        )
    print(json.dumps(asdict(pushed)))


if __name__ == "__main__":
    main()
