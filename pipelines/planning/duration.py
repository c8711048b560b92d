"""Seconds of a step and days of a run, at an assumed utilisation."""

from dataclasses import dataclass

from pipelines.command_line import UserError
from pipelines.planning.operations import SampleFlops
from pipelines.training.utilisation import GPU, peak_flops_of

UTILISATION = 0.3
"""Model FLOPs over peak FLOPs. PaLM (2204.02311, table 3) reports 21.3% of GPT-3, 32.5% of Gopher,
30.2% of Megatron-Turing NLG (A100) and 46.2% of PaLM itself. Ours has not been measured on a GPU;
recomputation, fp32 weights and the data are in it."""


@dataclass(frozen=True)
class Duration:
    """Of one step: the model's operations, and the frozen tokenizer's beside them."""

    model_seconds: float
    encoding_seconds: float

    @property
    def seconds(self) -> float:
        return self.model_seconds + self.encoding_seconds


def step_duration(
    flops: SampleFlops, samples: int, gpus: int, gpu: GPU, precision: str, utilisation: float
) -> Duration:
    """Of a step of `samples` on `gpus` together.

    The tokenizer encodes in fp32, whose convolutions are rounded to TF32 by PyTorch's default.

    Raises:
        UserError: the GPU does not compute in that precision.
    """
    peak, rounded = (peak_flops_of(gpu, name) for name in (precision, "tf32"))
    if peak is None or rounded is None:
        raise UserError(
            f"{gpu.name} has no units for {precision}; choose another --gpu or training.precision."
        )
    share = samples / gpus / utilisation
    return Duration(flops.model * share / peak, flops.encoding * share / rounded)
