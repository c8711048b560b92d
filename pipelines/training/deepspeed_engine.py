"""DeepSpeed as one player's way to step; it is imported only where it is used."""

import logging
import math
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pipelines.training.deepspeed_configuration import divides_weights
from pipelines.training.distributed import Processes
from pipelines.training.divided_weights import DividedWeights, divide, let_go_of_processes
from pipelines.training.optimizer import (
    MatricesIn,
    build_optimizer,
    schedule_factor,
    set_learning_rate,
)
from pipelines.training.settings import OptimizerSettings
from pipelines.training.weights import Weights, WholeWeights, trainable
from pipelines.training.zero_state import adamw_state, load_master_weights_and_adamw_state


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
        divided = divides_weights(config)
        # Asked for before a division, which leaves parameters without a shape.
        matrices = {name: matrices_in(name, p) for name, p in module.named_parameters()}
        if divided:
            divide(module, config, processes.device)
        else:
            processes.make_equal(module)
        self.engine, *_ = deepspeed.initialize(
            model=module,
            optimizer=build_optimizer(module, settings, lambda name, _: matrices[name]),
            config=config,
            dist_init_required=False,
        )
        self.module: nn.Module = self.engine.module
        self.weights: Weights = (
            DividedWeights(module, self.engine.optimizer, processes)
            if divided
            else WholeWeights(module)
        )
        self._trainable = trainable(module)
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
        """The optimizer step at the end of the micro-batches, which the engine leaves out where
        the gradient is not finite."""
        factor = schedule_factor(self.settings, step, progress)
        self.learning_rate = self.settings.learning_rate * factor
        set_learning_rate(self.engine.optimizer, self.learning_rate)
        self.engine.step()
        self._unfinished = False
        norm = float(self.engine.get_global_grad_norm())
        return norm if norm >= 0 else math.inf  # -1 is ZeRO 3's word for infinite

    def optimizer_state(self) -> Iterator[tuple[str, Tensor]]:
        yield from adamw_state(self.engine.optimizer, self._trainable)

    def load(self, weights: Mapping[str, Tensor], optimizer: Mapping[str, Tensor]) -> None:
        self.weights.load(weights)
        load_master_weights_and_adamw_state(
            self.engine.optimizer, self._trainable, self.weights, weights, optimizer
        )

    def loss_scale(self) -> dict[str, float]:
        return {}

    def set_loss_scale(self, state: dict[str, float]) -> None:
        """There is none: fp16 is refused."""

    def close(self) -> None:
        """Takes the hooks off the weights, which keep the engine and its group of processes."""
        zero = self.engine.optimizer
        self.engine.destroy()
        if isinstance(self.weights, DividedWeights):
            let_go_of_processes(self.module, zero.parameter_offload, zero, self.engine)


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
    # Our embeddings pass each other vectors in a dataclass, which ZeRO 3 looks into for tensors to
    # hook: of parameters that are gathered with the whole module.
    logger.addFilter(lambda record: "unknown inputs or outputs type" not in record.getMessage())
    for handler in logger.handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(sys.stderr)
