"""`checkpoint/`: what inference needs, in one folder that is whole at any moment.

A run's `checkpoint/` holds averaged (EMA) weights: those of the best validation loss so far where
the run validates and `training.export` is not `last`, else those of the last saved state.

It is only ever replaced by a whole successor, through these steps:

    checkpoint.writing    being written; may be half done
    checkpoint.new        the same, whole and on the disk
    checkpoint.old        the predecessor, moved out of the way
    checkpoint            the successor in its place; then checkpoint.old goes

A run killed between any two of them leaves a whole checkpoint under one of the last three names:
`heal` (on resume) puts it in its place, and `open_checkpoint` finds it meanwhile.
"""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.command_line import UserError, in_short
from pipelines.hub.pulling import Repository, holds, hub_repository, pull
from pipelines.pretrained import without_bars
from pipelines.training.storage import DISK_ERRORS, reach_disk, reach_disk_of_parent

FORMAT_VERSION = 1
INDEX = "model_index.json"
# What each kind of checkpoint holds at least, by folder; the index of each names its own.
PARTS = {
    "tokenizer": ("tokenizer",),
    "bidirectional": ("tokenizer", "text_tokenizer", "transformer"),
    "dual_encoder": ("dual_encoder", "text_tokenizer"),
    "gan": ("generator",),
}


@dataclass(frozen=True)
class CheckpointPaths:
    """An opened checkpoint: where its parts are (`parts` by their names) and what it can do."""

    root: Path
    kind: str
    tasks: tuple[str, ...]
    step: int | None
    parts: tuple[str, ...]

    @property
    def tokenizer(self) -> Path:
        return self.root / "tokenizer"

    @property
    def text_tokenizer(self) -> Path:
        return self.root / "text_tokenizer"

    @property
    def transformer(self) -> Path:
        return self.root / "transformer"

    @property
    def reconstructor(self) -> Path | None:
        """Only after end-to-end training."""
        folder = self.root / "reconstructor"
        return folder if folder.is_dir() else None

    @property
    def dual_encoder(self) -> Path:
        return self.root / "dual_encoder"

    @property
    def generator(self) -> Path:
        return self.root / "generator"

    @property
    def text_encoder(self) -> Path | None:
        """Of a GAN that draws of texts."""
        folder = self.root / "text_encoder"
        return folder if folder.is_dir() else None

    @property
    def style_encoder(self) -> Path | None:
        """Of a GAN that was given one."""
        folder = self.root / "style_encoder"
        return folder if folder.is_dir() else None


def open_checkpoint(path: str | Path, kind: str | None = None) -> CheckpointPaths:
    """Checks a checkpoint before anything is loaded from it.

    Args:
        path: the folder that holds `model_index.json` (or a run's folder, which holds
            `checkpoint/`); where there is none, a repository of the hub (`owner/name`,
            `owner/name@revision`), which is pulled into the hub's local cache.
        kind: what the caller can use; `None` for any. A transformer's checkpoint is its
            tokenizer's as well.

    Raises:
        UserError: there is no checkpoint at `path`, it is of another kind or of a format that
            this version does not know, or one of its parts is missing.
    """
    repository = hub_repository(path)
    if repository is None:
        root = _locate(Path(path))
    else:
        root = pull(repository, INDEX, lambda folder: _read_index(folder, kind, repository).parts)
    paths = _read_index(root, kind, repository or root)
    for part in paths.parts:
        if not (root / part).is_dir():
            raise UserError(
                f"{repository or root} lacks its folder {part!r}; copy the whole checkpoint."
            )
    return paths


def is_checkpoint_on_hub(name: str | Path) -> bool:
    """Whether it is a checkpoint of ours on the hub, and no other model there; False where it is a
    folder here, and where it cannot be told. Only ours are called by a revision."""
    repository = hub_repository(name)
    return repository is not None and (repository.revision is not None or holds(repository, INDEX))


def _read_index(root: Path, kind: str | None, called: Path | Repository) -> CheckpointPaths:
    """What the index in a folder says of the checkpoint.

    Args:
        called: as the user knows the folder.
    """
    try:
        index = json.loads((root / INDEX).read_text())
        found, version = str(index["kind"]), index["format_version"]
        tasks, parts = _names(index["tasks"]), _names(index.get("parts", PARTS.get(found, ())))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"the {INDEX} of {called} is not the index of a checkpoint ({error}); name a folder "
            "that a training run has written."
        ) from None
    if version != FORMAT_VERSION:
        raise UserError(
            f"{called} has checkpoint format {version}, and this version reads format "
            f"{FORMAT_VERSION}; use the version of drawscribe that wrote it."
        )
    if kind == "tokenizer" and kind in parts:
        found, parts = kind, (kind,)
    if found not in PARTS:
        raise UserError(
            f"{called} is a {found!r} checkpoint, a kind that this version of drawscribe does not "
            f"know; name one of {', '.join(PARTS)}."
        )
    if kind is not None and found != kind:
        raise UserError(
            f"{called} is a {found} checkpoint where a {kind} checkpoint is expected; "
            f"name one that {_trainer(kind)} has written."
        )
    return CheckpointPaths(root, found, tasks, index.get("step"), parts)


def _names(listed: Any) -> tuple[str, ...]:
    """Raises ValueError where it is no list of plain names."""
    names = tuple(listed)
    if not all(isinstance(name, str) and re.fullmatch(r"\w+", name) for name in names):
        raise ValueError(f"{listed!r} are not names")
    return names


def _trainer(kind: str) -> str:
    return {
        "tokenizer": "train_tokenizer.py",
        "bidirectional": "train_bidirectional.py",
        "dual_encoder": "train_dual_encoder.py",
        "gan": "train_gan.py",
    }[kind]


def _locate(path: Path) -> Path:
    """The folder with the index: `path`, its `checkpoint`, or one caught between two names."""
    candidates = [path, *(path.with_name(path.name + suffix) for suffix in (".new", ".old"))]
    candidates += [path / f"checkpoint{suffix}" for suffix in ("", ".new", ".old")]
    for candidate in candidates:
        if (candidate / INDEX).is_file():
            return candidate
    if not path.exists():
        raise UserError(f"there is no folder {path}; name a checkpoint folder.")
    if path.name in ("tokenizer", "dual_encoder") and (path.parent / INDEX).is_file():
        raise UserError(f"{path} is a part of a checkpoint; name the folder above it.")
    raise UserError(f"{path} holds no {INDEX}; name the checkpoint folder of a training run.")


def write_checkpoint(
    target: Path,
    kind: str,
    tasks: tuple[str, ...],
    step: int,
    write_parts: Callable[[Path], Any],
    imported_from: str | None = None,
) -> None:
    """Replaces the checkpoint `target` by a new one.

    Args:
        write_parts: fills a folder with the parts of `PARTS[kind]`.
        imported_from: whose weights they are, where no run of ours trained them.

    Raises:
        UserError: it cannot be written; the one before it stays.
    """
    heal(target)
    writing = target.with_name(target.name + ".writing")
    try:
        writing.mkdir(parents=True)
        with without_bars():
            write_parts(writing)
        index = {
            "kind": kind,
            "format_version": FORMAT_VERSION,
            "tasks": list(tasks),
            "parts": sorted(part.name for part in writing.iterdir()),
            "step": step,
        } | ({"imported_from": imported_from} if imported_from else {})
        (writing / INDEX).write_text(json.dumps(index, indent=2) + "\n")
        reach_disk(writing)
    except DISK_ERRORS as error:
        shutil.rmtree(writing, ignore_errors=True)
        raise UserError(
            f"{target} cannot be written ({in_short(error)}); make room. What was there before is "
            "still there."
        ) from error
    new = writing.rename(target.with_name(target.name + ".new"))
    old = target.with_name(target.name + ".old")
    if target.exists():
        target.rename(old)
    new.rename(target)
    reach_disk_of_parent(target)
    shutil.rmtree(old, ignore_errors=True)


def heal(target: Path) -> None:
    """Finishes or undoes what a killed `write_checkpoint` left beside `target`."""
    new, old = (target.with_name(target.name + suffix) for suffix in (".new", ".old"))
    if not target.exists():
        for whole in (new, old):
            if whole.exists():
                whole.rename(target)
                break
    for leftover in (new, old, target.with_name(target.name + ".writing")):
        shutil.rmtree(leftover, ignore_errors=True)
