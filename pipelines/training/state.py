"""Training state: `state/step_N/`, complete to resume from.

A state holds all that a resumed run needs and nothing that inference does:

    trainer.json                  step, elapsed seconds, best validation loss, random states, …
    weights/PLAYER.safetensors    raw weights and buffers
    ema/PLAYER.safetensors        averaged weights
    optimizer/PLAYER.*            its tensors (safetensors) and scalars (JSON)
    objective.*                   what the objective keeps beyond its players
    random.*                      random states of every process
    deepspeed/                    instead of optimizer/, under DeepSpeed: its own files

The data position is the step: batches are a function of it.

It is written under another name and committed by one rename after everything has reached the
disk, so a run killed at any moment leaves only whole states behind.
"""

import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from pipelines.command_line import UserError
from pipelines.training import storage
from pipelines.training.distributed import Processes
from pipelines.training.ema import WeightAverage
from pipelines.training.loop import Objective, Position
from pipelines.training.players import Player

FORMAT_VERSION = 1


@dataclass
class RunParts:
    """Everything whose state is saved."""

    objective: Objective
    players: dict[str, Player]
    averages: dict[str, WeightAverage]
    position: Position
    run_id: str


def save_state(states: Path, parts: RunParts, processes: Processes, keep: int) -> None:
    """Writes `states/step_N` and removes what is no longer to be kept.

    Every process calls this; the first one writes (and all of them where a player writes in
    pieces). Saving the same step again does nothing.
    """
    step = parts.position.step
    if processes.on_main(lambda: step in storage.saved_steps(states)):
        return
    random_states = processes.gather(random_state(processes.device))
    writing = processes.on_main(lambda: storage.begin(states / f"step_{step}"))
    for name, player in parts.players.items():
        player.save(writing, name)
    if processes.is_main:
        _write(writing, parts, processes, random_states)
    processes.wait()
    if processes.is_main:
        storage.commit(writing)
        storage.prune(states, keep, parts.position.best_step)
    processes.wait()


def _write(
    writing: Path, parts: RunParts, processes: Processes, random_states: list[dict[str, Any]]
) -> None:
    for name, player in parts.players.items():
        storage.write_tensors(
            writing / "weights" / f"{name}.safetensors", player.module.state_dict()
        )
    for name, average in parts.averages.items():
        storage.write_tensors(writing / "ema" / f"{name}.safetensors", average.weights)
    storage.write_tree(writing / "objective", parts.objective.state_dict())
    storage.write_tree(writing / "random", random_states)
    document = {
        "format_version": FORMAT_VERSION,
        "position": asdict(parts.position),
        "processes": processes.count,
        "run_id": parts.run_id,
        "average_updates": {name: a.updates for name, a in parts.averages.items()},
    }
    (writing / "trainer.json").write_text(json.dumps(document, indent=2) + "\n")


def load_state(folder: Path, parts: RunParts, processes: Processes) -> None:
    """Puts a saved state into the parts of a run that was built from the same configuration.

    Raises:
        UserError: the state is of another model or another way of training.
    """
    document = json.loads((folder / "trainer.json").read_text())
    if document["format_version"] != FORMAT_VERSION:
        raise UserError(
            f"{folder} has state format {document['format_version']}, and this version reads "
            f"{FORMAT_VERSION}; continue with the version of drawscribe that wrote it."
        )
    try:
        for name, player in parts.players.items():
            weights = load_file(folder / "weights" / f"{name}.safetensors")
            player.module.load_state_dict(weights)
            player.load(folder, name)
        for name, average in parts.averages.items():
            weights = load_file(folder / "ema" / f"{name}.safetensors")
            average.load_state_dict(weights, document["average_updates"][name])
        parts.objective.load_state_dict(storage.read_tree(folder / "objective"))
    except (ValueError, RuntimeError, KeyError, FileNotFoundError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise UserError(
            f"{folder} does not fit this configuration ({reason}); continue with the model, "
            "optimizer and launcher that the run was started with."
        ) from error
    before, now = document["position"]["batch_size"], parts.position.batch_size
    if before != now:
        raise UserError(
            f"{folder} was trained with training.batch_size={before}, from which the order of the "
            f"data follows, and not {now}; continue with that (training.micro_batch_size is free)."
        )
    for name, value in document["position"].items():
        setattr(parts.position, name, value)
    parts.run_id = document["run_id"]
    random_states = storage.read_tree(folder / "random")
    if processes.rank < len(random_states):  # more processes than before keep their fresh seeds
        restore_random_state(random_states[processes.rank], processes.device)


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
