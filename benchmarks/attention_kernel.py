"""Forward and backward of masked attention on a CPU: the fused kernel against plain products.

    python benchmarks/attention_kernel.py

Prints a row per number of keys: milliseconds of both and their ratio (medians, runs alternating).
"""

import time
from collections.abc import Callable
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor

from unified_transformer.attention.kernel import attend_by_products

REPEATS = 15


def seconds(attention: Callable[..., Tensor], inputs: list[Tensor], mask: Tensor) -> float:
    """Wall-clock seconds of one forward and backward pass."""
    start = time.perf_counter()
    attention(*inputs, mask).sum().backward()
    return time.perf_counter() - start


def fused(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)


def main() -> None:
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, bf16, 3 heads of 64")
    print("keys  batch  fused ms  plain ms  fused / plain")
    for keys, batch in ((88, 16), (160, 16), (256, 8), (512, 4), (1088, 2)):
        inputs = [torch.randn(batch, 3, keys, 64).bfloat16().requires_grad_() for _ in range(3)]
        mask = torch.ones(keys, keys, dtype=torch.bool).tril().expand(batch, 1, keys, keys)
        times: dict[str, list[float]] = {"fused": [], "plain": []}
        for repeat in range(REPEATS + 2):
            for name, attention in (("fused", fused), ("plain", attend_by_products)):
                spent = seconds(attention, inputs, mask)
                if repeat >= 2:
                    times[name].append(1e3 * spent)
        a, b = median(times["fused"]), median(times["plain"])
        print(f"{keys:4d}  {batch:5d}  {a:8.2f}  {b:8.2f}  {a / b:13.2f}")


if __name__ == "__main__":
    main()
