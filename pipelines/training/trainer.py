"""One run from its parts to its checkpoint: what surrounds the loop."""

import errno
import random
from contextlib import AbstractContextManager, ExitStack
from typing import Any, NoReturn
from uuid import uuid4

import torch
from torch import nn

from pipelines.command_line import UserError, in_short, is_out_of_memory
from pipelines.data.batches import ReadingCounts
from pipelines.training.checkpoint import write_checkpoint
from pipelines.training.distributed import Processes, precision_context
from pipelines.training.ema import WeightAverage
from pipelines.training.loop import SKIPPED_IN_A_ROW, Diverged, Loop, Position
from pipelines.training.metrics import Report
from pipelines.training.optimizer import build_optimizer
from pipelines.training.players import PlainPlayer, Player
from pipelines.training.recomputation import recompute
from pipelines.training.run_folder import RunFolder
from pipelines.training.settings import TrainingSettings
from pipelines.training.state import RunParts, load_state, save_state
from pipelines.training.step_figures import StepFigures
from pipelines.training.stopping import StopSignals, resume_command
from pipelines.training.task import Task
from pipelines.training.utilisation import peak_flops
from pipelines.training.validation import averaged_weights, validate
from pipelines.training.weights import Weights

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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
            name: WeightAverage(players[name].weights, settings.ema_decay)
            for name in task.averaged
            if settings.ema_decay > 0
        }
        self.parts = RunParts(
            task.objective,
            players,
            averages,
            Position(),
            uuid4().hex[:12],
            settings,
            task.reading,
        )

    @property
    def position(self) -> Position:
        return self.parts.position

    def _player(self, name: str, module: nn.Module, deepspeed: dict[str, Any] | None) -> Player:
        module.train()
        own = self.settings.discriminator_optimizer if name == "discriminator" else None
        settings = own or self.settings.optimizer
        if self.settings.activation_checkpointing:
            recompute(module, self.task.recomputed)
        if self.settings.compile:
            module.compile()
        # An engine drives a single model; a discriminator steps beside it.
        if deepspeed is not None and name in self.task.averaged:
            from pipelines.training.deepspeed_engine import DeepSpeedPlayer

            player = DeepSpeedPlayer(
                module, self.task.matrices_in, settings, self.processes, deepspeed
            )
            self.task.objective.players[name] = player.engine
            return player
        self.processes.make_equal(module)
        optimizer = build_optimizer(module, settings, self.task.matrices_in)
        precision = self.settings.precision
        return PlainPlayer(module, optimizer, settings, self.processes, precision)

    def train(self, resume: bool) -> bool:
        """Trains to the end, or until a signal; returns whether the run is complete.

        Raises:
            UserError: the saved state does not fit, or the training diverged.
        """
        random.seed(self.seed + self.processes.rank)
        torch.manual_seed(self.seed + self.processes.rank)
        if resume:
            self._resume()
        self.processes.on_main(lambda: self.folder.begin(self.task.describe))
        self._announce()
        report = Report(self.folder.path, self.settings.trackers, self.parts, self.processes)
        with ExitStack() as stack:
            signals = stack.enter_context(StopSignals())
            stack.enter_context(report)
            for player in self.parts.players.values():
                stack.callback(player.close)
            try:
                complete = self._loop(report, signals).run()
            except Diverged:
                self._stop_diverged()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                raise UserError(self._out_of_memory(error)) from error
            except OSError as error:
                if error.errno not in DISK_FULL:
                    raise
                sentence = f"{self.folder.path} cannot be written ({error.strerror})"
                raise UserError(
                    f"{sentence}. {self._what_is_saved()}, after making room."
                ) from error
        self._tell_what_was_wrong_with_the_data()
        if not complete:
            self.processes.log(
                f"Stopped at step {self.position.step}, all saved. Continue with:\n"
                f"    {resume_command(self.processes.count)}"
            )
        self.processes.wait()
        return complete

    def _tell_what_was_wrong_with_the_data(self) -> None:
        total = ReadingCounts.sum_of(self.processes.gather(self.task.reading.counts))
        if problems := total.problems():
            self.processes.log(problems)

    def _announce(self) -> None:
        sizes = ", ".join(
            f"{name} {_millions(player.weights)}" for name, player in self.parts.players.items()
        )
        settings, count = self.settings, self.processes.count
        length = f"{settings.steps} steps" if settings.steps else f"{settings.minutes} minutes"
        self.processes.log(
            f"Training {sizes} parameters for {length} of {settings.batch_size} samples in "
            f"{settings.precision} on {self.processes.device.type}, "
            f"{count} process{'es' if count > 1 else ''}."
        )

    def _loop(self, report: Report, signals: StopSignals) -> Loop:
        return Loop(
            objective=self.task.objective,
            players=self.parts.players,
            averages=self.parts.averages,
            batches=self.task.batches,
            settings=self.settings,
            processes=self.processes,
            autocast=self.autocast,
            log=report.write,
            evaluate=self.evaluate,
            sample=self.sample,
            save=self.save,
            stop_requested=lambda: signals.requested,
            work=self.task.work,
            figures=StepFigures(
                self.processes,
                self.task.reading,
                peak_flops(self.processes.device, self.settings.precision),
            ),
            more_figures=self.task.figures,
            position=self.position,
        )

    def _stop_diverged(self) -> NoReturn:
        sentence = (
            f"the loss or its gradient was not a finite number in {SKIPPED_IN_A_ROW} steps in a "
            f"row, up to step {self.position.step}. {self._what_is_saved()} and a smaller "
            "training.optimizer.learning_rate."
        )
        if self.processes.is_main:
            raise UserError(sentence)
        raise SystemExit(2)

    def _out_of_memory(self, error: Exception) -> str:
        micro_batch_size, _ = self.settings.divide_batch(self.processes.count)
        remedies = [f"lower training.micro_batch_size (now {micro_batch_size})"] * (
            micro_batch_size > 1
        )
        if not self.settings.activation_checkpointing:
            remedies.append("set training.activation_checkpointing=true")
        remedies.append("choose a smaller model or smaller pictures")
        return (
            f"out of memory at step {self.position.step + 1} on {self.processes.device} "
            f"({in_short(error)}): {', or '.join(remedies)}. {self._what_is_saved()}."
        )

    def _what_is_saved(self) -> str:
        last = self.folder.last_step()
        if last is None:
            return "No state was saved yet; start anew with --resume"
        state = self.folder.states / f"step_{last}"
        return f"The last saved state is {state}; continue from it with --resume"

    def evaluate(self) -> dict[str, float]:
        """Validation figures of the averaged weights, over all processes."""
        with self._averaged_weights():
            batches = self.task.validation_batches()
            return validate(self.task.objective, batches, self.processes, self.autocast)

    def _averaged_weights(self, gathered_on: torch.device | None = None) -> AbstractContextManager:
        return averaged_weights(self.parts, self.processes.device, self.seed, gathered_on)

    @torch.no_grad()
    def sample(self) -> None:
        with self._averaged_weights(self.processes.device), self.autocast():
            if self.processes.is_main:
                self.folder.samples.mkdir(exist_ok=True)
                path = self.folder.samples / f"step_{self.position.step}"
                self.task.draw_samples(path, next(iter(self.task.validation_batches())))

    def export(self) -> None:
        """Replaces `checkpoint/` by the averaged weights."""
        with self._averaged_weights(torch.device("cpu")):
            self.processes.on_main(
                lambda: write_checkpoint(
                    self.folder.checkpoint,
                    self.task.kind,
                    self.task.abilities,
                    self.position.step,
                    self.task.write_parts,
                )
            )

    def save(self, improved: bool) -> None:
        """Saves the state; exports the checkpoint where these weights are the ones to export."""
        save_state(self.folder.states, self.parts, self.processes, self.settings.keep_states)
        if improved or not self._exports_best:
            self.export()

    @property
    def _exports_best(self) -> bool:
        return self.settings.validate_every > 0 and self.settings.export == "best"

    def _resume(self) -> None:
        """Takes up the last saved state, if there is one."""
        last = self.processes.on_main(self.folder.last_step)
        if last is None:
            self.processes.log(f"{self.folder.path} has no saved state yet: starting anew.")
            return
        state = self.folder.states / f"step_{last}"
        found = self.processes.together(lambda: load_state(state, self.parts, self.processes))
        changed = f" Changed: {', '.join(found)}." if found else ""
        self.processes.log(f"Resumed at step {last}.{changed}")
        # A run killed between saving a state and exporting it left an older checkpoint.
        due = self.position.best_step if self._exports_best else last
        exported = self.processes.on_main(self.folder.checkpoint_step)
        if due == last and exported != last:
            self.export()


def _millions(weights: Weights) -> str:
    """How many there are, and where some are frozen how many are trained."""
    trained = sum(shape.numel() for shape in weights.shapes.values())
    size = f"{weights.size / 1e6:.2f}M"
    return size if trained == weights.size else f"{trained / 1e6:.3f}M of {size}"
