"""How fast this device multiplies matrices at best: what a run's operations are held against."""

import re
import time
from dataclasses import dataclass
from functools import lru_cache

import torch

SIZE, SECONDS = 1024, 0.2
"""Of the product that is measured on a CPU, and how long it is repeated."""


@dataclass(frozen=True)
class GPU:
    """A model of GPU, found by `name`, words of what `torch.cuda.get_device_name` says.

    Rates are in TFLOP/s of dense matrix products, as the vendor states them: `half` in bf16 and
    fp16 with sums in fp32, `tf32` of fp32 tensors rounded on the way (convolutions, by PyTorch's
    default), `fp32` without rounding (matrices, by the same default). `gib` is the largest
    variant's memory. Without `bf16` there are no tensor cores for it.
    """

    name: str
    gib: int
    half: float
    tf32: float
    fp32: float
    bf16: bool = True


GPUS = (
    # NVIDIA Blackwell architecture data sheet, 2024 (HGX B200, one of eight, without sparsity).
    GPU("B200", 180, 2250, 1100, 75),
    # NVIDIA H200 and H100 data sheets, 2023 to 2024: halves of the rates given with sparsity.
    GPU("H200 NVL", 141, 835.5, 417.5, 60),
    GPU("H200", 141, 989.5, 494.5, 67),
    GPU("H100 NVL", 94, 835.5, 417.5, 60),
    GPU("H100 PCIe", 80, 756.5, 378, 51),
    GPU("H100", 80, 989.5, 494.5, 67),
    # NVIDIA A100 data sheet, 2021; A100 of 40 GiB have the same rates.
    GPU("A100-SXM4-40GB", 40, 312, 156, 19.5),
    GPU("A100-PCIE-40GB", 40, 312, 156, 19.5),
    GPU("A100", 80, 312, 156, 19.5),
    # NVIDIA A40, A30, A10 and RTX A6000 data sheets, 2020 to 2021; A10G: that of AWS's variant.
    GPU("A40", 48, 149.7, 74.8, 37.4),
    GPU("A30", 24, 165, 82, 10.3),
    GPU("A10G", 24, 70, 35, 35),
    GPU("A10", 24, 125, 62.5, 31.2),
    GPU("RTX A6000", 48, 154.8, 77.4, 38.7),
    # NVIDIA L40S, L40 and L4 data sheets, 2022 to 2023.
    GPU("L40S", 48, 362, 183, 91.6),
    GPU("L40", 48, 181, 90.5, 90.5),
    GPU("L4", 24, 121, 60, 30.3),
    # NVIDIA V100 and T4 data sheets, 2018 to 2020.
    GPU("V100-PCIE", 32, 112, 14, 14, bf16=False),
    GPU("V100S", 32, 130, 16.4, 16.4, bf16=False),
    GPU("V100", 32, 125, 15.7, 15.7, bf16=False),
    GPU("T4", 16, 65, 8.1, 8.1, bf16=False),
    # NVIDIA RTX Blackwell, Ada and GA102 architecture white papers, 2020 to 2025.
    GPU("RTX 5090", 32, 209.5, 104.8, 104.8),
    GPU("RTX 4090", 24, 165.2, 82.6, 82.6),
    GPU("RTX 3090", 24, 71, 35.6, 35.6),
)


def find_gpu(name: str) -> GPU | None:
    """The GPU whose words stand in `name`, in any case and joined by blanks or hyphens."""
    spoken = _words(name)
    for gpu in GPUS:
        if re.search(rf"(?<!\w){re.escape(_words(gpu.name))}(?!\w)", spoken):
            return gpu
    return None


def _words(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).lower()


def peak_flops_of(gpu: GPU, precision: str) -> float | None:
    """FLOP/s of dense matrix products in `fp32`, `tf32`, `bf16` or `fp16`; None for what it has no
    units for."""
    if precision == "bf16" and not gpu.bf16:
        return None
    rates = {"bf16": gpu.half, "fp16": gpu.half, "tf32": gpu.tf32, "fp32": gpu.fp32}
    return rates[precision] * 1e12


def peak_flops(device: torch.device, precision: str) -> float | None:
    """FLOP/s of matrix products on this device at best: a GPU's by its data sheet, a CPU's
    measured, with the threads that PyTorch has now. None where it is not known, and then a
    utilisation is not either."""
    if device.type == "cpu":
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        return _measured(dtype, torch.get_num_threads())
    if device.type != "cuda":
        return None
    gpu = find_gpu(torch.cuda.get_device_name(device))
    return None if gpu is None else peak_flops_of(gpu, precision)


@lru_cache
def _measured(dtype: torch.dtype, threads: int) -> float:
    """The fastest of some large products; takes `SECONDS`, once."""
    factor = torch.ones(SIZE, SIZE, dtype=dtype)
    best, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        factor @ factor
        best = min(best, time.perf_counter() - start)
    return 2 * SIZE**3 / best
