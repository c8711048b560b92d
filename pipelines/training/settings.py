"""The `training` section of a configuration."""

from dataclasses import dataclass, field
from typing import Literal


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise ValueError(sentence)


@dataclass(frozen=True)
class OptimizerSettings:
    """One player's optimizer and the course of its learning rate.

    Args:
        name: `adamw` (Loshchilov and Hutter, 2019), or `muon` (Jordan et al., 2024) for the hidden
            matrices with AdamW for everything else.
        learning_rate: the peak, reached after the warm-up.
        betas: AdamW's two decay rates.
        weight_decay: decoupled; matrices only, never gains, biases or embeddings.
        epsilon: AdamW's.
        muon_momentum: Muon's momentum.
        warmup_steps: steps over which the rate rises linearly from zero.
        schedule: what follows: `cosine` to `final_fraction`; `linear`, constant until
            `decay_start` and then straight down to `final_fraction`; or `constant`.
        final_fraction: the last learning rate as a share of the peak.
        decay_start: where `linear` begins to fall, as a share of the run.
        gradient_clipping: largest norm of this player's gradient; null for none.
    """

    name: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.01
    epsilon: float = 1e-8
    muon_momentum: float = 0.95
    warmup_steps: int = 100
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    final_fraction: float = 0.0
    decay_start: float = 0.5
    gradient_clipping: float | None = 1.0

    def __post_init__(self) -> None:
        _require(
            self.learning_rate > 0,
            f"learning_rate is {self.learning_rate}; it must be greater than 0.",
        )
        for beta in (*self.betas, self.muon_momentum):
            _require(0 <= beta < 1, f"betas and muon_momentum must lie in [0, 1), not {beta}.")
        _require(
            self.weight_decay >= 0, f"weight_decay is {self.weight_decay}; it must be 0 or more."
        )
        _require(self.epsilon > 0, f"epsilon is {self.epsilon}; it must be greater than 0.")
        _require(
            self.warmup_steps >= 0, f"warmup_steps is {self.warmup_steps}; it must be 0 or more."
        )
        for name in ("final_fraction", "decay_start"):
            share = getattr(self, name)
            _require(0 <= share <= 1, f"{name} is {share}; it is a share, from 0 to 1.")
        _require(
            self.gradient_clipping is None or self.gradient_clipping > 0,
            f"gradient_clipping is {self.gradient_clipping}; it must be greater than 0, "
            "or null for none.",
        )


@dataclass(frozen=True)
class TrainingSettings:
    """How long to train, on how much at a time, and what to write down on the way.

    Args:
        steps: optimizer steps in all; or
        minutes: wall-clock minutes in all, over every piece of a resumed run. Exactly one of the
            two; with minutes the schedules follow the clock of the first process.
        batch_size: samples per optimizer step, over all processes and micro-batches.
        micro_batch_size: samples per process that are computed at once; null for all of a
            process's share. Smaller values accumulate gradients and need less memory.
        activation_checkpointing: keep the inputs of the model's blocks only, and compute the rest
            again on the way back: half of the memory and less, the deeper the model, for a quarter
            more time (docs/performance.md).
        precision: `fp32`, or `bf16` or `fp16` for autocast over fp32 weights, `fp16` with a loss
            scale that follows the gradients: for GPUs that have no bf16.
        optimizer: the one of every player, but for
        discriminator_optimizer: the discriminator's, where it shall differ.
        ema_decay: of the average of the weights that is validated and exported; 0 for none.
        validate_every: steps between validations, 0 for none; the last step validates too.
        export: whose weights `checkpoint/` gets: `best`, those of the best validation loss (without
            validation the last), or `last`. On little data pictures go on getting better while the
            likelihood of unseen ones falls.
        validation_batches: batches (of `batch_size`) per validation.
        sample_every: steps between sample pictures (and captions), 0 for none.
        save_every: steps between saved states, 0 for only the last.
        keep_states: how many of the last states are kept (the best by validation loss comes on
            top).
        log_every: steps between rows of `metrics.jsonl` and of the trackers.
        trackers: names of accelerate's trackers (`tensorboard`, `wandb`, …).
        compile: run the players through `torch.compile`.
    """

    steps: int | None = None
    minutes: float | None = None
    batch_size: int = 16
    micro_batch_size: int | None = None
    activation_checkpointing: bool = False
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    discriminator_optimizer: OptimizerSettings | None = None
    ema_decay: float = 0.999
    validate_every: int = 0
    export: Literal["best", "last"] = "best"
    validation_batches: int = 8
    sample_every: int = 0
    save_every: int = 0
    keep_states: int = 2
    log_every: int = 10
    trackers: tuple[str, ...] = ("tensorboard",)
    compile: bool = False

    def __post_init__(self) -> None:
        _require(
            (self.steps is None) != (self.minutes is None),
            f"steps is {self.steps} and minutes is {self.minutes}; "
            "exactly one of them must be given, the other null.",
        )
        for name in ("steps", "minutes", "micro_batch_size"):
            value = getattr(self, name)
            _require(value is None or value > 0, f"{name} is {value}; it must be greater than 0.")
        for name in ("batch_size", "validation_batches", "keep_states", "log_every"):
            value = getattr(self, name)
            _require(value >= 1, f"{name} is {value}; it must be 1 or more.")
        for name in ("validate_every", "sample_every", "save_every"):
            value = getattr(self, name)
            _require(value >= 0, f"{name} is {value}; it must be 0 (never) or more.")
        _require(
            self.export in ("best", "last"), f"export is {self.export!r}; it must be best or last."
        )
        _require(0 <= self.ema_decay < 1, f"ema_decay is {self.ema_decay}; it must lie in [0, 1).")

    def divide_batch(self, processes: int) -> tuple[int, int]:
        """(samples per micro-batch, micro-batches per step) of each of `processes`.

        Raises:
            ValueError: the batch does not divide.
        """
        _require(
            self.batch_size % processes == 0,
            f"batch_size is {self.batch_size}, which {processes} processes cannot share evenly; "
            f"choose a multiple of {processes}.",
        )
        share = self.batch_size // processes
        micro_batch_size = min(self.micro_batch_size or share, share)
        _require(
            share % micro_batch_size == 0,
            f"micro_batch_size is {micro_batch_size}, which does not divide the {share} samples "
            f"of a process; choose a divisor of {share}.",
        )
        return micro_batch_size, share // micro_batch_size
