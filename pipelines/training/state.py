"""Training state: `state/step_N/`, complete to resume from.

A state holds all that a resumed run needs and nothing that inference does:

    trainer.json                  step, elapsed seconds, best validation loss, settings, …
    weights/PLAYER.safetensors    raw weights and buffers
    ema/PLAYER.safetensors        averaged weights
    optimizer/PLAYER.safetensors  what it keeps of each parameter, as KIND/PARAMETER
    objective.*                   what the objective keeps beyond its players
    random.*                      random states of every process

All of it is fp32 and whole, by the names of the module: how many processes trained, and whether
DeepSpeed divided what between them, leaves no trace, so that any of them goes on from it. A large
file has successors (PLAYER.1.safetensors, …). The data position is the step, of which batches are
a function; a bookmark spares a stream the way there.

It is written under another name and committed by one rename after everything has reached the
disk, so a run killed at any moment leaves only whole states behind.
"""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipelines.command_line import UserError, in_short
from pipelines.training import storage
from pipelines.training.contracts import Objective, Reading
from pipelines.training.distributed import Processes
from pipelines.training.ema import WeightAverage
from pipelines.training.loop import Position
from pipelines.training.players import Player
from pipelines.training.resuming import changes, refuse_unsound_changes
from pipelines.training.settings import TrainingSettings

FORMAT_VERSION = 2
DOCUMENT = "trainer.json"


@dataclass
class RunParts:
    """Everything whose state is saved."""

    objective: Objective
    players: dict[str, Player]
    averages: dict[str, WeightAverage]
    position: Position
    run_id: str
    settings: TrainingSettings
    reading: Reading


def save_state(states: Path, parts: RunParts, processes: Processes, keep: int) -> None:
    """Writes `states/step_N` and removes what is no longer to be kept.

    Every process calls this; the first one writes. Saving the same step again does nothing.
    """
    step = parts.position.step
    if processes.on_main(lambda: step in storage.saved_steps(states)):
        return
    random_states = processes.gather(random_state(processes.device))
    writing = states / f"step_{step}{storage.WRITING}"
    failures: list[Exception] = []

    def attempt(write: Callable[[], object]) -> None:
        """Goes on to the end after a failure, since all processes take part in it."""
        try:
            write()
        except storage.DISK_ERRORS as error:
            failures.append(error)

    def finish() -> None:
        if failures or not processes.is_main:
            return
        storage.write_tree(writing / "objective", parts.objective.state_dict())
        storage.write_tree(writing / "random", random_states)
        document = _document(parts, processes)
        (writing / DOCUMENT).write_text(json.dumps(document, indent=2) + "\n")
        storage.commit(writing)
        storage.prune(states, keep, parts.position.best_step)

    if processes.is_main:
        attempt(lambda: storage.begin(states / f"step_{step}"))
    for folder, tensors in _tensors(parts):
        mine = processes.is_main and not failures
        attempt(partial(storage.write_tensors, writing / folder, tensors, mine))
    attempt(finish)
    processes.on_main(lambda: _refuse_failure(failures, states, writing))


def _refuse_failure(failures: list[Exception], states: Path, writing: Path) -> None:
    """Raises:
    UserError: there is one; what was written is removed again, to make room.
    """
    if not failures:
        return
    shutil.rmtree(writing, ignore_errors=True)
    whole = storage.saved_steps(states)
    remedy = (
        f"{states / f'step_{whole[-1]}'} is whole: make room and continue from it with --resume"
        if whole
        else "make room and start anew with --resume"
    )
    name = writing.name.removesuffix(storage.WRITING)
    raise UserError(f"{states / name} cannot be saved ({in_short(failures[0])}); {remedy}.")


def _tensors(parts: RunParts) -> Iterator[tuple[str, Iterator[tuple[str, Tensor]]]]:
    for name, player in parts.players.items():
        yield f"weights/{name}", player.weights.all()
        yield f"optimizer/{name}", player.optimizer_state()
    for name, average in parts.averages.items():
        yield f"ema/{name}", average.all()


def _document(parts: RunParts, processes: Processes) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "position": asdict(parts.position),
        "data": parts.reading.bookmark,
        "processes": processes.count,
        "settings": asdict(parts.settings),
        "run_id": parts.run_id,
        "loss_scales": {name: player.loss_scale() for name, player in parts.players.items()},
        "average_updates": {name: a.updates for name, a in parts.averages.items()},
    }


def load_state(folder: Path, parts: RunParts, processes: Processes) -> list[str]:
    """Puts a saved state into the parts of a run that was built for the same model.

    Returns what is different from the run that saved it, a phrase each.

    Raises:
        UserError: the state is of another format or model, or of a run that this one does not
            continue.
    """
    document = json.loads((folder / DOCUMENT).read_text())
    if document["format_version"] != FORMAT_VERSION:
        raise UserError(
            f"{folder} has state format {document['format_version']}, and this version reads "
            f"{FORMAT_VERSION}; continue with the version of drawscribe that wrote it."
        )
    refuse_unsound_changes(folder, document["settings"], parts.settings)
    # Before the weights, whose shapes may say less clearly that the data are others.
    moved = parts.reading.go_to(document["data"])
    try:
        for name, player in parts.players.items():
            player.load(
                storage.read_tensors(folder / "weights" / name),
                storage.read_tensors(folder / "optimizer" / name),
            )
            player.set_loss_scale(document["loss_scales"][name])
        for name, average in parts.averages.items():
            averages = storage.read_tensors(folder / "ema" / name)
            average.load(averages, document["average_updates"][name])
        parts.objective.load_state_dict(storage.read_tree(folder / "objective"))
    except (ValueError, RuntimeError, KeyError, FileNotFoundError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise UserError(
            f"{folder} does not fit this configuration ({reason}); continue with the model and "
            "optimizers that the run was started with."
        ) from error
    for name, value in document["position"].items():
        setattr(parts.position, name, value)
    parts.run_id = document["run_id"]
    random_states = storage.read_tree(folder / "random")
    if processes.rank < len(random_states):  # more processes than before keep their fresh seeds
        restore_random_state(random_states[processes.rank], processes.device)
    counts = document["processes"], processes.count
    return changes(document["settings"], parts.settings, counts) + ([moved] if moved else [])


def random_state(device: torch.device) -> dict[str, Any]:
    """The state of every global random number generator of this process."""
    numpy_state: Any = np.random.get_state()
    kind, keys, position, has_gauss, gauss = numpy_state
    state = {
        "python": random.getstate(),
        "numpy": [kind, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, gauss],
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        state["mps"] = torch.mps.get_rng_state()
    return state


def restore_random_state(state: dict[str, Any], device: torch.device) -> None:
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, position, has_gauss, numpy_gauss = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, numpy_gauss))
    torch.set_rng_state(state["torch"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
    if device.type == "mps" and "mps" in state:
        torch.mps.set_rng_state(state["mps"])
