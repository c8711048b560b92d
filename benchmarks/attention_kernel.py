"""Forward and backward of masked attention on a CPU: the fused kernel against plain products.

    python benchmarks/attention_kernel.py

Prints a row per number of keys: milliseconds of both and their ratio (medians, runs alternating).
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from measuring import medians
from torch import Tensor

from unified_transformer.attention.kernel import attend_by_products

REPEATS = 15


def step(attention: Callable[..., Tensor], inputs: list[Tensor], mask: Tensor) -> None:
    """One forward and backward pass."""
    attention(*inputs, mask).sum().backward()


def fused(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)


def main() -> None:
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, bf16, 3 heads of 64")
    print("keys  batch  fused ms  plain ms  fused / plain")
    for keys, batch in ((88, 16), (160, 16), (256, 8), (512, 4), (1088, 2)):
        inputs = [torch.randn(batch, 3, keys, 64).bfloat16().requires_grad_() for _ in range(3)]
        mask = torch.ones(keys, keys, dtype=torch.bool).tril().expand(batch, 1, keys, keys)
        both = {"fused": fused, "plain": attend_by_products}
        calls = {name: partial(step, attention, inputs, mask) for name, attention in both.items()}
        a, b = (1e3 * spent for spent in medians(calls, REPEATS).values())
        print(f"{keys:4d}  {batch:5d}  {a:8.2f}  {b:8.2f}  {a / b:13.2f}")


if __name__ == "__main__":
    main()
