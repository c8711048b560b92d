"""DeepSpeed as one player's way to step; the only place that imports it, and only when used."""

import json
import logging
import math
import os
import sys
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pipelines.command_line import UserError
from pipelines.training.distributed import Processes
from pipelines.training.optimizer import (
    MatricesIn,
    build_optimizer,
    schedule_factor,
    set_learning_rate,
)
from pipelines.training.players import NotFinite
from pipelines.training.settings import OptimizerSettings, TrainingSettings

# ZeRO's later stage divides the weights themselves, which the averages and exports here need whole.
STAGES = (0, 1, 2)
TAG = "engine"


class DeepSpeedPlayer:
    """A player inside a DeepSpeed engine (ZeRO; Rajbhandari et al., 2020).

    The weights stay fp32 and bf16 comes from torch's autocast, as on the plain path, so that both
    compute the same. `engine` must stand in the objective's place of the module.
    """

    def __init__(
        self,
        module: nn.Module,
        matrices_in: MatricesIn,
        settings: OptimizerSettings,
        processes: Processes,
        config: dict[str, Any],
    ) -> None:
        import deepspeed

        _log_to_stderr(deepspeed.utils.logger)
        self.settings = settings
        self.processes = processes
        self.learning_rate = 0.0
        self.engine, *_ = deepspeed.initialize(
            model=module,
            optimizer=build_optimizer(module, settings, matrices_in),
            config=config,
            dist_init_required=False,
        )
        self.module: nn.Module = self.engine.module
        self._unfinished = False
        if processes.device.type == "cpu":
            _release_shared_memory(processes)

    def start(self) -> None:
        """The engine clears its gradients itself."""

    def backward(self, loss: Tensor) -> None:
        if self._unfinished:
            self.engine.step()  # counts the last micro-batch; not a boundary, so nothing moves
        # Our losses are already normalised over the micro-batches.
        self.engine.backward(loss, scale_wrt_gas=False)
        self._unfinished = True

    def step(self, step: int, progress: float) -> float:
        """The optimizer step at the end of the micro-batches.

        Raises:
            NotFinite: the gradient is not finite (unlike on the plain path, the weights in memory
                have then taken the step; no state is saved from them).
        """
        factor = schedule_factor(self.settings, step, progress)
        self.learning_rate = self.settings.learning_rate * factor
        set_learning_rate(self.engine.optimizer, self.learning_rate)
        self.engine.step()
        self._unfinished = False
        norm = float(self.engine.get_global_grad_norm())
        if not math.isfinite(norm):
            raise NotFinite
        return norm

    def save(self, folder: Path, name: str) -> None:
        self.engine.save_checkpoint(str(folder / "deepspeed"), tag=TAG, save_latest=False)

    def load(self, folder: Path, name: str) -> None:
        """Raises:
        ValueError: it was saved without DeepSpeed, or by another number of processes.
        """
        saved = folder / "deepspeed"
        if not saved.is_dir():
            raise ValueError("it was saved without DeepSpeed")
        shards = len(list((saved / TAG).glob("*optim_states.pt")))
        if shards not in (0, self.processes.count):
            raise ValueError(f"DeepSpeed saved it from {shards} processes")
        self.engine.load_checkpoint(str(saved), tag=TAG)

    def close(self) -> None:
        """Takes the hooks off the weights, which keep the engine and its group of processes."""
        self.engine.destroy()


def engine_configuration(
    json_file: Path, training: TrainingSettings, processes: int
) -> dict[str, Any]:
    """DeepSpeed's configuration: the JSON, with what our own configuration decides filled in.

    Raises:
        UserError: the JSON cannot be read, or contradicts the configuration; or the optimizer is
            one that DeepSpeed cannot divide.
    """
    if training.optimizer.name != "adamw":
        raise UserError(
            f"training.optimizer.name is {training.optimizer.name}, whose update needs whole "
            "matrices, and DeepSpeed divides them; set training.optimizer.name=adamw."
        )
    try:
        config = json.loads(json_file.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"deepspeed={json_file} cannot be read as JSON ({error}).") from None
    if not isinstance(config, dict):
        raise UserError(f"deepspeed={json_file} is not a JSON object; see configs/deepspeed.")
    stage = config.get("zero_optimization", {}).get("stage", 0)
    if stage not in STAGES:
        raise UserError(f"{json_file} asks for ZeRO stage {stage}; stages 0 to 2 are supported.")
    for section, key in (
        ("optimizer", "training.optimizer"),
        ("scheduler", "training.optimizer.schedule"),
        ("fp16", "training.precision"),
        ("bf16", "training.precision"),
    ):
        if section in config:
            raise UserError(f"{json_file} has a section {section!r}; remove it and set {key}.")
    try:
        micro_batch_size, accumulation = training.divide_batch(processes)
    except ValueError as error:
        raise UserError(f"training.{error}") from None
    ours = {
        "train_batch_size": training.batch_size,
        "train_micro_batch_size_per_gpu": micro_batch_size,
        "gradient_accumulation_steps": accumulation,
        "gradient_clipping": training.optimizer.gradient_clipping or 0.0,
    }
    for key, value in ours.items():
        if config.get(key, "auto") not in ("auto", value):
            raise UserError(
                f"{json_file} sets {key} to {config[key]}, but the configuration means {value}; "
                'write "auto" there.'
            )
    autocast = {
        "enabled": training.precision == "bf16",
        "dtype": "bfloat16",
        # Gradients are summed over processes in fp32.
        "lower_precision_safe_modules": [],
    }
    return config | ours | {"torch_autocast": autocast}


def _release_shared_memory(processes: Processes) -> None:
    """On a CPU DeepSpeed's processes share 66 MiB each under a name in memory, never removed;
    without the name the memory ends with the processes, however they end."""
    processes.wait()  # all have opened it
    address, port = (os.environ.get(f"MASTER_{what}", "") for what in ("ADDR", "PORT"))
    name = f"deepspeed_allreduce_buffer_{os.getuid()}_{address}_{port}_{processes.rank}"
    Path("/dev/shm", name).unlink(missing_ok=True)


def _log_to_stderr(logger: logging.Logger) -> None:
    # DeepSpeed's logger writes to stdout, which is for results.
    logger.setLevel(logging.WARNING)
    for handler in logger.handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(sys.stderr)
