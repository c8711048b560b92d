"""What may be different when a run is resumed, and what may not."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipelines.command_line import UserError
from pipelines.training.settings import TrainingSettings


def refuse_unsound_changes(folder: Path, saved: dict[str, Any], now: TrainingSettings) -> None:
    """Raises:
    UserError: going on from the state in `folder`, of a run with the settings `saved`, would not
        be the same run.
    """
    if saved["batch_size"] != now.batch_size:
        raise UserError(
            f"{folder} was trained with training.batch_size={saved['batch_size']}, from which the "
            f"order of the data follows, and not {now.batch_size}; continue with that "
            "(training.micro_batch_size is free)."
        )
    name = saved["optimizer"]["name"]
    if name != now.optimizer.name:
        raise UserError(
            f"{folder} was trained with training.optimizer.name={name}, whose state means nothing "
            f"to {now.optimizer.name}; continue with that."
        )
    if (saved["ema_decay"] > 0) != (now.ema_decay > 0):
        kept = "an" if saved["ema_decay"] > 0 else "no"
        raise UserError(
            f"{folder} has {kept} average of the weights, and training.ema_decay={now.ema_decay} "
            f"{'needs one' if now.ema_decay > 0 else 'has no use for it'}; continue with "
            f"training.ema_decay={saved['ema_decay']}."
        )


def changes(saved: dict[str, Any], now: TrainingSettings, processes: tuple[int, int]) -> list[str]:
    """What is different from the run before, a phrase each; `processes` then and now."""
    before, after = _leaves(saved), _leaves(json.loads(json.dumps(asdict(now))))
    found = [f"processes {processes[0]} -> {processes[1]}"] if len(set(processes)) > 1 else []
    for name in before | after:
        ours, theirs = json.dumps(before.get(name)), json.dumps(after.get(name))
        if ours != theirs:
            found.append(f"{name} {ours} -> {theirs}")
    return found


def _leaves(settings: dict[str, Any]) -> dict[str, Any]:
    """Every single setting by its whole name."""

    def walk(node: Any, name: str) -> Iterator[tuple[str, Any]]:
        if not isinstance(node, dict):
            yield name, node
            return
        for key, value in node.items():
            yield from walk(value, f"{name}.{key}")

    return dict(walk(settings, "training"))
