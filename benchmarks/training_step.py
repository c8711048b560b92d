"""A training step: sparse layers against dense ones on growing grids, and beside DALLE-pytorch.

    python benchmarks/training_step.py --output runs/benchmarks/training_step.json \
        [--dalle-pytorch DIR] [--grids 16 32 64 128]

One direction (text to image), batch 2, dim 256, depth 4, heads 4, text 64, 1,024 codes, AdamW.
Dense attention in three ways: `masked`, by PyTorch's fused kernel under the rule's mask; `causal`,
the same kernel without a mask, the strongest opponent (another rule, the same cost); `stored
scores`, written out as it was before such kernels (the first is left out at 128 x 128, where its
mask, and the last, where its scores do not fit). `recomputed` is sparse with activation
checkpointing. The floor is the sparse step's matrix products (visible pairs only) at the rate of a
large one, measured in the same run. DALLE-pytorch has as many parameters, on 32 x 32 ids. Memory is
what a step adds at its peak, in a process of its own. Beside the JSON: a picture of the growth.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import ours
import peer
import torch
import torch.nn.functional as F
from measuring import begin, medians, peak_memory, plot_growth, seconds, write_json
from ours import BATCH, DENSE, SIDE, SPARSE, TEXT
from torch import Tensor

from pipelines.training.processor import keep_freed_memory
from pipelines.training.recomputation import recompute
from unified_transformer import UnifiedTransformer
from unified_transformer.attention.dense import dense_mask
from unified_transformer.attention.kernel import attend_by_products
from unified_transformer.attention.patterns import image_mask
from unified_transformer.blocks import Attention, Block
from unified_transformer.sequence import Sequence

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
REPEATS = {16: 9, 32: 9, 64: 3, 128: 1}
VARIANTS = ("sparse", "recomputed", "causal", "masked", "stored scores")
LARGEST_MASK = 64


def causal(sequence: Sequence, pattern: str) -> Attention:
    return partial(F.scaled_dot_product_attention, is_causal=True)


def stored_scores(sequence: Sequence, pattern: str) -> Attention:
    mask = sequence.cached(pattern, lambda: dense_mask(sequence, pattern))
    return partial(attend_by_products, mask=mask)


def build(variant: str, side: int) -> UnifiedTransformer:
    model = ours.build(SPARSE if variant in ("sparse", "recomputed") else DENSE, side)
    if variant == "recomputed":
        recompute(model, (Block,))
    other = {"causal": causal, "stored scores": stored_scores}
    if variant in other:
        model.attention = other[variant]  # type: ignore[method-assign]
    return model


def prepare(variant: str, side: int, dtype: str, device: str) -> Callable[[], None]:
    """A step of a model of its own, after the first, which makes the optimizer's state."""
    torch.manual_seed(0)
    model = build(variant, side).to(device)  # type: ignore[arg-type]
    loss = partial(ours.loss_of, model, *ours.random_pairs(side, device))
    step = ours.stepper(model, loss, dtype, device)
    step()
    return step


def flops(model: UnifiedTransformer, side: int) -> float:
    """Of the matrix products of a step, forward and backward: two for each weight and token,
    two for each visible pair and dimension in scores and in values; twice that on the way back."""
    config, n, prefix = model.config, side**2, TEXT + 1
    matrices = sum(p.numel() for p in model.blocks.parameters() if p.ndim == 2)
    products = matrices * (prefix + n) + model.image_head.weight.numel() * n
    for pattern in config.layer_patterns:
        own = int(image_mask(pattern, side, side, two_sided=False).sum())
        products += 2 * config.hidden_size * (own + prefix * n + prefix**2)
    return 3 * 2 * BATCH * products


def rate(dtype: str, device: str) -> float:
    """Operations a second of a large matrix product."""
    size = 4096 if device == "cpu" else 16384
    a, b = (torch.randn(size, size, device=device).to(DTYPES[dtype]) for _ in range(2))
    a @ b
    return 2 * size**3 / median(seconds(lambda: a @ b, device) for _ in range(5))


def measure_grid(side: int, dtype: str, device: str) -> list[dict[str, Any]]:
    """A row per variant."""
    left_out = () if side <= LARGEST_MASK else ("masked", "stored scores")
    compared = [variant for variant in VARIANTS if variant not in left_out]
    steps = {variant: prepare(variant, side, dtype, device) for variant in compared}
    spent = medians(steps, REPEATS.get(side, 1), device=device)
    del steps
    least = flops(ours.build(SPARSE, side), side) / rate(dtype, device)
    return [
        {
            "side": side,
            "dtype": dtype,
            "name": variant,
            "seconds": spent[variant],
            "tokens_per_second": BATCH * (TEXT + 1 + side**2) / spent[variant],
            "sparse_seconds": spent["sparse"] / spent[variant],
            "peak_mib": peak_memory(prepare, variant, side, dtype, device)["added"],
            "times_floor": spent[variant] / least,
        }
        for variant in compared
    ]


def measure_beside_peer(dtype: str, folder: str) -> list[dict[str, Any]]:
    """Both systems with sparse and with dense layers, in turn, on the CPU."""
    text, ids = ours.random_pairs(SIDE, "cpu")
    models: dict[str, Any] = {}
    losses: dict[str, Callable[[], Tensor]] = {}
    for kind, patterns, theirs in (
        ("sparse", SPARSE, peer.SPARSE),
        ("dense", DENSE, peer.DENSE),
    ):
        model = models[f"ours, {kind}"] = ours.build(patterns)
        losses[f"ours, {kind}"] = partial(ours.loss_of, model, text, ids)
        other = models[f"DALLE-pytorch, {kind}"] = peer.build(folder, SIDE, theirs)
        losses[f"DALLE-pytorch, {kind}"] = partial(other, text, ids, return_loss=True)
    steps = {name: ours.stepper(models[name], loss, dtype) for name, loss in losses.items()}
    spent = medians(steps, repeats=9)
    return [
        {
            "dtype": dtype,
            "name": name,
            "parameters": peer.parameters(models[name]),
            "seconds": spent[name],
            "tokens_per_second": BATCH * (TEXT + 1 + SIDE**2) / spent[name],
        }
        for name in losses
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dalle-pytorch", metavar="DIR", help="a clone of its repository")
    parser.add_argument("--grids", type=int, nargs="+", default=[16, 32, 64, 128])
    arguments = begin(parser)
    keep_freed_memory()  # as training does
    device = "cuda" if torch.cuda.is_available() else "cpu"
    figures: dict[str, list[dict[str, Any]]] = {"grids": [], "beside": []}
    if arguments.dalle_pytorch:
        print("dtype name                     parameters   seconds  tokens/s")
        for dtype in DTYPES:
            for row in measure_beside_peer(dtype, arguments.dalle_pytorch):
                print(
                    f"{row['dtype']}  {row['name']:24s}{row['parameters']:11,d}"
                    f"{row['seconds']:10.3f}{row['tokens_per_second']:10.0f}",
                    flush=True,
                )
                figures["beside"].append(row)
        write_json(arguments.output, figures)
    print("side dtype name           seconds  tokens/s  sparse/  peak MiB  x floor")
    for dtype in DTYPES:
        for side in arguments.grids:
            for row in measure_grid(side, dtype, device):
                print(
                    f"{side:4d} {dtype}  {row['name']:13s}{row['seconds']:9.3f}"
                    f"{row['tokens_per_second']:10.0f}{row['sparse_seconds']:9.2f}"
                    f"{row['peak_mib']:10.1f}{row['times_floor']:9.2f}",
                    flush=True,
                )
                figures["grids"].append(row)
            write_json(arguments.output, figures)
    rows = [row for row in figures["grids"] if row["dtype"] == "fp32"]
    plot_growth(rows, VARIANTS, TEXT + 1, Path(arguments.output).with_suffix(".png"))


if __name__ == "__main__":
    main()
