"""The training runs of a study: each taken up where it was interrupted, and none run twice."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from pipelines.command_line import UserError
from pipelines.training.metrics import METRICS, read_metrics
from pipelines.training.storage import replace_file
from study.cells import Cells

PATHS = ("data.source=", "tokenizer=", "text_encoder=")
"""Overrides that are of a machine, and not kept."""
QUIET = ("training.trackers=[]", "training.sample_every=0")


class Study:
    """The folder of a study: `runs/` are training runs, `cells/` the figures of finished ones.

    Args:
        shorten: divides every number of steps, to see that everything runs.
    """

    def __init__(self, folder: Path, shorten: int = 1) -> None:
        self.folder, self.shorten = folder, shorten
        self.cells = Cells(folder / "cells")

    def run_folder(self, name: str) -> Path:
        """Of a cell."""
        return self.folder / "runs" / name

    def shortened(self, steps: int) -> int:
        """A number of steps divided, and two at least."""
        return max(2, steps // self.shorten)


def budget(steps: int) -> list[str]:
    """The overrides for so many steps."""
    return [f"training.steps={steps}", "training.minutes=null", "training.save_every=200"]


def train(main: Callable, config: str, run: Path, overrides: list[str]) -> None:
    """One training run to its end, taken up where an earlier one was interrupted.

    Raises:
        UserError: it was begun with other settings.
        KeyboardInterrupt: it was asked to stop, which a training run does by ending early.
    """
    check_settings(run, kept(overrides))
    if trained(run):
        return
    arguments = ["--config", config, *QUIET, *overrides, f"output={run}"]
    main([*arguments, "--resume"] if run.exists() else arguments)
    if max(row.get("progress", 0.0) for row in read_metrics(run / METRICS)) < 1:
        raise KeyboardInterrupt
    (run / "state").rename(run / "finished_state")  # in one step, which removing it is not
    shutil.rmtree(run / "finished_state")


def check_settings(run: Path, settings: list[str]) -> None:
    """Keeps the settings of a run beside it, before it begins: a budget cut short in one sitting
    must not pass for the whole one in the next.

    Raises:
        UserError: it was begun with others.
    """
    file = run.with_name(f"{run.name}.json")
    if run.exists() and file.exists() and json.loads(file.read_text()) != settings:
        raise UserError(
            f"{run} was begun with other settings ({file}); remove it, or name another --output."
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_file(file, lambda writing: writing.write_text(json.dumps(settings, indent=1) + "\n"))


def trained(run: Path) -> bool:
    """Whether a run came to its end: its state is gone by then."""
    return (run / "checkpoint").is_dir() and not (run / "state").exists()


def kept(overrides: Sequence[str]) -> list[str]:
    """The overrides that are not of a machine."""
    return [one for one in overrides if not one.startswith(PATHS)]
