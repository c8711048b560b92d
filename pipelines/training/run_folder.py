"""The folder of one run: who may write into it, and where things lie."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipelines.command_line import UserError
from pipelines.training import checkpoint, storage


@dataclass(frozen=True)
class RunFolder:
    """
    checkpoint/        for inference (see `checkpoint`)
    state/step_N/      to resume from (see `state`)
    samples/           pictures drawn on the way
    logs/              the trackers' files
    config.yaml  text_tokenizer/  metrics.jsonl  loss_curve.png
    """

    path: Path

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint"

    @property
    def states(self) -> Path:
        return self.path / "state"

    @property
    def samples(self) -> Path:
        return self.path / "samples"

    def checkpoint_step(self) -> int | None:
        """The step whose weights `checkpoint/` holds."""
        index = self.checkpoint / checkpoint.INDEX
        return json.loads(index.read_text())["step"] if index.is_file() else None

    def last_step(self) -> int | None:
        """The step of the last whole state."""
        return max(storage.saved_steps(self.states), default=None)

    def begin(self, describe: Callable[[Path], None]) -> None:
        """Creates the folder if need be and lets `describe` write into it.

        Called when nothing is left that could refuse the run: a refused one leaves no folder
        behind that stands in the way of the corrected command, and no other run's description.

        Raises:
            UserError: it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            describe(self.path)
        except OSError as error:
            raise UserError(f"output={self.path} cannot be written ({error.strerror}).") from None


def open_run_folder(output: str, resume: bool) -> RunFolder:
    """The folder for a run: new or empty, or an existing one after healing what a kill left.

    Called in the first process alone, before anything is built; creates nothing.

    Raises:
        UserError: the folder is not empty and `resume` is not set, or it is no folder.
    """
    folder = RunFolder(Path(output))
    if folder.path.exists() and not folder.path.is_dir():
        raise UserError(f"output={output} is a file; name a folder.")
    if folder.path.exists() and any(folder.path.iterdir()) and not resume:
        raise UserError(
            f"output={output} is not empty; continue that run with --resume, "
            "name another folder, or remove it."
        )
    checkpoint.heal(folder.checkpoint)
    return folder
