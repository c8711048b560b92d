"""Describes pictures.

    python pipelines/caption_images.py --checkpoint runs/quickstart/checkpoint runs/drawn/*.png
    accelerate launch pipelines/caption_images.py --checkpoint runs/quickstart/checkpoint \\
        FOLDER --output captions.jsonl

Prints one JSON object a line: `{"image": ..., "caption": ..., "log_likelihood": ...}`. With
`--num-captions N` there are N of each picture, from beams the best first; with `--score TEXT`, once
for each, the given captions instead, with their log-likelihoods for each picture. A folder stands
for all pictures in it, in the order of their names; those that cannot be read are left out. With
`--output` the lines go into a file, and the command, started again, goes on where it stopped.
Processes share the pictures (docs/many_pictures.md).
"""

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tqdm import tqdm

from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.caption_parts import CaptionedPart, CaptionWriter, captioned_parts, read_named
from pipelines.caption_rows import Printed, Progress, Rows, Written
from pipelines.command_line import (
    UserError,
    add_device_arguments,
    add_text_arguments,
    command,
    command_parser,
    device_and_dtype,
    text_given,
)
from pipelines.data.picture_listing import pictures_in
from pipelines.drawers import dtype_said
from pipelines.fingerprints import folder_fingerprint, texts_fingerprint
from pipelines.training.distributed import Processes

THREADS = 4
"""That decode pictures."""


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    add_text_arguments(parser)
    parser.add_argument(
        "--num-captions",
        type=int,
        default=1,
        help="captions of each picture; more than 1 need beams or a temperature",
    )
    parser.add_argument(
        "--score",
        action="append",
        metavar="TEXT",
        help="a caption to judge; may be given several times",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="write into this file: a new one, or one that the same command began",
    )
    add_device_arguments(parser)
    arguments = parser.parse_args(argv)
    settings = ("seed", "num_captions", *text_given(arguments))
    idle = [name for name in settings if getattr(arguments, name) != parser.get_default(name)]
    if arguments.score and idle:
        raise UserError(
            f"--score judges given captions; leave --{idle[0].replace('_', '-')} out, which says "
            "how captions are written."
        )
    if arguments.output is not None and not Path(arguments.output).name:
        raise UserError(f"--output is {arguments.output!r}, which names no file; name a new one.")
    return arguments


def named_pictures(images: list[str]) -> list[str]:
    """Paths: what is no folder is a picture that can be read.

    Raises:
        UserError: it cannot, or a folder has none.
    """
    pictures = []
    for name in images:
        if Path(name).is_dir():
            found = [str(file) for file in pictures_in(Path(name))]
            if not found:
                raise UserError(f"{name} is a folder without pictures; name another one.")
            pictures += found
        else:
            read_named(name)
            pictures.append(name)
    return pictures


def begin(
    arguments: argparse.Namespace, checkpoint: Path, pictures: list[str], together: int, rows: Rows
) -> Progress:
    """Where to go on with the weights of a folder.

    Raises:
        UserError: the output is something else's, or was begun with something else.
    """
    if arguments.output is None:
        return rows.begin({}, together)
    begun_with = {
        "checkpoint": folder_fingerprint(checkpoint),
        "number of pictures": len(pictures),
        "pictures": texts_fingerprint(pictures),
        "score": arguments.score,
        "num_captions": arguments.num_captions,
        "seed": arguments.seed,
        **text_given(arguments),
        **dtype_said(arguments),
    }
    return rows.begin(begun_with, together)


def take(rows: Rows, found: list[CaptionedPart]) -> None:
    """Writes what the processes found, and names the pictures that could not be read."""
    for reason in (reason for part in found for reason in part.unreadable.values()):
        tqdm.write(f"Left out: {reason}", file=sys.stderr)
    rows.take(found)


def report_left_out(left_out: int, pictures: int, output: str | None) -> None:
    """Raises:
    UserError: there is nothing else.
    """
    if left_out == pictures:
        raise UserError("none of these pictures can be read; name others.")
    if left_out:
        again = " Mend them, and start the same command again: it describes them too."
        print(
            f"{left_out} of {pictures} pictures cannot be read, and were left out."
            + again * (output is not None),
            file=sys.stderr,
        )


@command
def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    device, _ = device_and_dtype(arguments.device)
    with (
        Processes(device) as processes,
        ThreadPoolExecutor(THREADS) as threads,
        ExitStack() as holding,
    ):
        arguments.device = processes.device_name  # of several GPUs this process's own
        pictures = processes.on_main(lambda: named_pictures(arguments.images))
        pipe = processes.together(
            lambda: BidirectionalPipeline.from_pretrained(
                arguments.checkpoint, arguments.device, arguments.dtype
            )
        )
        writer = processes.together(lambda: CaptionWriter(pipe, arguments))
        output = arguments.output
        rows = Printed() if output is None else Written(Path(output), holding)
        # Of few pictures every process gets some.
        together = min(writer.together, -(-len(pictures) // processes.count))
        # Not opened again: the hub might have another commit by now.
        assert pipe.checkpoint is not None
        weights = pipe.checkpoint.root
        begun = processes.on_main(lambda: begin(arguments, weights, pictures, together, rows))
        parts = begun.parts_to_do(len(pictures))
        mine = captioned_parts(writer, pictures, parts[processes.rank :: processes.count], threads)
        # Lines and a bar in one terminal would write over each other.
        quiet = not processes.is_main or (arguments.output is None and sys.stdout.isatty())
        with tqdm(
            total=len(pictures), initial=len(pictures) - sum(map(len, parts)), disable=quiet,
            unit="picture",
        ) as progress:  # fmt: skip
            for first in range(0, len(parts), processes.count):
                part = processes.together(partial(next, mine, CaptionedPart()))
                found = processes.gather(part)[: len(parts) - first]
                processes.on_main(partial(take, rows, found))
                progress.update(sum(map(len, parts[first : first + processes.count])))
        processes.on_main(
            lambda: report_left_out(len(rows.progress.left_out), len(pictures), arguments.output)
        )
        if processes.is_main and arguments.output is not None:
            print(arguments.output)


if __name__ == "__main__":
    main()
