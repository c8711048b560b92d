"""What a run tells about itself: metrics.jsonl, trackers, the progress bar and the loss curve."""

import json
import math
import sys
from pathlib import Path
from typing import Any, Self

from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from tqdm import tqdm

from pipelines.command_line import UserError
from pipelines.extras import EXTRAS
from pipelines.training.distributed import Processes
from pipelines.training.state import RunParts
from pipelines.training.storage import replace_file

METRICS = "metrics.jsonl"
LOSS_CURVE = "loss_curve.png"


def check_trackers(names: tuple[str, ...]) -> None:
    """Raises:
    UserError: accelerate has no tracker of this name, or its package is not installed.
    """
    known = sorted(LOGGER_TYPE_TO_CLASS)
    present = [str(name) for name in get_available_trackers()]
    for name in names:
        if name not in known:
            raise UserError(
                f"training.trackers names {name!r}, which accelerate does not offer; "
                f"choose from {', '.join(known)}."
            )
        if name not in present:
            ours = name in EXTRAS["training"]
            package = "'drawscribe[training]'" if ours else name.replace("_", "-")
            raise UserError(
                f"training.trackers names {name!r}, whose package is missing; "
                f"`pip install {package}`, or set training.trackers=[]."
            )


class Report:
    """The rows of one run: to `metrics.jsonl`, to accelerate's trackers and to the progress bar.

    Only the first process writes; in the others nothing happens. Trackers that write files use
    `logs/` in the run's folder; `loss_curve.png` follows every validation and the end. Rows that a
    killed run wrote beyond its last state are dropped.
    """

    def __init__(
        self, folder: Path, trackers: tuple[str, ...], parts: RunParts, processes: Processes
    ) -> None:
        self.path = folder / METRICS
        self._active = processes.is_main
        if not self._active:
            return
        step = parts.position.step
        if self.path.exists():
            kept = [row for row in read_metrics(self.path) if row["step"] <= step]
            unfinished = self.path.with_name(METRICS + ".unfinished")
            unfinished.write_text("".join(json.dumps(row) + "\n" for row in kept))
            unfinished.replace(self.path)
        self._accelerator = Accelerator(
            cpu=processes.device.type == "cpu",
            log_with=list(trackers) or None,
            project_dir=str(folder),
        )
        self._accelerator.init_trackers(
            "logs",
            init_kwargs={
                "tensorboard": {"purge_step": step + 1},
                "wandb": {"id": parts.run_id, "resume": "allow", "dir": str(folder)},
            },
        )
        self._bar = ProgressBar(next(iter(parts.players)))

    def write(self, row: dict[str, Any]) -> None:
        """Adds one row; it must have a `step`."""
        if not self._active:
            return
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        values = {name: value for name, value in row.items() if name != "step"}
        self._accelerator.log(values, step=row["step"])
        if "progress" in row:
            self._bar.show(row)
        if "validation_loss" in row:
            draw_loss_curve(self.path, self.path.with_name(LOSS_CURVE))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._active:
            self._bar.close()
            draw_loss_curve(self.path, self.path.with_name(LOSS_CURVE))
            # Not `end_training`, which would end the other processes' group as well.
            for tracker in self._accelerator.trackers:
                tracker.finish()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All whole rows (none where there is no file); a kill may have cut the last one off."""
    rows = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


class ProgressBar:
    """Loss, rate and time left, on stderr."""

    THOUSAND = 1000  # the bar counts thousandths of the run, which may be measured in minutes

    def __init__(self, description: str) -> None:
        interval = 0.5 if sys.stderr.isatty() else 15.0
        self._bar = tqdm(
            total=self.THOUSAND,
            desc=description,
            bar_format="{desc} {percentage:3.0f}%|{bar:24}| {postfix}",
            mininterval=interval,
            dynamic_ncols=sys.stderr.isatty(),
        )

    def show(self, row: dict[str, Any]) -> None:
        """Takes the loop's row of metrics."""
        progress, seconds = row["progress"], 60 * row["minutes"]
        left = seconds * (1 - progress) / progress if progress > 0 else math.nan
        loss = row.get("loss", math.nan)  # where all steps since the last row were skipped
        text = (
            f"step {row['step']}, loss {loss:.4f}, {row['steps_per_second']:.2f} steps/s, "
            f"{_clock(left)} left"
        )
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update(min(self.THOUSAND, round(progress * self.THOUSAND)) - self._bar.n)

    def close(self) -> None:
        self._bar.close()


def _clock(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def draw_loss_curve(metrics: Path, picture: Path) -> None:
    """Training and validation loss over the steps, as a PNG."""
    from matplotlib.figure import Figure

    rows = read_metrics(metrics)
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, label, style in (
        ("loss", "training", "-"),
        ("validation_loss", "validation", "o-"),
    ):
        points = [(row["step"], row[name]) for row in rows if name in row]
        if points:
            axes.plot(*zip(*points, strict=True), style, label=label, linewidth=1, markersize=3)
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    if axes.lines:
        axes.legend()
    replace_file(picture, lambda path: figure.savefig(path, dpi=120))
