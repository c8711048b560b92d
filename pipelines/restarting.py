"""Long work that goes on where it stopped when the same command is started again.

A JSON file beside the results says what the work was begun with, and how far it came.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.command_line import JSON_ERRORS, UserError, in_short
from pipelines.training.storage import BEING_WRITTEN, replace_file

FORMAT_VERSION = 1


def read_state(file: Path, output: str, begun_with: dict[str, Any]) -> dict[str, Any] | None:
    """The state that `write_state` left, or None where the work was not begun.

    Args:
        output: what the results are called in a sentence.
        begun_with: what the results depend on, by names that the user knows.

    Raises:
        UserError: the work was begun with something else, or the file is damaged.
    """
    if not file.is_file():
        # Killed while it was being written: nothing had been done by then.
        begun = file.with_name(BEING_WRITTEN + file.name)
        if begun.is_file():
            begun.unlink()
        return None
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        before, state = dict(stored["begun_with"]), dict(stored["state"])
    except (OSError, *JSON_ERRORS) as error:
        raise UserError(f"{file} is damaged ({in_short(error)}); name another output.") from error
    now = json.loads(_as_json(_versioned(begun_with)))
    names = [name for name in before | now if before.get(name) != now.get(name)]
    if names:
        changes = [f"{n} was {_said(before.get(n))}, now {_said(now.get(n))}" for n in names]
        raise UserError(
            f"{output} was begun otherwise ({'; '.join(changes)}); name a new one, or give the "
            "arguments it was begun with."
        )
    return state


def write_state(file: Path, begun_with: dict[str, Any], state: dict[str, Any]) -> None:
    """Raises:
    UserError: it cannot be written.
    """
    content = {"begun_with": _versioned(begun_with), "state": state}
    with telling_what_cannot_be_written(file):
        replace_file(file, lambda path: path.write_text(_as_json(content) + "\n", encoding="utf-8"))


@contextmanager
def telling_what_cannot_be_written(file: Path) -> Iterator[None]:
    """As a user's mistake: a disk that is full, most of all."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{file} cannot be written ({in_short(error)}); make room, or whatever it lacks, and "
            "start the same command again, which goes on from here."
        ) from error


@contextmanager
def held(path: Path, output: str) -> Iterator[None]:
    """While entered, and no longer than the process lives, no other command can hold this file or
    folder. Where the system or the disk knows no locks, all can.

    Raises:
        UserError: another one does.
    """
    if os.name == "nt":
        yield
        return
    import fcntl

    descriptor = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"another command is at work on {output}; wait for its end, or name another one."
            ) from None
        except OSError:
            pass
        yield
    finally:
        os.close(descriptor)


def _versioned(begun_with: dict[str, Any]) -> dict[str, Any]:
    return {"format_version": FORMAT_VERSION, **begun_with}


def _as_json(content: Any) -> str:
    return json.dumps(content, indent=2)


def _said(value: Any) -> str:
    return "none" if value is None else json.dumps(value, ensure_ascii=False)
