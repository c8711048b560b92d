"""Finding and reading the original files of a data set, or saying what was looked for."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.command_line import UserError, in_short
from pipelines.data.columns import says_something

# Of a file that is not JSON (or text in UTF-8), or is other JSON than it should be.
FORM_ERRORS = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)


def find(root: Path, *names: str) -> Path:
    """The first of these that the folder has.

    Raises:
        UserError: it has none.
    """
    for name in names:
        if (root / name).exists():
            return root / name
    raise UserError(
        f"{root} has no {' and no '.join(names)}; docs/benchmarks.md says what to download and "
        "unpack there."
    )


@contextmanager
def reading(file: Path, form: str) -> Iterator[None]:
    """Around all that relies on the form of a file.

    Raises:
        UserError: it cannot be read, or is of another form.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror}).") from error
    except FORM_ERRORS as error:
        raise UserError(
            f"{file} is not {form} ({type(error).__name__} {in_short(error)}); download it again."
        ) from error


def read_json(file: Path) -> Any:
    """To be called within `reading`."""
    return json.loads(file.read_text(encoding="utf-8"))


def read_lines(file: Path) -> list[str]:
    """Those that are not blank, without blanks at their ends.

    Raises:
        UserError: the file is no text in UTF-8.
    """
    with reading(file, "a text in UTF-8"):
        # Not splitlines, which takes line separators within a caption for ends of lines.
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    return [line.strip(" \r") for line in lines if line.strip()]


def tidy(texts: Iterable[str]) -> list[str]:
    """Those that say something, each with single blanks for white space of any kind: a
    `metadata.jsonl` is read line by line, and Unicode has ten ways to end one."""
    lines = [" ".join(text.split()) for text in texts]
    return [line for line in lines if says_something(line)]


def coco_pictures(root: Path, name: str) -> Callable[[int], Path]:
    """Where the pictures of COCO's `train2014`, `val2014`, `train2017` or `val2017` lie, by their
    numbers, of which alone the names of 2017 consist.

    Raises:
        UserError: there is no such folder.
    """
    folder = find(root, name, f"images/{name}")
    prefix = f"COCO_{name}_" if name.endswith("2014") else ""
    return lambda number: folder / f"{prefix}{number:012d}.jpg"
