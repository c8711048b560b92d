"""Seconds of a training step over 32 x 32 ids, beside DALLE-pytorch where a clone of it is given.

    python benchmarks/training_step.py --output runs/benchmarks/training_step.json \
        [--dalle-pytorch DIR]

One direction (text to image), batch 2, dim 256, depth 4, heads 4, text 64, 1,024 codes, AdamW,
equal parameter counts; ours with sparse layers (row, column, row, conv) and with dense ones. The
floor is the step's matrix products (visible pairs only) at the rate of a large one, measured in the
same run.
"""

import argparse
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from statistics import median
from typing import Any

import peer
import torch
from decoding import SIDE, TEXT, build_ours
from measuring import begin, medians, seconds, write_json
from torch import Tensor, nn

from unified_transformer import UnifiedTransformer
from unified_transformer.attention.patterns import image_mask
from unified_transformer.objective import image_loss

BATCH = 2
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def stepper(model: nn.Module, loss: Callable[[], Tensor], dtype: str) -> Callable[[], None]:
    """A call that takes one step of AdamW."""
    optimizer = torch.optim.AdamW(model.train().parameters(), 1e-3, fused=True)
    autocast = torch.autocast("cpu", dtype=torch.bfloat16) if dtype == "bf16" else nullcontext()

    def step() -> None:
        optimizer.zero_grad()
        with autocast:
            value = loss()
        value.backward()
        optimizer.step()

    return step


def our_loss(model: UnifiedTransformer, text: Tensor, ids: Tensor) -> Tensor:
    batch = {
        "text_ids": text,
        "text_length": torch.full((BATCH,), TEXT),
        "caption_dropped": torch.zeros(BATCH, dtype=torch.bool),
        "image_ids": ids.reshape(BATCH, SIDE, SIDE),
    }
    return image_loss(model, batch, model.config, 1 / ids.numel()).total


def flops(model: UnifiedTransformer) -> float:
    """Of the matrix products of a step, forward and backward: two for each weight and token,
    two for each visible pair and dimension in scores and in values; twice that on the way back."""
    config, n, prefix = model.config, SIDE**2, TEXT + 1
    matrices = sum(p.numel() for p in model.blocks.parameters() if p.ndim == 2)
    products = matrices * (prefix + n) + model.image_head.weight.numel() * n
    for pattern in config.layer_patterns:
        own = int(image_mask(pattern, SIDE, SIDE, two_sided=False).sum())
        products += 2 * config.hidden_size * (own + prefix * n + prefix**2)
    return 3 * 2 * BATCH * products


def rate(dtype: str) -> float:
    """Operations a second of a large matrix product."""
    a, b = (torch.randn(4096, 4096).to(DTYPES[dtype]) for _ in range(2))
    a @ b
    return 2 * 4096**3 / median(seconds(lambda: a @ b) for _ in range(5))


def measure(dtype: str, folder: str | None, repeats: int) -> list[dict[str, Any]]:
    text = torch.randint(5, 1000, (BATCH, TEXT))
    ids = torch.randint(0, 1024, (BATCH, SIDE**2))
    models: dict[str, Any] = {"ours, sparse": build_ours(), "ours, dense": build_ours(["dense"])}
    candidates = {
        name: stepper(model, partial(our_loss, model, text, ids), dtype)
        for name, model in models.items()
    }
    if folder:
        for kind, attention in (("sparse", peer.SPARSE), ("dense", peer.DENSE)):
            model = models[f"DALLE-pytorch, {kind}"] = peer.build(folder, SIDE, attention)
            loss = partial(model, text, ids, return_loss=True)
            candidates[f"DALLE-pytorch, {kind}"] = stepper(model, loss, dtype)
    spent = medians(candidates, repeats)
    least = flops(models["ours, sparse"]) / rate(dtype)
    return [
        {
            "dtype": dtype,
            "name": name,
            "parameters": peer.parameters(models[name]),
            "seconds": spent[name],
            "tokens_per_second": BATCH * (TEXT + 1 + SIDE**2) / spent[name],
            "times_floor": spent[name] / least if name == "ours, sparse" else None,
        }
        for name in candidates
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dalle-pytorch", metavar="DIR", help="a clone of its repository")
    arguments = begin(parser)
    print("dtype name                     parameters   seconds  tokens/s  x floor")
    rows = []
    for dtype in DTYPES:
        for row in measure(dtype, arguments.dalle_pytorch, repeats=9):
            floor = f"{row['times_floor']:9.2f}" if row["times_floor"] else ""
            print(
                f"{row['dtype']}  {row['name']:24s}{row['parameters']:11,d}"
                f"{row['seconds']:10.3f}{row['tokens_per_second']:10.0f}{floor}",
                flush=True,
            )
            rows.append(row)
    write_json(arguments.output, rows)


if __name__ == "__main__":
    main()
