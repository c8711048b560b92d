"""Memory of one process, term by term.

Weights stay fp32, bf16 is torch's autocast; gradients, moments and the average are fp32 as well: 16
bytes a parameter and 4 for the average, before anything is divided (ZeRO, 1910.02054, section 3.1).
"""

from dataclasses import dataclass

from pipelines.configuration.assembly.tokenizer import LARGE_MODULES
from pipelines.planning.activations import (
    MicroBatch,
    PassMemory,
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
    accumulation: int = 2,
) -> States:
    """What is held for `parameters` trained numbers, one of whose tensors has at most `largest`.

    `moments_each` numbers of optimizer state belong to a parameter; `accumulation` micro-batches
    make a step. The terms are those of DeepSpeed's own code (runtime/zero/stage_1_and_2.py and
    stage3.py of 0.19), which keeps another copy of the share it steps, though the weights are fp32
    already (stage 3 would not, but compares a device with its name).
    """
    whole = FP32 * parameters
    share = -(-whole // processes)
    stage = division.stage
    moments = moments_each * (share if stage >= 1 else whole)
    average = (share if stage >= 3 else whole) * averaged
    weights = share if stage >= 3 else whole
    master = share if stage >= 1 else 0
    # From the second micro-batch on, stage 2 has what was summed and what is added to it.
    of_share = share * (2 if accumulation > 1 and stage == 2 else 1)
    gradients = of_share if stage >= 2 else whole
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


def process_memory(
    workload: Workload,
    parameters: Parameters,
    division: Division,
    processes: int,
    checkpointing: bool,
    device_type: str = "cuda",
) -> ProcessMemory:
    """Of this run under `division`.

    Raises:
        ValueError: the batch does not divide by the processes.
    """
    training = workload.config.training
    samples, accumulation = training.divide_batch(processes)
    micro_batch = MicroBatch(
        samples,
        workload.text_length,
        training.precision,
        device_type,
        workload.directions,
        int(workload.own_ids),
        division.stage >= 3,
    )
    states = state_memory(
        parameters.trained,
        division,
        processes,
        largest=largest_parameter(workload),
        moments_each=moments_each(training.optimizer, parameters),
        averaged=training.ema_decay > 0,
        accumulation=accumulation,
    )
    painting = _painting(workload, micro_batch, checkpointing)
    step = step_memory(workload.transformer, micro_batch, checkpointing, painting)
    height, width = workload.config.data.height_width
    pictures = FP32 * 3 * height * width
    encoded = min(pictures_at_once(height * width), samples)
    encoding = MAPS_AT_ONCE * encoded * FP32 * height * width * workload.tokenizer.base_channels
    encoding //= workload.tokenizer.patch_size**2
    stepping = stepping_memory(parameters.trained, division, processes)
    other = FP32 * parameters.tokenizer + pictures * samples * accumulation
    return ProcessMemory(states, step, other, max(0, encoding - step.total, stepping - step.total))


def stepping_memory(parameters: int, division: Division, processes: int) -> int:
    """What DeepSpeed's step has besides: the share's gradients once more, in one piece."""
    share = FP32 * -(-parameters // processes)
    if division.stage == 0 or division.offload_optimizer:
        return 0
    if division.stage == 3:
        return min(share, FP32 * division.sub_group)
    return share * (2 if division.stage == 1 else 1)


def _painting(
    workload: Workload, micro_batch: MicroBatch, checkpointing: bool
) -> PassMemory | None:
    model = build_on_meta(workload)
    if not isinstance(model, EndToEndModel):
        return None
    checkpointed = LARGE_MODULES if checkpointing else ()
    return painting_memory(
        model.reconstructor.config, workload.tokenizer, micro_batch, checkpointed
    )


def largest_parameter(workload: Workload) -> int:
    """Numbers in the largest tensor that is trained."""
    return max(parameter.numel() for parameter in build_on_meta(workload).parameters())


def moments_each(settings: OptimizerSettings, parameters: Parameters) -> float:
    """Numbers of optimizer state for each parameter, on average: AdamW has two, Muon one for each
    number of a matrix."""
    if settings.name == "adamw":
        return 2.0
    return 2 - parameters.matrices / parameters.trained
