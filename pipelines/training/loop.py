"""The training loop: it takes an objective's turns and calls what it was given."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from pipelines.data.batches import ReadingCounts
from pipelines.training.distributed import Processes
from pipelines.training.ema import WeightAverage
from pipelines.training.players import Player
from pipelines.training.settings import TrainingSettings

Batch = dict[str, Tensor]
Turn = tuple[str, Iterator[dict[str, Tensor]]]
Item = TypeVar("Item")


class Objective(Protocol):
    """What the loop trains.

    Each turn names a player and yields, lazily, one dict per micro-batch, whose differentiable
    `loss` summed over micro-batches and averaged over processes is the objective over the global
    batch; its other entries are detached metrics under the same normalisation. The loop steps the
    player when the turn's iterator is used up, and only then asks for the next turn.
    """

    players: dict[str, Any]

    def turns(self, micro_batches: list[Batch], step: int) -> Iterator[Turn]: ...

    def evaluate(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        """Name -> (sum, count) of validation figures."""

    def validation_loss(self, means: dict[str, float]) -> float:
        """What the best weights have the least of, from the means of `evaluate`."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


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


@dataclass(frozen=True)
class Work:
    """Of some samples: tokens that pass through the model (padding of texts included, each
    direction by itself), and model FLOPs, forward and backward, however they are computed."""

    tokens: int = 0
    flops: int = 0


class Reading(Protocol):
    """What reads the data: what it found so far, and where it stands."""

    counts: ReadingCounts

    @property
    def bookmark(self) -> dict[str, Any]:
        """As JSON; after the step that was read last."""

    def go_to(self, bookmark: dict[str, Any]) -> str:
        """Goes on from there; says in a phrase what has changed about the data, if anything.

        Raises:
            UserError: it cannot.
        """


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
        reading: what `batches` reads with.
        work: of a micro-batch.
        peak_flops: what all processes together can do in a second at best; None where that is not
            known.
        figures: more to log.
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
    reading: Reading
    work: Callable[[Batch], Work]
    peak_flops: float | None
    figures: Callable[[], dict[str, float]]
    position: Position = field(default_factory=Position)
    _sums: dict[str, Tensor | float] = field(default_factory=dict)
    _steps: dict[str, int] = field(default_factory=dict)  # in which a sum grew
    _rows: int = 0
    _skipped_in_a_row: int = 0
    _tokens: int = 0  # of this process
    _flops: int = 0
    _waited: float = 0.0  # for data, up to the last report

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
        for batch in micro_batches:
            work = self.work(batch)
            self._tokens += work.tokens
            self._flops += work.flops
        turns = self.objective.turns(micro_batches, step)
        broken = ""
        for name, losses in under(self.autocast, turns):
            if not self._take_turn(name, losses):
                # What would follow in the objective (the codebook's update, say) is left out.
                broken = name
                break
        self.position.step += 1
        self._rows += 1
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
        self._add({**turn, f"{prefix}gradient_norm": norm})
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

    def _add(self, turn: dict[str, Tensor | float]) -> None:
        for name, value in turn.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._steps[name] = self._steps.get(name, 0) + 1

    def _agree(self, before: float) -> bool:
        """One clock and one decision for all processes; whether to stop early."""
        elapsed = time.monotonic() - before if self.processes.is_main else 0.0
        elapsed, stop = self.processes.maximum([elapsed, float(self.stop_requested())])
        self.position.elapsed_seconds = elapsed
        return bool(stop)

    def _report(self, seconds: float) -> None:
        """Logs the means since the last report, each over the steps that had it."""
        names = sorted(self._sums)
        values = [float(self._sums[name]) / self._steps[name] for name in names]
        means = self.processes.mean(torch.tensor(values, dtype=torch.float64)).tolist()
        row: dict[str, Any] = {"step": self.position.step}
        row |= dict(zip(names, means, strict=True))
        for name, player in self.players.items():
            prefix = "" if name == next(iter(self.players)) else f"{name}_"
            row[f"{prefix}learning_rate"] = player.learning_rate
        row |= self._throughput(seconds)
        row["samples_per_second"] = self._rows * self.settings.batch_size / seconds
        row["steps_per_second"] = self._rows / seconds
        row["skipped_steps"] = self.position.skipped_steps
        row["progress"] = min(1.0, self.progress)
        row["minutes"] = self.position.elapsed_seconds / 60
        row |= self.figures()
        self._sums, self._steps, self._rows = {}, {}, 0
        self.log(row)

    def _throughput(self, seconds: float) -> dict[str, float]:
        """Tokens a second and model FLOPs utilisation (PaLM, 2204.02311, section 4.1) of all
        processes, and the share of the time that they waited for data."""
        waited = self.reading.counts.seconds
        own = torch.tensor([self._tokens, self._flops, waited - self._waited], dtype=torch.float64)
        tokens, flops, wait = self.processes.mean(own).tolist()
        self._tokens, self._flops, self._waited = 0, 0, waited
        found = {"data_wait": wait / seconds}
        if tokens:
            found["tokens_per_second"] = self.processes.count * tokens / seconds
        if flops and self.peak_flops is not None:
            found["model_flops_utilisation"] = (
                self.processes.count * flops / seconds / self.peak_flops
            )
        return found

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
