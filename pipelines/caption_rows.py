"""Where captions go: to stdout, or to a file that a command started again goes on with."""

import os
from pathlib import Path
from typing import Any, Protocol

from pipelines.command_line import UserError
from pipelines.restarting import read_state, telling_what_cannot_be_written, write_state
from pipelines.training.storage import reach_disk_of_parent


class Rows(Protocol):
    """Takes lines of JSON, those of each part of the pictures after those of the part before."""

    def begin(self, begun_with: dict[str, Any], together: int) -> tuple[int, int]:
        """How many pictures make a part, and how many parts are done."""

    def take(self, parts: list[list[str]]) -> None:
        """The lines of the next parts."""


class Printed:
    """On stdout."""

    def begin(self, begun_with: dict[str, Any], together: int) -> tuple[int, int]:
        return together, 0

    def take(self, parts: list[list[str]]) -> None:
        for lines in parts:
            for line in lines:
                print(line)


class Written:
    """Into a file, which at any moment holds whole lines, in order; the state beside it says how
    many of its bytes are of parts that are done."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.index = file.with_suffix(".begun.json")

    def begin(self, begun_with: dict[str, Any], together: int) -> tuple[int, int]:
        """Writes nothing yet: what is wrong with a setting may show only with the first part.

        Raises:
            UserError: the file is there and was not begun by this command, or no longer has what
                was written.
        """
        self.begun_with = begun_with
        state = read_state(self.index, f"the output file {self.file}", begun_with)
        if state is None:
            if self.file.exists():
                raise UserError(f"the output file {self.file} is there already; name a new one.")
            self.state = {"together": together, "parts": 0, "bytes": 0}
            return together, 0
        self.state = state
        size = self.file.stat().st_size if self.file.is_file() else 0
        if size < state["bytes"]:
            raise UserError(
                f"the output file {self.file} has lost lines since they were written; remove it "
                f"and {self.index}, and start again."
            )
        return state["together"], state["parts"]

    def take(self, parts: list[list[str]]) -> None:
        """Raises:
        UserError: the file cannot be written.
        """
        state = self.state
        content = "".join(f"{line}\n" for lines in parts for line in lines).encode()
        with telling_what_cannot_be_written(self.file):
            if not state["parts"]:
                self.file.parent.mkdir(parents=True, exist_ok=True)
                write_state(self.index, self.begun_with, state)
            with self.file.open("ab") as file:
                file.truncate(state["bytes"])  # what a kill left of parts that were not finished
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            reach_disk_of_parent(self.file)
        state["parts"] += len(parts)
        state["bytes"] += len(content)
        write_state(self.index, self.begun_with, state)
