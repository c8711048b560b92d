"""Memory of one process, term by term.

Weights stay fp32, bf16 is torch's autocast; gradients, moments and the average are fp32 as well: 16
bytes a parameter and 4 for the average, before anything is divided (ZeRO, 1910.02054, section 3.1).
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod

from pipelines.configuration.assembly.tokenizer import LARGE_MODULES
from pipelines.planning.activations import (
    MicroBatch,
    StepMemory,
    painting_memory,
    step_memory,
)
from pipelines.planning.workload import Parameters, Workload, build_on_meta
from pipelines.planning.zero import Division
from pipelines.training.settings import OptimizerSettings
from unified_transformer import EndToEndModel
from vq import pictures_at_once

FP32 = 4
MAPS_AT_ONCE = 4
"""Feature maps at full resolution that the frozen encoder has at its widest: a residual block's
input, its norm, that after SiLU, and the convolution of it."""


@dataclass(frozen=True)
class States:
    """Bytes that a process holds as long as the run lasts, on its GPU and on the host (`_host`)."""

    weights: int = 0
    master: int = 0
    gradients: int = 0
    moments: int = 0
    average: int = 0
    buffers: int = 0
    host: int = 0

    @property
    def device(self) -> int:
        """On the GPU."""
        named = (self.weights, self.master, self.gradients, self.moments, self.average)
        return sum(named) + self.buffers


def state_memory(
    parameters: int,
    division: Division,
    processes: int,
    *,
    largest: int = 0,
    moments_each: float = 2.0,
    averaged: bool = True,
) -> States:
    """What is held for `parameters` trained numbers, one of whose tensors has at most `largest`.

    `moments_each` numbers of optimizer state belong to a parameter. The terms are those of
    DeepSpeed's own code (runtime/zero/stage_1_and_2.py and stage3.py of 0.19), which keeps another
    copy of the share it steps, though the weights are fp32 already (stage 3 would not, but compares
    a device with its name).
    """
    whole = FP32 * parameters
    share = -(-whole // processes)
    stage = division.stage
    moments = moments_each * (share if stage >= 1 else whole)
    average = (share if stage >= 3 else whole) * averaged
    weights = share if stage >= 3 else whole
    master = share if stage >= 1 else 0
    gradients = share if stage >= 2 else whole
    bucket = FP32 * division.bucket * division.buckets
    buffers = bucket if stage >= 1 else FP32 * min(division.bucket, parameters)
    if not division.deepspeed:
        buffers = 0
    if stage >= 3:
        buffers += FP32 * min(division.gathered, parameters)
    host = 0
    if division.offload_optimizer:
        # Weights, gradients and moments of the share; and a place to copy from, or to gather in.
        host += int(3 * share + moments)
        master = moments = gradients = 0
        buffers += FP32 * largest if stage < 3 else 0
    if division.offload_parameters:
        host += weights
        weights = 0
    return States(weights, master, gradients, int(moments), average, buffers, host)


@dataclass(frozen=True)
class ProcessMemory:
    """Everything of a process: what stays, and what a micro-batch adds at its worst.

    `other` is the frozen tokenizer and the step's pictures; `passing` what the optimizer's step or
    the tokenizer take besides, where that is more than a micro-batch does.
    """

    states: States
    step: StepMemory
    other: int
    passing: int

    @property
    def device(self) -> int:
        """Bytes on the GPU."""
        return self.states.device + self.other + self.step.total + self.passing


class MemoryPlanner:
    """The memory of a process of this run, under any division, with and without activation
    checkpointing.

    Raises:
        ValueError: the batch does not divide by the processes.
    """

    def __init__(
        self,
        workload: Workload,
        parameters: Parameters,
        processes: int,
        device_type: str = "cuda",
    ) -> None:
        training = workload.config.training
        samples, self.accumulation = training.divide_batch(processes)
        self.workload = workload
        self.parameters = parameters
        self.processes = processes
        self.micro_batch = MicroBatch(
            samples,
            workload.text_length,
            training.precision,
            device_type,
            workload.tasks,
            int(workload.own_ids),
        )
        model = build_on_meta(workload)
        self.largest = max(parameter.numel() for parameter in model.parameters())
        self.reconstructor = None
        if isinstance(model, EndToEndModel):
            self.reconstructor = model.reconstructor.config
        # Most divisions have the same step.
        self.step = lru_cache(self._step)

    def memory(self, division: Division, checkpointing: bool) -> ProcessMemory:
        """Everything of a process."""
        run, trained = self.workload.config, self.parameters.trained
        states = state_memory(
            trained,
            division,
            self.processes,
            largest=self.largest,
            moments_each=moments_each(run.training.optimizer, self.parameters),
            averaged=run.training.ema_decay > 0,
        )
        step = self.step(checkpointing, division.stage >= 3, division.deepspeed)
        stepping = stepping_memory(trained, division, self.processes)
        other = FP32 * self.parameters.tokenizer + self._pictures()
        passing = max(0, self._encoding() - step.total, stepping - step.total)
        return ProcessMemory(states, step, other, passing)

    def _step(self, checkpointing: bool, stage_3: bool, deepspeed: bool) -> StepMemory:
        micro_batch = replace(self.micro_batch, stage_3=stage_3, together=deepspeed)
        painting = None
        if self.reconstructor is not None:
            checkpointed = LARGE_MODULES if checkpointing else ()
            painting = painting_memory(
                self.reconstructor, self.workload.tokenizer, micro_batch, checkpointed
            )
        return step_memory(self.workload.transformer, micro_batch, checkpointing, painting)

    def _pictures(self) -> int:
        """The step's, all of which are read before its first micro-batch."""
        pixels = prod(self.workload.config.data.height_width)
        return FP32 * 3 * pixels * self.micro_batch.samples * self.accumulation

    def _encoding(self) -> int:
        """What the frozen encoder has besides its weights."""
        tokenizer, pixels = self.workload.tokenizer, prod(self.workload.config.data.height_width)
        pictures = min(pictures_at_once(pixels), self.micro_batch.samples)
        places = pixels // tokenizer.patch_size**2
        return FP32 * MAPS_AT_ONCE * pictures * places * tokenizer.base_channels


def stepping_memory(parameters: int, division: Division, processes: int) -> int:
    """What DeepSpeed has besides once a backward pass is over: the share's gradients again, as they
    come from it (stages 1 and 2) and in one piece."""
    share = FP32 * -(-parameters // processes)
    if division.stage == 0 or division.offload_optimizer:
        return 0
    if division.stage == 3:
        return min(share, FP32 * division.sub_group)
    return 2 * share


def moments_each(settings: OptimizerSettings, parameters: Parameters) -> float:
    """Numbers of optimizer state for each parameter, on average: AdamW has two, Muon one for each
    number of a matrix."""
    if settings.name == "adamw":
        return 2.0
    return 2 - parameters.matrices / parameters.trained
