"""One run from its parts to its checkpoint: what surrounds the loop."""

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from torch import Tensor, nn

from pipelines.command_line import UserError
from pipelines.training.checkpoint import write_checkpoint
from pipelines.training.distributed import Processes, precision_context
from pipelines.training.ema import WeightAverage
from pipelines.training.loop import Batch, Loop, Objective, Position
from pipelines.training.metrics import MetricsLog, ProgressBar, draw_loss_curve
from pipelines.training.optimizer import IsMatrix, build_optimizer
from pipelines.training.players import NotFinite, PlainPlayer, Player
from pipelines.training.run_folder import RunFolder
from pipelines.training.settings import TrainingSettings
from pipelines.training.state import RunParts, load_state, save_state
from pipelines.training.stopping import StopSignals, resume_command


@dataclass(frozen=True)
class Task:
    """What a run trains and what it leaves behind.

    Args:
        kind: of the checkpoint (`tokenizer`, `bidirectional`).
        abilities: the checkpoint's `tasks`.
        objective: see `loop.Objective`.
        averaged: the players that are averaged and exported.
        batches: the micro-batches of this process at a step, on the device.
        validation_batches: the same ones at every validation.
        write_parts: writes the checkpoint's folders; called with the averaged weights in place.
        draw_samples: writes files whose path begins like the one given, about pictures of a
            validation batch; likewise.
        is_matrix: which parameters decay, and are Muon's where it is chosen.
    """

    kind: str
    abilities: tuple[str, ...]
    objective: Objective
    averaged: tuple[str, ...]
    batches: Callable[[int], list[Batch]]
    validation_batches: Callable[[], Iterator[Batch]]
    write_parts: Callable[[Path], None]
    draw_samples: Callable[[Path, Batch], None]
    is_matrix: IsMatrix


class Trainer:
    """Holds the parts of one run, and gives the loop its callables."""

    def __init__(
        self,
        task: Task,
        settings: TrainingSettings,
        folder: RunFolder,
        processes: Processes,
        seed: int,
        deepspeed: dict[str, Any] | None = None,
    ) -> None:
        self.task = task
        self.settings = settings
        self.folder = folder
        self.processes = processes
        self.seed = seed
        self.autocast = precision_context(processes.device, settings.precision)
        players = {
            name: self._player(name, module, deepspeed)
            for name, module in task.objective.players.items()
        }
        averages = {
            name: WeightAverage(players[name].module, settings.ema_decay)
            for name in task.averaged
            if settings.ema_decay > 0
        }
        self.parts = RunParts(task.objective, players, averages, Position(), uuid4().hex[:12])

    @property
    def position(self) -> Position:
        return self.parts.position

    def _player(self, name: str, module: nn.Module, deepspeed: dict[str, Any] | None) -> Player:
        self.processes.make_equal(module)
        module.train()
        own = self.settings.discriminator_optimizer if name == "discriminator" else None
        settings = own or self.settings.optimizer
        if self.settings.compile:
            module.compile()
        if deepspeed is not None:
            from pipelines.training.deepspeed_engine import DeepSpeedPlayer

            player = DeepSpeedPlayer(
                module, self.task.is_matrix, settings, self.processes, deepspeed
            )
            self.task.objective.players[name] = player.engine
            return player
        optimizer = build_optimizer(module, settings, self.task.is_matrix)
        return PlainPlayer(module, optimizer, settings, self.processes)

    def train(self, resume: bool) -> bool:
        """Trains to the end, or until a signal; returns whether the run is complete.

        Raises:
            UserError: the saved state does not fit, or the training diverged.
        """
        random.seed(self.seed + self.processes.rank)
        torch.manual_seed(self.seed + self.processes.rank)
        if resume:
            self._resume()
        log = bar = None
        if self.processes.is_main:
            log = MetricsLog(
                self.folder.path,
                self.settings.trackers,
                self.position.step,
                self.parts.run_id,
                self.processes.device.type == "cpu",
            )
            bar = ProgressBar(self.task.kind)
        with StopSignals() as signals:
            loop = self._loop(log, bar, signals)
            try:
                complete = loop.run()
            except NotFinite:
                self._stop_diverged()
            finally:
                if bar is not None and log is not None:
                    bar.close()
                    log.close()
        if self.processes.is_main:
            draw_loss_curve(self.folder.metrics, self.folder.loss_curve)
        if not complete:
            self.processes.log(
                f"Stopped at step {self.position.step}, all saved. Continue with:\n"
                f"    {resume_command(self.processes.count)}"
            )
        self.processes.wait()
        return complete

    def _loop(self, log: MetricsLog | None, bar: ProgressBar | None, signals: StopSignals) -> Loop:
        def write(row: dict[str, Any]) -> None:
            if log is None or bar is None:
                return
            log.write(row)
            if "steps_per_second" in row:
                bar.show(
                    row["step"],
                    row["loss"],
                    row["steps_per_second"],
                    loop.progress,
                    self.position.elapsed_seconds,
                )

        loop = Loop(
            objective=self.task.objective,
            players=self.parts.players,
            averages=self.parts.averages,
            batches=self.task.batches,
            settings=self.settings,
            processes=self.processes,
            autocast=self.autocast,
            log=write,
            evaluate=self.evaluate,
            sample=self.sample,
            save=self.save,
            stop_requested=lambda: signals.requested,
            position=self.position,
        )
        return loop

    def _stop_diverged(self) -> None:
        last = self.folder.last_step()
        remedy = (
            f"The last saved state is {self.folder.states / f'step_{last}'}; continue "
            "from it with --resume"
            if last is not None
            else "No state was saved yet; start anew"
        )
        sentence = (
            f"the loss or its gradient is no longer a finite number at step {self.position.step}. "
            f"{remedy} and a smaller training.optimizer.learning_rate."
        )
        if self.processes.is_main:
            raise UserError(sentence)
        raise SystemExit(2)

    @contextlib.contextmanager
    def _averaged_weights(self) -> Iterator[None]:
        """The averaged weights in place, in evaluation mode, without touching the run's chance."""
        cuda = [self.processes.device] if self.processes.device.type == "cuda" else []
        with contextlib.ExitStack() as stack:
            for average in self.parts.averages.values():
                stack.enter_context(average.in_place())
            stack.enter_context(torch.random.fork_rng(devices=cuda))
            torch.manual_seed(self.seed)
            for player in self.parts.players.values():
                player.module.eval()
            try:
                yield
            finally:
                for player in self.parts.players.values():
                    player.module.train()

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Validation figures of the averaged weights, over all processes."""
        sums: dict[str, Tensor] = {}
        with self._averaged_weights():
            for batch in self.task.validation_batches():
                with self.autocast():
                    figures = self.task.objective.evaluate(batch)
                for name, (total, count) in figures.items():
                    pair = torch.stack([total.double().cpu(), count.double().cpu()])
                    sums[name] = sums[name] + pair if name in sums else pair
        names = sorted(sums)
        table = self.processes.mean(torch.stack([sums[name] for name in names]))
        return {n: float(total / count) for n, (total, count) in zip(names, table, strict=True)}

    @torch.no_grad()
    def sample(self) -> None:
        if self.processes.is_main:
            self.folder.samples.mkdir(exist_ok=True)
            path = self.folder.samples / f"step_{self.position.step}"
            batch = next(iter(self.task.validation_batches()))
            with self._averaged_weights(), self.autocast():
                self.task.draw_samples(path, batch)
            draw_loss_curve(self.folder.metrics, self.folder.loss_curve)

    def export(self) -> None:
        """Replaces `checkpoint/` by the averaged weights."""
        if self.processes.is_main:
            with self._averaged_weights():
                write_checkpoint(
                    self.folder.checkpoint,
                    self.task.kind,
                    self.task.abilities,
                    self.position.step,
                    self.task.write_parts,
                )

    def save(self, improved: bool) -> None:
        """Saves the state; exports the checkpoint where these weights are the ones to export."""
        save_state(self.folder.states, self.parts, self.processes, self.settings.keep_states)
        if improved or self.settings.validate_every == 0:
            self.export()

    def _resume(self) -> None:
        """Takes up the last saved state, if there is one."""
        last = self.processes.on_main(self.folder.last_step)
        if last is None:
            self.processes.log(f"{self.folder.path} has no saved state yet: starting anew.")
            return
        load_state(self.folder.states / f"step_{last}", self.parts, self.processes)
        self.processes.log(f"Resumed at step {last}.")
        # A run killed between saving a state and exporting it left an older checkpoint.
        due = self.position.best_step if self.settings.validate_every else last
        if due == last and self.folder.checkpoint_step() != last:
            self.export()
