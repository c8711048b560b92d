"""Each pattern by each implementation against the strongest dense opponent, on growing grids.

    python benchmarks/attention.py --output runs/benchmarks/attention.json

Batch 2, 4 heads of 64, 63 text positions and [BOI]. The opponent is causal attention by PyTorch's
fused kernel (`scaled_dot_product_attention`), which needs no mask; `dense` is the same kernel under
the pattern's mask (left out at 128 x 128, where that mask alone takes gigabytes). Prints a table,
writes JSON and, beside it, a picture of how the cost grows. Times are medians of runs in turn;
memory is what forward and backward add at their peak, in a process of its own.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from measuring import begin, medians, peak_memory, plot_growth, write_json
from torch import Tensor

from pipelines.training.processor import keep_freed_memory
from unified_transformer.attention import IMPLEMENTATIONS
from unified_transformer.sequence import build_sequence

TEXT = 63
PATTERNS = ("row", "column", "conv")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
CAUSAL = "causal"
LARGEST_MASK = 64


def names(side: int, device: str) -> list[str]:
    """What is compared at a grid: `causal`, and pattern/implementation."""
    implementations = ["blockwise", "flex"] if device == "cuda" else ["blockwise"]
    if side <= LARGEST_MASK:
        implementations.insert(0, "dense")
    return [CAUSAL, *(f"{p}/{name}" for p in PATTERNS for name in implementations)]


def prepare(name: str, side: int, dtype: str, device: str, backward: bool) -> Callable[[], object]:
    """A call of one of `names` on inputs of its own."""
    torch.manual_seed(0)
    shape = (2, 4, TEXT + 1 + side * side, 64)
    made = [torch.randn(shape, device=device, dtype=DTYPES[dtype]) for _ in range(4)]
    inputs, gradient = [tensor.requires_grad_() for tensor in made[:3]], made[3]
    attention: Callable[..., Tensor] = partial(F.scaled_dot_product_attention, is_causal=True)
    if name != CAUSAL:
        pattern, implementation = name.split("/")
        lengths = torch.tensor([TEXT, TEXT // 2], device=device)
        sequence = build_sequence(lengths, TEXT, (side, side), "text_to_image")
        attention = partial(
            IMPLEMENTATIONS[implementation], sequence=sequence, pattern=pattern, dropout=0.0
        )

    def call() -> None:
        with torch.set_grad_enabled(backward):
            out = attention(*inputs)
        if backward:
            torch.autograd.grad(out, inputs, gradient)

    return call


def measure(side: int, dtype: str, device: str, repeats: int) -> list[dict[str, Any]]:
    """A row per name: seconds forward, and with backward, its ratios, and MiB."""
    compared = names(side, device)
    times = {
        backward: medians(
            {name: prepare(name, side, dtype, device, backward) for name in compared},
            repeats,
            device=device,
        )
        for backward in (False, True)
    }
    rows = []
    for name in compared:
        memory = peak_memory(prepare, name, side, dtype, device, True)
        both = times[True]
        dense = both.get(f"{name.split('/')[0]}/dense")
        rows.append(
            {
                "side": side,
                "dtype": dtype,
                "name": name,
                "forward_seconds": times[False][name],
                "seconds": both[name],
                "times_causal": both[CAUSAL] / both[name],
                "times_dense": dense / both[name] if dense else None,
                "peak_mib": memory["added"],
            }
        )
    return rows


def print_rows(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        dense = f"{row['times_dense']:7.2f}" if row["times_dense"] else "      -"
        print(
            f"{row['side']:4d}  {row['dtype']}  {row['name']:16s}"
            f"{1e3 * row['forward_seconds']:10.2f}{1e3 * row['seconds']:11.2f}"
            f"{row['times_causal']:9.2f}{dense}{row['peak_mib']:9.1f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--grids", type=int, nargs="+", default=[16, 32, 64, 128])
    arguments = begin(parser)
    keep_freed_memory()  # as training does
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print("side dtype name            forward ms    both ms  x causal x dense      MiB")
    rows = []
    for dtype in DTYPES:
        for side in arguments.grids:
            found = measure(side, dtype, device, repeats={128: 2, 64: 5}.get(side, 15))
            print_rows(found)
            rows += found
            write_json(arguments.output, rows)
    shown = [CAUSAL, *(f"{pattern}/blockwise" for pattern in PATTERNS)]
    fp32 = [row for row in rows if row["dtype"] == "fp32"]
    plot_growth(fp32, shown, TEXT + 1, Path(arguments.output).with_suffix(".png"))


if __name__ == "__main__":
    main()
