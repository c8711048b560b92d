"""What a run left beside its checkpoint, as far as a model card tells of it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from pipelines.command_line import JSON_ERRORS, UserError, in_short
from pipelines.configuration.loading import read_yaml
from pipelines.evaluation.descriptions import FIGURES, GROUPS, rows_of
from pipelines.training.checkpoint import INDEX, CheckpointPaths
from pipelines.training.metrics import LOSS_CURVE, METRICS, read_metrics
from pipelines.training.run_folder import RunFolder

CONFIGURATION, REPORT = "config.yaml", "report.json"
PICTURES = "images"
"""The folder of a repository that has them."""


@dataclass(frozen=True)
class FiguresFound:
    """A table of a card."""

    title: str
    rows: list[tuple[str, str]]


@dataclass(frozen=True)
class PictureFound:
    """Where it is on this machine, and what it shows."""

    file: Path
    shows: str
    name: str

    @property
    def path(self) -> str:
        """In the repository."""
        return f"{PICTURES}/{self.name}"


@dataclass(frozen=True)
class RunDescription:
    """Of a checkpoint and its run; what is not known is empty.

    parameters: how many numbers each part's weights are.
    sampling: what the checkpoint recommends.
    configuration: `config.yaml`.
    tokenizer_configuration: likewise of a tokenizer that the same run trained first.
    last: the last row of metrics about training.
    prompt: of the newest samples.
    imported_from: whose tokenizer `import_tokenizer.py` took over, by its `--kind`.
    """

    kind: str
    tasks: tuple[str, ...]
    step: int | None
    parameters: dict[str, int]
    sampling: dict[str, Any] = field(default_factory=dict)
    configuration: dict[str, Any] = field(default_factory=dict)
    tokenizer_configuration: dict[str, Any] = field(default_factory=dict)
    last: dict[str, Any] = field(default_factory=dict)
    minutes: float | None = None
    figures: list[FiguresFound] = field(default_factory=list)
    pictures: list[PictureFound] = field(default_factory=list)
    prompt: str | None = None
    imported_from: str | None = None


def describe_run(paths: CheckpointPaths, report: Path | None = None) -> RunDescription:
    """Reads what lies beside a checkpoint in its run's folder, if it is in one.

    Args:
        report: the folder of a report of `evaluate_checkpoint.py` about it.

    Raises:
        UserError: there is no such report, or a file of the run is damaged.
    """
    index = json.loads((paths.root / INDEX).read_text())
    figures, pictures = _of_report(report) if report is not None else ([], [])
    known: dict[str, Any] = {
        "kind": paths.kind,
        "tasks": paths.tasks,
        "step": paths.step,
        "parameters": {part: count_parameters(paths.root / part) for part in paths.parts},
        "sampling": _checked(index, ("sampling",), paths.root / INDEX).get("sampling", {}),
        "imported_from": index.get("imported_from"),
    }
    run = RunFolder(paths.root.parent)
    if not paths.root.name.startswith("checkpoint") or not (run.path / CONFIGURATION).is_file():
        return RunDescription(**known, figures=figures, pictures=pictures)
    metrics, before = (read_metrics(f / METRICS) for f in (run.path, run.path / "tokenizer"))
    minutes = [row["minutes"] for rows in (metrics, before) for row in _rows(rows, "minutes")[-1:]]
    return RunDescription(
        **known,
        configuration=_configuration_of(run.path),
        tokenizer_configuration=_configuration_of(run.path / "tokenizer"),
        last=(_rows(metrics, "progress") or [{}])[-1],
        minutes=sum(minutes) if minutes else None,
        figures=[*_of_quickstart(run.path), *figures, *_of_validation(metrics, paths.step)],
        pictures=[*_of_run(run), *pictures],
        prompt=_prompt(run),
    )


def count_parameters(part: Path) -> int:
    """The numbers in the weights of a checkpoint's part; the files' heads say how many.

    Raises:
        UserError: a file is damaged.
    """
    total = 0
    for file in sorted(part.glob("*.safetensors")):
        try:
            with safe_open(file, framework="pt") as weights:
                slices = map(weights.get_slice, weights.keys())
                total += sum(prod(one.get_shape()) for one in slices)
        except (SafetensorError, OSError) as error:
            raise UserError(
                f"{file} cannot be read ({in_short(error)}); copy the checkpoint anew."
            ) from error
    return total


def _rows(metrics: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [row for row in metrics if isinstance(row, dict) and name in row]


def _configuration_of(run: Path) -> dict[str, Any]:
    file = run / CONFIGURATION
    return _checked(read_yaml(file), ("training", "model"), file) if file.is_file() else {}


def _checked(document: dict[str, Any], sections: tuple[str, ...], file: Path) -> dict[str, Any]:
    """Raises UserError: one of the sections that it has is no mapping."""
    for name in sections:
        if not isinstance(document.get(name, {}), dict):
            raise UserError(
                f"{file} is damaged ({name} is {document[name]!r}, and no mapping); mend it, or "
                "take that line out."
            )
    return document


def _read_report(folder: Path) -> dict[str, Any]:
    try:
        report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        if not isinstance(report, dict):
            raise ValueError("it is no mapping")
    except (OSError, ValueError) as error:
        raise UserError(
            f"the report {folder} cannot be read ({error}); name the output folder of "
            "evaluate_checkpoint.py."
        ) from error
    return report


def _of_quickstart(run: Path) -> Iterator[FiguresFound]:
    """Those that `quickstart.py` measured into the run's folder."""
    if not (run / REPORT).is_file():
        return
    report = _read_report(run)
    shares = {name: report[name] for name in FIGURES if isinstance(report.get(name), float)}
    if shares:
        scenes = report.get("scenes", "some")
        title = f"Shares of {scenes} test scenes each, every attribute right by the exact reader"
        yield FiguresFound(title, rows_of(shares))


def _of_report(folder: Path) -> tuple[list[FiguresFound], list[PictureFound]]:
    """Raises UserError: it is no report of `evaluate_checkpoint.py`."""
    report = _read_report(folder)
    try:
        number, groups = report["rows"], report["figures"]
        found = [
            FiguresFound(f"{GROUPS.get(name, name)}, measured on {number} rows", rows)
            for name, figures in groups.items()
            if (rows := rows_of({k: v for k, v in figures.items() if v is not None}))
        ]
    except JSON_ERRORS:
        raise UserError(
            f"{folder / REPORT} is no report of evaluate_checkpoint.py; name its output folder."
        ) from None
    rows_png = folder / "rows.png"
    shown = PictureFound(rows_png, "the first rows that it was measured on", "measured.png")
    return found, [shown] if rows_png.is_file() else []


def _of_validation(metrics: list[dict[str, Any]], step: int | None) -> Iterator[FiguresFound]:
    """Of the step whose weights these are; else the last ones."""
    rows = _rows(metrics, "validation_loss")
    row: Mapping[str, Any] = next((r for r in rows if r["step"] == step), rows[-1] if rows else {})
    names = [name for name in sorted(row) if name.startswith("validation_")]
    if names:
        shown = {name.removeprefix("validation_"): row[name] for name in names}
        yield FiguresFound(f"On validation rows, at step {row['step']}", rows_of(shown))


def _of_run(run: RunFolder) -> Iterator[PictureFound]:
    samples = run.path / "samples.png"
    if samples.is_file():
        yield PictureFound(samples, "prompts, drawn pictures, captions read back", "samples.png")
    if (newest := _newest_samples(run)) is not None:
        shows = f"samples at step {newest.stem.removeprefix('step_')}"
        yield PictureFound(newest, shows, "training_samples.png")
    if (curve := run.path / LOSS_CURVE).is_file():
        yield PictureFound(curve, "training and validation loss", LOSS_CURVE)


def _newest_samples(run: RunFolder) -> Path | None:
    numbered = (path for path in run.samples.glob("step_*.png") if path.stem[5:].isdigit())
    return max(numbered, key=lambda path: int(path.stem[5:]), default=None)


def _prompt(run: RunFolder) -> str | None:
    newest = _newest_samples(run)
    if newest is None or not (texts := newest.with_suffix(".jsonl")).is_file():
        return None
    try:
        return json.loads(texts.read_text(encoding="utf-8").splitlines()[0])["prompt"]
    except (*JSON_ERRORS, IndexError):
        return None
