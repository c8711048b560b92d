"""A toy run of two players in the shape of the real ones, small enough for exact comparisons."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pipelines.data.batches import ReadingCounts
from pipelines.training.distributed import Processes
from pipelines.training.optimizer import one_per_weight
from pipelines.training.run_folder import RunFolder, open_run_folder
from pipelines.training.settings import OptimizerSettings, TrainingSettings
from pipelines.training.task import Task
from pipelines.training.trainer import Trainer

Batch = dict[str, Tensor]


class ToyObjective:
    """Reconstruct vectors against a discriminator; a buffer counts like a codebook's statistics."""

    def __init__(self, dropout: float = 0.0) -> None:
        torch.manual_seed(0)
        generator = nn.Sequential(nn.Linear(8, 16), nn.Dropout(dropout), nn.Linear(16, 8))
        generator.register_buffer("seen", torch.zeros(()))
        self.players: dict[str, nn.Module] = {
            "generator": generator,
            "discriminator": nn.Linear(8, 1),
        }
        self.log: list[str] = []
        self.validation_losses: list[float] = []

    def turns(
        self, micro_batches: list[Batch], step: int
    ) -> Iterator[tuple[str, Iterator[dict[str, Tensor]]]]:
        count = sum(len(batch["x"]) for batch in micro_batches)
        self.log.append(f"turns {step}")
        if step > 0:
            yield "discriminator", self._discriminator(micro_batches, count)
            self.log.append("after discriminator")
        yield "generator", self._generator(micro_batches, count)
        self.log.append("after generator")
        self.players["generator"].seen += count

    def _discriminator(self, batches: list[Batch], count: int) -> Iterator[dict[str, Tensor]]:
        for batch in batches:
            fake = self.players["generator"](batch["x"]).detach()
            score = self.players["discriminator"]
            loss = (score(fake).tanh() - score(batch["x"]).tanh()).sum() / count
            yield {"loss": loss}

    def _generator(self, batches: list[Batch], count: int) -> Iterator[dict[str, Tensor]]:
        for batch in batches:
            made = self.players["generator"](batch["x"])
            error = (made - batch["x"]).square().mean(dim=1).sum() / count
            score = self.players["discriminator"](made).tanh().sum() / count
            yield {"loss": error - 0.1 * score, "error": error.detach()}

    def evaluate(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        error = (self.players["generator"](batch["x"]) - batch["x"]).square().mean(dim=1)
        if self.validation_losses:
            error = torch.full_like(error, self.validation_losses.pop(0))
        return {"loss": (error.sum(), torch.tensor(float(len(error))))}

    def validation_loss(self, means: dict[str, float]) -> float:
        return means["loss"]

    def state_dict(self) -> dict[str, Tensor]:
        return {"log_length": torch.tensor(len(self.log))}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.loaded = state


class ToyReading:
    """Batches are a function of the step."""

    def __init__(self) -> None:
        self.counts = ReadingCounts()
        self.bookmark: dict[str, int] = {}

    def go_to(self, bookmark: dict[str, int]) -> str:
        return ""


def toy_batches(step: int, micro_batch_size: int = 16) -> list[Batch]:
    x = torch.randn(16, 8, generator=torch.Generator().manual_seed(step))
    return [{"x": part} for part in x.split(micro_batch_size)]


def toy_settings(**changes) -> TrainingSettings:
    optimizer = OptimizerSettings(learning_rate=0.01, warmup_steps=3)
    defaults = {
        "steps": 12,
        "log_every": 1,
        "trackers": (),
        "keep_states": 3,
        "optimizer": optimizer,
        "ema_decay": 0.9,
    }
    return TrainingSettings(**(defaults | changes))


def toy_trainer(
    folder: Path,
    settings: TrainingSettings,
    resume: bool = False,
    objective: ToyObjective | None = None,
    batches: Callable[[int], list[Batch]] = toy_batches,
) -> Trainer:
    objective = objective or ToyObjective()
    generator = objective.players["generator"]
    task = Task(
        kind="tokenizer",
        abilities=("reconstruction",),
        objective=objective,
        averaged=("generator",),
        batches=batches,
        validation_batches=lambda: iter(toy_batches(1_000_000)),
        describe=lambda path: (path / "config.yaml").write_text("a: 1"),
        reading=ToyReading(),
        write_parts=lambda path: _write_part(path / "tokenizer", generator),
        draw_samples=lambda path, batch: path.with_suffix(".txt").write_text(str(len(batch["x"]))),
        matrices_in=one_per_weight,
        recomputed=(nn.Linear,),
    )
    opened: RunFolder = open_run_folder(str(folder), resume)
    return Trainer(task, settings, opened, Processes(torch.device("cpu")), seed=0)


def _write_part(folder: Path, module: nn.Module) -> None:
    folder.mkdir()
    torch.save(module.state_dict(), folder / "weights.pt")


@pytest.fixture
def toy():
    """The toy's parts; a fixture, because test files cannot import each other."""

    class Toy:
        objective = ToyObjective
        batches = staticmethod(toy_batches)
        settings = staticmethod(toy_settings)
        trainer = staticmethod(toy_trainer)

    return Toy
