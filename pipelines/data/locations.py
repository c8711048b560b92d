"""Where a name that a user gave points to: this machine or the hub."""

import re
from pathlib import Path

from pipelines.command_line import UserError

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
FILE_ENDINGS = (".parquet", ".arrow", ".json", ".jsonl", ".tar", ".yaml", ".csv", ".zip")


def is_pattern(name: str) -> bool:
    """Whether it stands for files elsewhere (`https://…`, `hf://…`) or several (`DIR/*.tar`)."""
    return "://" in name or "*" in name


def local_path(name: str | Path, what: str) -> Path | None:
    """The existing file or folder that `name` means, or None where it is a hub name.

    Raises:
        UserError: it is neither. A name is not asked for on the hub when its owner part is a
            folder here or it ends like a file's: that is a mistyped path.
    """
    path = Path(name).expanduser()
    if path.exists():
        return path
    mistyped = Path(str(name).split("/")[0]).exists() or path.suffix.lower() in FILE_ENDINGS
    if HUB_NAME.fullmatch(str(name)) and not mistyped:
        return None
    raise UserError(
        f"the {what} {name} does not exist; give a path, or a hub name such as owner/name."
    )
