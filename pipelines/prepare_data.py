"""Turns a data set of the field, as people download it, into a folder that every command reads.

    python pipelines/prepare_data.py coco_14 --root ORIGINALS --output runs/data/coco_14
    python pipelines/train_tokenizer.py --config … data.source=runs/data/coco_14
    python pipelines/evaluate_checkpoint.py --data runs/data/coco_14:test --rows 30000 …

Writes `SPLIT/metadata.jsonl` for each split, with the places of the pictures, which are not copied,
their captions, questions and classes. docs/benchmarks.md says where each data set is from and what
its papers measure; pipelines/data/protocols has a module of its layout.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.command_line import UserError, command, command_parser
from pipelines.data.protocols import PROTOCOLS
from pipelines.data.protocols.prepared import Protocol, Splits, write_folder


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument(
        "name", choices=PROTOCOLS, metavar="NAME", help="one of " + ", ".join(PROTOCOLS)
    )
    parser.add_argument(
        "--root", required=True, metavar="DIR", help="where the original files are, unpacked"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="a new folder")
    return parser.parse_args(argv)


def differences(protocol: Protocol, splits: Splits) -> list[str]:
    """What is not as published, a sentence each."""
    return [
        f"the split {split} has {len(rows):,} rows; the published one has {protocol.rows[split]:,}."
        for split, rows in splits.items()
        if len(rows) != protocol.rows[split]
    ]


@command
def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    root, output = (Path(name).expanduser() for name in (arguments.root, arguments.output))
    if not root.is_dir():
        raise UserError(f"--root {root} is not a folder; name that of the original files.")
    if output.exists():
        raise UserError(f"the output folder {output} exists already; name a new one.")
    protocol = PROTOCOLS[arguments.name]
    splits = protocol.read(root.resolve())
    write_folder(splits, output)
    for sentence in differences(protocol, splits):
        print(f"Note: {sentence}", file=sys.stderr)
    counts = {split: len(rows) for split, rows in splits.items()}
    print(json.dumps({"output": str(output), **counts}))


if __name__ == "__main__":
    main()
