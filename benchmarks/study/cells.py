"""The cells of a study: figures of a training run each, kept so that it is never run twice."""

import fcntl
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from measuring import machine

from pipelines.command_line import UserError
from pipelines.training.storage import is_being_written, replace_file

Figures = dict[str, Any]


def cell_name(data: str, arm: str, seed: int) -> str:
    """Of what is trained on a data set with a seed."""
    return f"{data}_{arm}_{seed}"


class Cells:
    """A folder of `NAME.json`. Several processes may fill it: each cell is run by one of them.

    Raises:
        UserError: it cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"the folder {folder} cannot be made ({error}).") from error

    def all(self) -> dict[str, Figures]:
        """Those that are finished, by name; not what another process is writing, or a killed one
        was."""
        files = [file for file in self.folder.glob("*.json") if not is_being_written(file)]
        return {file.stem: json.loads(file.read_text()) for file in sorted(files)}

    def restore(self, file: Path) -> None:
        """Takes over what a page's JSON has and the folder does not: figures outlive their runs."""
        if not file.exists():
            return
        for name, found in json.loads(file.read_text())["cells"].items():
            if not (self.folder / f"{name}.json").exists():
                self._write(name, found)

    def finished(self, name: str, settings: Sequence[str] | None = None) -> Figures | None:
        """The figures of a cell, if it has been run.

        Raises:
            UserError: it was run with other `settings`, where they are given.
        """
        file = self.folder / f"{name}.json"
        if not file.exists():
            return None
        found = json.loads(file.read_text())
        if settings is not None and sorted(found["settings"]) != sorted(settings):
            other = sorted({*found["settings"]} ^ {*settings})
            raise UserError(
                f"{file} was run with other settings ({', '.join(other)}); remove it and its run, "
                "or name another --output."
            )
        return found

    def run(
        self, name: str, settings: Sequence[str], measure: Callable[[], Figures], wait: bool = True
    ) -> Figures | None:
        """The figures of a cell, found now by `measure` if need be.

        None where another process is at it and not to be waited for.

        Raises:
            UserError: it was run with other settings.
        """
        found = self.finished(name, settings)
        if found is not None:
            return found
        with self.claimed(name, wait) as ours:
            if not ours:
                return None
            found = self.finished(name, settings)  # it may have been waited for
            if found is None:
                found = {**measure(), "settings": list(settings), "machine": machine()}
                self._write(name, found)
            return found

    def _write(self, name: str, found: Figures) -> None:
        text = json.dumps(found, indent=2) + "\n"
        replace_file(self.folder / f"{name}.json", lambda file: file.write_text(text))

    @contextmanager
    def claimed(self, name: str, wait: bool) -> Iterator[bool]:
        """Whether the cell is this process's to run; the claim ends with the process, however."""
        with (self.folder / f"{name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
            else:
                yield True
