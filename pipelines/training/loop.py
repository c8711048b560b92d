"""The training loop: it takes an objective's turns and calls what it was given."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

from pipelines.training.contracts import Batch, Objective, Work
from pipelines.training.distributed import Processes
from pipelines.training.ema import WeightAverage
from pipelines.training.players import Player
from pipelines.training.settings import TrainingSettings
from pipelines.training.step_figures import StepFigures

Item = TypeVar("Item")
# A run that never again takes a step has diverged; one in fp16 finds its loss scale in fewer.
SKIPPED_IN_A_ROW = 25


class Diverged(Exception):
    """Too many steps in a row were skipped; the weights are those before them."""


@dataclass
class Position:
    """Where a run stands; all of it survives a resume. `skipped_steps` are counted in `step`."""

    step: int = 0
    skipped_steps: int = 0
    elapsed_seconds: float = 0.0
    best_loss: float | None = None
    best_step: int | None = None


@dataclass
class Loop:
    """Trains until the steps or minutes are used up, or until asked to stop.

    Args:
        players: by name, in the order of importance: the first one's metrics go by their own
            names, those of the others are prefixed with the player's.
        averages: of the players that have one.
        batches: the prepared micro-batches of this process at a step.
        autocast: makes the context that forward passes run in.
        log: takes a row of metrics.
        evaluate: returns validation figures; `loss` decides which weights are best.
        sample: draws samples.
        save: writes the state; told whether the weights are the best so far.
        stop_requested: whether somebody wants this process to stop.
        work: of a micro-batch.
        figures: of the steps since the last report.
        more_figures: to log with them.
    """

    objective: Objective
    players: dict[str, Player]
    averages: dict[str, WeightAverage]
    batches: Callable[[int], list[Batch]]
    settings: TrainingSettings
    processes: Processes
    autocast: Callable[[], AbstractContextManager]
    log: Callable[[dict[str, Any]], None]
    evaluate: Callable[[], dict[str, float]]
    sample: Callable[[], None]
    save: Callable[[bool], None]
    stop_requested: Callable[[], bool]
    work: Callable[[Batch], Work]
    figures: StepFigures
    more_figures: Callable[[], dict[str, float]]
    position: Position = field(default_factory=Position)
    _skipped_in_a_row: int = 0

    @property
    def progress(self) -> float:
        """The share of the run that is done."""
        if self.settings.steps is not None:
            return self.position.step / self.settings.steps
        assert self.settings.minutes is not None
        return self.position.elapsed_seconds / (60 * self.settings.minutes)

    def run(self) -> bool:
        """Trains; returns whether the run is complete (and not stopped early).

        Raises:
            Diverged: a loss or gradient was not finite, many times in a row.
        """
        before = time.monotonic() - self.position.elapsed_seconds
        window = time.monotonic()
        while self.progress < 1:
            self._take_turns()
            stop = self._agree(before)
            finished = self.progress >= 1
            if self._due(self.settings.log_every) or finished or stop:
                self._report(time.monotonic() - window)
                window = time.monotonic()
            improved = False
            if self._due(self.settings.validate_every, also=finished):
                improved = self._validate()
            if self._due(self.settings.sample_every, also=finished):
                self.sample()
            if self._due(self.settings.save_every) or improved or finished or stop:
                self.save(improved)
            if stop and not finished:
                return False
        return True

    def _due(self, every: int, also: bool = False) -> bool:
        return every > 0 and (also or self.position.step % every == 0)

    def _take_turns(self) -> None:
        step = self.position.step
        micro_batches = self.processes.together(lambda: self.batches(step))
        self.figures.begin_step([self.work(batch) for batch in micro_batches])
        turns = self.objective.turns(micro_batches, step)
        broken = ""
        for name, losses in under(self.autocast, turns):
            if not self._take_turn(name, losses):
                # What would follow in the objective (the codebook's update, say) is left out.
                broken = name
                break
        self.position.step += 1
        if broken:
            self._skip(broken)
            return
        self._skipped_in_a_row = 0
        for average in self.averages.values():
            average.update()

    def _take_turn(self, name: str, losses: Iterator[dict[str, Tensor]]) -> bool:
        """Steps one player; False where its loss or gradient is not finite, and it did not move."""
        player = self.players[name]
        prefix = "" if name == next(iter(self.players)) else f"{name}_"
        turn: dict[str, Tensor | float] = {}
        player.start()
        for terms in under(self.autocast, losses):
            player.backward(or_not_a_number(terms["loss"]))
            for term, value in terms.items():
                turn[prefix + term] = turn.get(prefix + term, 0.0) + value.detach()
        norm = player.step(self.position.step, self.progress)
        if not math.isfinite(norm):
            return False
        self.figures.add({**turn, f"{prefix}gradient_norm": norm})
        return True

    def _skip(self, name: str) -> None:
        """Raises:
        Diverged: once too often.
        """
        self.position.skipped_steps += 1
        self._skipped_in_a_row += 1
        self.processes.log(
            f"Step {self.position.step} was skipped: the {name}'s loss or gradient is not a finite "
            f"number ({self.position.skipped_steps} skipped so far)."
        )
        if self._skipped_in_a_row == SKIPPED_IN_A_ROW:
            raise Diverged

    def _agree(self, before: float) -> bool:
        """One clock and one decision for all processes; whether to stop early."""
        elapsed = time.monotonic() - before if self.processes.is_main else 0.0
        elapsed, stop = self.processes.maximum([elapsed, float(self.stop_requested())])
        self.position.elapsed_seconds = elapsed
        return bool(stop)

    def _report(self, seconds: float) -> None:
        """Logs what happened in the `seconds` since the last report."""
        row: dict[str, Any] = {"step": self.position.step, **self.figures.take(seconds)}
        for name, player in self.players.items():
            prefix = "" if name == next(iter(self.players)) else f"{name}_"
            row[f"{prefix}learning_rate"] = player.learning_rate
        row["samples_per_second"] = row["steps_per_second"] * self.settings.batch_size
        row["skipped_steps"] = self.position.skipped_steps
        row["progress"] = min(1.0, self.progress)
        row["minutes"] = self.position.elapsed_seconds / 60
        self.log(row | self.more_figures())

    def _validate(self) -> bool:
        """Validates; whether this is the best loss so far."""
        figures = self.evaluate()
        self.log({"step": self.position.step} | {f"validation_{n}": v for n, v in figures.items()})
        best = self.position.best_loss
        if not math.isfinite(figures["loss"]) or (best is not None and figures["loss"] >= best):
            return False
        self.position.best_loss, self.position.best_step = figures["loss"], self.position.step
        return True


def or_not_a_number(loss: Tensor) -> Tensor:
    """The loss; where it is not finite, one whose gradient is not either, in any process: so all of
    them find it in the gradient that they share, and none need ask."""
    return loss * torch.where(torch.isfinite(loss.detach()), 1.0, math.nan)


def under(context: Callable[[], AbstractContextManager], items: Iterator[Item]) -> Iterator[Item]:
    """The items of a generator whose code runs inside a context, and ours outside of it.

    So that autocast covers an objective's forward passes but not the backward ones.
    """
    iterator, end = iter(items), object()
    while True:
        with context():
            item: Any = next(iterator, end)
        if item is end:
            return
        yield item
