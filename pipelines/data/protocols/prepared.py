"""Rows of a protocol -> a folder for each split, with a `metadata.jsonl` as `folders` reads it."""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TypeAlias

from pipelines.command_line import UserError
from pipelines.training.storage import begin, commit

NAMED = 3
"""How many of many missing pictures are named."""


@dataclass(frozen=True)
class PreparedRow:
    """A picture where it lies, and its cells by column: a text or a list of them."""

    picture: Path
    cells: Mapping[str, str | list[str]]


Splits: TypeAlias = dict[str, list[PreparedRow]]


@dataclass(frozen=True)
class Protocol:
    """One data set and its splits.

    Args:
        read: from the absolute folder of the original files to the rows of each split. Raises
            UserError where they are not of the layout that it expects.
        rows: how many there are in each split of the data as published.
    """

    read: Callable[[Path], Splits]
    rows: Mapping[str, int]


def write_folder(splits: Splits, output: Path) -> None:
    """Writes `output/SPLIT/metadata.jsonl`, all or none of them; pictures are named, not copied.

    Raises:
        UserError: a split is empty, a picture is not there, or the folder cannot be written.
    """
    for split, rows in splits.items():
        if not rows:
            raise UserError(f"no row of the split {split!r} was found; check the original files.")
    _refuse_missing(row.picture for row in chain(*splits.values()))
    try:
        writing = begin(output)
        for split, rows in splits.items():
            (writing / split).mkdir()
            with (writing / split / "metadata.jsonl").open("w", encoding="utf-8") as file:
                for row in rows:
                    cells = {"file_name": str(row.picture), **row.cells}
                    file.write(json.dumps(cells, ensure_ascii=False) + "\n")
        commit(writing)
    except (OSError, UnicodeEncodeError) as error:
        raise UserError(f"the output folder {output} cannot be written ({error}).") from error


def _refuse_missing(pictures: Iterable[Path]) -> None:
    """Half of a data set is another data set: nothing is prepared of one."""
    named = list(dict.fromkeys(pictures))
    # A hundred thousand names are looked up in a listing sooner than on the disk.
    listings: dict[Path, frozenset[str]] = {}
    for folder in {picture.parent for picture in named}:
        listings[folder] = frozenset(os.listdir(folder) if folder.is_dir() else ())
    missing = [picture for picture in named if picture.name not in listings[picture.parent]]
    if missing:
        raise UserError(
            f"{len(missing):,} of {len(named):,} pictures are missing, such as "
            f"{', '.join(map(str, missing[:NAMED]))}; unpack all of them there."
        )
