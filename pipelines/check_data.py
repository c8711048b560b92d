"""Says of captioned pictures what training on them would meet, before anything is trained.

    python pipelines/check_data.py --data my_pictures --output runs/checked
    python pipelines/check_data.py --config configs/bidirectional/emoji_64.yaml data.source=DIR

Reads every row by the code that training reads by. Figures go to stdout as JSON, a page in words to
stderr; exit code 2 where training could not start, or would stop for want of readable rows.
"""

import argparse
import json
import logging
import sys
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.checking.check import Checked, check
from pipelines.checking.contact_sheet import draw_contact_sheet
from pipelines.checking.remarks import problems, remarks
from pipelines.checking.subject import (
    Subject,
    default_text_positions,
    of_checkpoint,
    of_configuration,
    of_data,
)
from pipelines.checking.summary import summary
from pipelines.command_line import UserError, check_seed, command, command_parser, open_output
from pipelines.configuration.assembly.parts import or_user_error
from pipelines.data.settings import DataSettings, Wanted, parse_data
from pipelines.training.storage import replace_file

OF_DATA = ("image_column", "image_folder", "text_column", "question_column", "answer_column")
OF_MODEL = ("size", "text_positions")


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument(
        "--data", help="scenes, owner/name on the hub, or a path; :SPLIT may follow"
    )
    parser.add_argument("--image-column", help="the column of pictures (default: image)")
    parser.add_argument(
        "--image-folder", metavar="DIR", help="where the pictures of a JSON of captions are"
    )
    parser.add_argument(
        "--text-column",
        nargs="*",
        help="the columns of captions (default: text); no name for pictures alone",
    )
    parser.add_argument("--question-column", nargs="*", help="the columns of questions")
    parser.add_argument(
        "--answer-column", nargs="*", help="the columns of their answers, in the same order"
    )
    parser.add_argument(
        "--streaming",
        action="store_true",
        help="read row by row, without preparing a table (data.streaming)",
    )
    parser.add_argument(
        "--size",
        type=int,
        nargs="+",
        help="to what size pictures are cropped: one number, or height and width",
    )
    parser.add_argument("--text-positions", type=int, help="how many tokens a text may have")
    parser.add_argument(
        "--checkpoint",
        metavar="DIR",
        help="a folder, or owner/name on the hub: take size, text positions and words from it",
    )
    run = parser.add_argument_group("instead of the options about data: the configuration of a run")
    run.add_argument(
        "--config",
        metavar="YAML",
        help="a configuration of any of configs/, as the run's own script takes it",
    )
    run.add_argument(
        "overrides", nargs="*", metavar="key=value", help="changes to it, as in training"
    )
    parser.add_argument(
        "--rows", type=int, help="read the first so many of each split (default: all)"
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        help="a new or empty folder for the report, a contact sheet and lists",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="which pictures the contact sheet shows"
    )
    parser.add_argument("--threads", type=int, default=4, help="how many threads decode pictures")
    return parser.parse_intermixed_args(argv)


def check_arguments(arguments: argparse.Namespace) -> None:
    """Raises:
    UserError: one is out of range, or does not go with another.
    """
    check_seed(arguments.seed)
    for name in ("rows", "threads"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise UserError(f"--{name} is {value}; it must be at least 1.")
    if (arguments.data is None) == (arguments.config is None):
        raise UserError("give either --data DATA, or --config YAML (with key=value overrides).")
    if arguments.data is not None and arguments.overrides:
        raise UserError(
            f"{arguments.overrides[0]!r} goes with --config YAML; beside --data there are options."
        )
    if arguments.config is not None:
        for name in (*OF_DATA, *OF_MODEL, "streaming", "checkpoint"):
            if getattr(arguments, name):
                raise UserError(
                    f"--{name.replace('_', '-')} goes with --data; --config takes key=value "
                    "overrides, such as data.text_column=text."
                )
    if arguments.checkpoint is not None:
        for name in OF_MODEL:
            if getattr(arguments, name) is not None:
                raise UserError(
                    f"--{name.replace('_', '-')} is the checkpoint's where --checkpoint is given; "
                    "leave it out."
                )
    if arguments.size is not None and len(arguments.size) > 2:
        raise UserError(f"--size is {arguments.size}; give one number, or height and width.")
    if arguments.text_positions is not None and arguments.text_positions < 4:
        raise UserError(f"--text-positions is {arguments.text_positions}; it must be at least 4.")


def open_subject(arguments: argparse.Namespace) -> Subject:
    """Raises:
    UserError: training could not begin.
    """
    if arguments.config is not None:
        return of_configuration(arguments.config, arguments.overrides)
    given: dict[str, Any] = {n: v for n in OF_DATA if (v := getattr(arguments, n)) is not None}
    source, split = parse_data(arguments.data)
    if split is not None:
        given["split"] = split
    pipe = None
    if arguments.checkpoint is not None:
        pipe = BidirectionalPipeline.from_pretrained(arguments.checkpoint, device="cpu")
        given["size"] = pipe.picture_size
    elif arguments.size is not None:
        given["size"] = (arguments.size[0], arguments.size[-1])
    data = or_user_error(lambda: DataSettings(source, streaming=arguments.streaming, **given))
    wanted = Wanted(bool(data.text_column), bool(arguments.question_column))
    if pipe is not None:
        return of_checkpoint(data, wanted, pipe)
    return of_data(data, wanted, arguments.text_positions or default_text_positions())


def refuse_among_data(output: str, data: DataSettings) -> None:
    """Raises:
    UserError: the contact sheet would be a picture of the data.
    """
    for one in data.sources():
        source = Path(one.source).expanduser()
        if source.is_dir() and Path(output).resolve().is_relative_to(source.resolve()):
            raise UserError(f"{output} is inside of the data, {source}; name a folder elsewhere.")


def write_files(folder: Path, checked: Checked, report: dict[str, Any]) -> None:
    """The contact sheet, and every row that cannot be read or has another's picture; the report
    last."""
    if checked.shown and (
        unwritten := draw_contact_sheet(folder / "contact_sheet.png", checked.shown)
    ):
        report["remarks"].append(
            "Captions of the contact sheet with characters that no installed font has: "
            f"{unwritten}; install one, such as Noto Sans CJK for Chinese."
        )
    lists = {
        "unreadable.txt": list(checked.reading.said()),
        "duplicates.txt": [" = ".join(names) for names in checked.duplicates.names()],
    }
    texts = {name: "".join(f"{line}\n" for line in lines) for name, lines in lists.items() if lines}
    texts["report.json"] = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    for name, text in texts.items():
        replace_file(folder / name, partial(Path.write_text, data=text, encoding="utf-8"))


@command
def main(argv: list[str] | None = None) -> None:
    # Of captions longer than the tokenizer was made for: they are counted here.
    logging.getLogger("transformers").setLevel(logging.ERROR)
    arguments = parse_arguments(argv)
    check_arguments(arguments)
    subject = open_subject(arguments)
    folder = None
    if arguments.output is not None:
        refuse_among_data(arguments.output, subject.data)
        folder = open_output(arguments.output)
    checked = check(subject, arguments.rows, arguments.threads, arguments.seed)
    wrong = problems(checked)
    report = {
        "sources": [f"{one.source}:{one.split}" for one in subject.data.sources()],
        **checked.figures(),
        "problems": wrong,
        "remarks": remarks(checked),
    }
    if folder is not None:
        write_files(folder, checked, report)
    print(json.dumps(report, ensure_ascii=False))
    print(summary(checked, report["remarks"]), file=sys.stderr)
    if wrong:
        raise UserError(" ".join(wrong))
    print("Training can start.", file=sys.stderr)


if __name__ == "__main__":
    main()
