"""Where captions go: to stdout, or to a file that a command started again goes on with."""

import os
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pipelines.caption_parts import CaptionedPart
from pipelines.command_line import UserError
from pipelines.restarting import held, read_state, telling_what_cannot_be_written, write_state
from pipelines.training.storage import reach_disk_of_parent


@dataclass
class Progress:
    """How far the work came.

    together: how many pictures make a part.
    done: the pictures before this number had their turn.
    left_out: the numbers of those among them that could not be read, and have no lines.
    size: of the lines, in bytes.
    """

    together: int
    done: int = 0
    left_out: list[int] = field(default_factory=list)
    size: int = 0

    def add(self, part: CaptionedPart) -> None:
        """Of new pictures, or of some that could not be read before."""
        self.done = max(self.done, part.numbers[-1] + 1)
        self.left_out = [n for n in self.left_out if n not in part.numbers] + [*part.unreadable]

    def parts_to_do(self, pictures: int) -> list[list[int]]:
        """Pictures by their numbers: those that were left out have another turn first."""
        again, new = self.left_out, list(range(self.done, pictures))
        return [
            numbers[first : first + self.together]
            for numbers in (again, new)
            for first in range(0, len(numbers), self.together)
        ]


class Rows(Protocol):
    """Takes lines of JSON, those of each part of the pictures after those of the part before."""

    progress: Progress

    def begin(self, begun_with: dict[str, Any], together: int) -> Progress:
        """Where to go on; `together` pictures make a part where nothing was begun."""

    def take(self, parts: list[CaptionedPart]) -> None:
        """The next parts."""


class Printed:
    """On stdout."""

    def begin(self, begun_with: dict[str, Any], together: int) -> Progress:
        self.progress = Progress(together)
        return self.progress

    def take(self, parts: list[CaptionedPart]) -> None:
        for part in parts:
            self.progress.add(part)
            for line in part.lines:
                print(line)


class Written:
    """Into a file, which at any moment holds whole lines; the state beside it says how many of its
    bytes are of parts that are done. While `holding` is open, no other command writes into it."""

    def __init__(self, file: Path, holding: ExitStack) -> None:
        self.file, self.holding = file, holding
        self.output, self.is_held = f"the output file {file}", False
        # The whole name with its ending: of k.txt and k.jsonl each has its own.
        self.index = file.with_name(file.name + ".begun.json")

    def begin(self, begun_with: dict[str, Any], together: int) -> Progress:
        """Writes nothing yet: what is wrong with a setting may show only with the first part.

        Raises:
            UserError: the file is there and was not begun by this command, no longer has what was
                written, or another command is at it.
        """
        self.begun_with = begun_with
        if self.file.is_file():
            self._hold()
        state = read_state(self.index, self.output, begun_with)
        if state is None:
            # Which a kill leaves between the making of the file and of the state.
            empty = self.file.is_file() and self.file.stat().st_size == 0
            if self.file.exists() and not empty:
                raise UserError(f"{self.output} is there already; name a new one.")
            self.progress = Progress(together)
            return self.progress
        self.progress = Progress(**state)
        size = self.file.stat().st_size if self.file.is_file() else 0
        if size < self.progress.size:
            raise UserError(
                f"{self.output} has lost lines since they were written; remove it and "
                f"{self.index}, and start again."
            )
        return self.progress

    def _hold(self) -> None:
        self.holding.enter_context(held(self.file, self.output))
        self.is_held = True

    def take(self, parts: list[CaptionedPart]) -> None:
        """Raises:
        UserError: the file cannot be written, or another command is at it.
        """
        progress = self.progress
        content = "".join(f"{line}\n" for part in parts for line in part.lines).encode()
        with telling_what_cannot_be_written(self.file):
            if not self.is_held:
                self.file.parent.mkdir(parents=True, exist_ok=True)
                self.file.touch()
                self._hold()
                write_state(self.index, self.begun_with, asdict(progress))
            with self.file.open("ab") as file:
                file.truncate(progress.size)  # what a kill left of parts that were not finished
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            reach_disk_of_parent(self.file)
        for part in parts:
            progress.add(part)
        progress.size += len(content)
        write_state(self.index, self.begun_with, asdict(progress))
