"""What the pages of studies have in common."""

import json
from collections.abc import Collection
from functools import partial
from pathlib import Path

from pipelines.command_line import UserError
from pipelines.training.storage import replace_file
from study.cells import Cells


def page_file(named: str | None, default: Path) -> Path:
    """Where a page is written.

    Raises:
        UserError: a folder is named.
    """
    page = Path(named or default)
    if page.is_dir():
        raise UserError(f"--page {page} is a folder; name a file.")
    return page


def write_with_cells(page: Path, text: str, cells: Cells) -> None:
    """A page, and beside it all cells as JSON."""
    found = json.dumps({"cells": cells.all()}, indent=1) + "\n"
    for path, content in ((page, text), (page.with_suffix(".json"), found)):
        replace_file(path, partial(Path.write_text, data=content, encoding="utf-8"))


def machines(cells: Cells, left_out: Collection[str] = ()) -> list[str]:
    """What cells were run on, each machine with its first and its last day.

    Args:
        left_out: of what is known of a machine.
    """
    dates: dict[str, list[str]] = {}
    for cell in cells.all().values():
        known = {k: v for k, v in cell["machine"].items() if k not in ("date", *left_out)}
        words = ", ".join(f"{name} {value}" for name, value in known.items())
        dates.setdefault(words, []).append(cell["machine"]["date"])
    return [f"{words}; {min(days)} to {max(days)}." for words, days in dates.items()]
