"""Peak rates by name, and measured."""

import time

import pytest
import torch

from pipelines.training import utilisation
from pipelines.training.utilisation import GPUS, find_gpu, peak_flops, peak_flops_of

# As torch.cuda.get_device_name gives them.
NAMES = {
    "NVIDIA A100-SXM4-80GB": (312, 80),
    "NVIDIA A100-SXM4-40GB": (312, 40),
    "NVIDIA A100 80GB PCIe": (312, 80),
    "NVIDIA A10": (125, 24),
    "NVIDIA A10G": (70, 24),
    "NVIDIA H100 80GB HBM3": (989.5, 80),
    "NVIDIA H100 PCIe": (756.5, 80),
    "NVIDIA H100 NVL": (835.5, 94),
    "NVIDIA H200": (989.5, 141),
    "NVIDIA L4": (121, 24),
    "NVIDIA L40S": (362, 48),
    "NVIDIA GeForce RTX 4090": (165.2, 24),
    "Tesla T4": (65, 16),
    "Tesla V100-SXM2-32GB": (125, 32),
    "a100": (312, 80),
    "rtx-3090": (71, 24),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_gpu_is_found_by_its_name(name):
    gpu = find_gpu(name)
    assert (gpu.half, gpu.gib) == NAMES[name]


@pytest.mark.parametrize("name", ["NVIDIA A1000", "NVIDIA XL4", "Radeon", ""])
def test_others_are_unknown(name):
    assert find_gpu(name) is None


def test_each_row_is_reached_by_its_own_name():
    assert [find_gpu(gpu.name) for gpu in GPUS] == list(GPUS)


def test_rates_follow_the_precision():
    a100, v100 = find_gpu("A100"), find_gpu("V100")
    rates = [peak_flops_of(a100, name) for name in ("bf16", "fp16", "tf32", "fp32")]
    assert rates == [312e12, 312e12, 156e12, 19.5e12]
    assert peak_flops_of(v100, "fp16") == 125e12 and peak_flops_of(v100, "bf16") is None


def test_a_gpu_without_a_row_has_no_rate(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Some GPU")
    assert peak_flops(torch.device("cuda"), "bf16") is None
    assert peak_flops(torch.device("mps"), "fp32") is None


def test_a_cpu_is_measured_once_and_quickly():
    utilisation._measured.cache_clear()
    start = time.perf_counter()
    rate = peak_flops(torch.device("cpu"), "fp32")
    first = time.perf_counter() - start
    assert first < 1  # 0.2 s, and what others take of the machine
    assert 1e9 < rate < 1e14
    assert peak_flops(torch.device("cpu"), "fp32") == rate
