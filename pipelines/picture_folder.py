"""A folder of drawn pictures that processes fill together, and a command that is started again.

Its index is written first, then each picture by itself; `metadata.jsonl` is made of what the
pictures say, whenever a process leaves off. So nothing but pictures can be missing after a kill.
"""

import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.command_line import open_output
from pipelines.drawers import Part
from pipelines.picture_files import picture_name, read_said
from pipelines.restarting import held, read_state, telling_what_cannot_be_written, write_state
from pipelines.training.storage import replace_file

INDEX = "begun.json"


@dataclass(frozen=True)
class PictureFolder:
    """`pictures`: how many there are to be. While `holding` is open, no other command fills it."""

    path: Path
    pictures: int
    holding: ExitStack

    def begin(self, begun_with: dict[str, Any], together: int) -> int:
        """A new folder, or one that the same command was filling; how many pictures are drawn
        together there, which stays as it was however many processes go on with it.

        Raises:
            UserError: it holds something else, cannot be made, or another command is at it.
        """
        index, output = self.path / INDEX, f"the output folder {self.path}"
        if not self.path.is_dir():
            open_output(str(self.path))
        self.holding.enter_context(held(self.path, output))
        state = read_state(index, output, begun_with)
        if state is not None:
            return int(state["together"])
        open_output(str(self.path))
        write_state(index, begun_with, {"together": together})
        return together

    def lacks(self, part: Part) -> bool:
        """Whether one of its pictures is missing."""
        return not all(self.file(number).exists() for number in part.numbers)

    def file(self, number: int) -> Path:
        return self.path / picture_name(number)

    def write_metadata(self) -> int:
        """Writes the rows of the pictures that are there; how many.

        Raises:
            UserError: a picture is not one of ours, or the disk is full.
        """
        files = [file for file in map(self.file, range(self.pictures)) if file.exists()]
        rows = [{"file_name": file.name, **read_said(file)} for file in files]
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        metadata = self.path / "metadata.jsonl"
        with telling_what_cannot_be_written(metadata):
            replace_file(metadata, lambda path: path.write_text(lines, encoding="utf-8"))
        return len(rows)
