"""Seconds per picture of 32 x 32 ids, beside DALLE-pytorch where a clone of it is given.

    python benchmarks/decoding.py --output runs/benchmarks/decoding.json \
        [--dalle-pytorch DIR] [--checkpoint DIR]

Random weights: dim 256, depth 4 (row, column, row, conv), heads 4, text 64, 1,024 codes, fp32,
equal parameter counts. The floor is reading every weight that an id needs once per id, at the
bandwidth of a matrix-vector product over 256 MB. DALLE-pytorch as shipped, whose cost grows with
every id, is measured at five lengths and averaged; with the cache that it drops handed through
(`benchmarks/peer.py`) a whole picture is drawn. With a checkpoint, also the passes and seconds of
its pictures by window. Beside the JSON: a picture of the growth with the grid.
"""

import argparse
import time
from functools import partial
from pathlib import Path
from statistics import mean, median
from typing import Any

import ours
import peer
import torch
from measuring import begin, plot_growth, seconds, write_json
from ours import CODES, SIDE, TEXT, WORDS
from torch import Tensor

from pipelines import BidirectionalPipeline
from unified_transformer import (
    SamplingSettings,
    UnifiedTransformer,
    generate_image_ids,
)

PROMPTS = [
    "a large red circle above a small blue square",
    "a small green star left of a large purple triangle",
    "there is a large orange cross",
    "a small black diamond right of a small red circle",
]
BANDWIDTH_MATRIX = 8192  # squared and in fp32: 256 MB


def floor(model: UnifiedTransformer) -> dict[str, float]:
    """Seconds of reading the weights of blocks and image head for every id of a picture."""
    parts = (*model.blocks.parameters(), *model.image_head.parameters())
    size = sum(parameter.numel() * parameter.element_size() for parameter in parts)
    matrix = torch.randn(BANDWIDTH_MATRIX, BANDWIDTH_MATRIX)
    vector = torch.randn(BANDWIDTH_MATRIX)
    matrix @ vector
    once = median(seconds(lambda: matrix @ vector) for _ in range(9))
    bandwidth = matrix.numel() * matrix.element_size() / once
    return {"bytes_per_second": bandwidth, "seconds": size / bandwidth * SIDE**2}


def note(passes: list[Tensor], ids: Tensor, known: Tensor) -> None:
    """Is called after every pass."""
    passes.append(known)


def draw(
    model: UnifiedTransformer, pictures: int, guidance: float, window: int, passes: list[Tensor]
) -> Tensor:
    text = torch.randint(5, WORDS, (1, TEXT), generator=torch.Generator().manual_seed(0))
    settings = SamplingSettings(guidance_scale=guidance)
    passes.clear()
    return generate_image_ids(
        model,
        text,
        torch.tensor([TEXT]),
        [list(range(pictures))],
        settings,
        window,
        partial(note, passes),
    ).ids


def measure_ours(model: UnifiedTransformer, repeats: int) -> list[dict[str, Any]]:
    rows = []
    for pictures in (1, 16):
        for guidance in (1.0, 3.0):
            for window in (1, 8):
                passes: list[Tensor] = []
                call = partial(draw, model, pictures, guidance, window, passes)
                spent = median(seconds(call) for _ in range(repeats if pictures == 1 else 1))
                rows.append(
                    {
                        "system": "ours",
                        "pictures": pictures,
                        "guidance": guidance,
                        "window": window,
                        "passes": len(passes) + 1,
                        "seconds_per_picture": spent / pictures,
                    }
                )
    return rows


def measure_growth(repeats: int) -> list[dict[str, Any]]:
    """Seconds of one picture on growing grids, whatever the place the same for each id."""
    rows = []
    for side in (16, 32, 64):
        model = ours.build(side=side)
        for name, window in (("id by id", 1), ("eight at once", 8)):
            call = partial(draw, model, 1, 1.0, window, [])
            spent = median(seconds(call) for _ in range(repeats))
            rows.append({"name": name, "side": side, "seconds": spent, "per_id": spent / side**2})
    return rows


@torch.no_grad()
def measure_peer(folder: str) -> list[dict[str, Any]]:
    text, image = torch.randint(1, WORDS, (1, TEXT)), torch.randint(0, CODES, (1, SIDE**2))
    lengths = [0, 256, 512, 768, SIDE**2 - 2]
    rows = []
    for name, attention in (("dense", peer.DENSE), ("sparse", peer.SPARSE)):
        model = peer.build(folder, SIDE, attention).eval()
        steps = [partial(model.forward_with_cond_scale, text, image[:, :n]) for n in lengths]
        steps[1]()
        per_id = mean(median(seconds(step) for _ in range(3)) for step in steps)
        rows.append({"system": f"{name}, as shipped", "seconds_per_picture": per_id * SIDE**2})
    model = peer.build(folder, SIDE, peer.DENSE).eval()
    spent = seconds(partial(peer.sample_with_cache, model, text))
    rows.append({"system": "dense, cache by hand", "seconds_per_picture": spent})
    return rows


def measure_checkpoint(folder: str) -> list[dict[str, Any]]:
    """Passes and seconds of single pictures of a trained model."""
    pipe = BidirectionalPipeline.from_pretrained(folder)
    model = pipe.transformer
    ids, length = pipe.codec.pad(pipe.encode_prompts(PROMPTS), model.config.text_positions)
    wanted = [(prompt, seed) for prompt in range(len(PROMPTS)) for seed in range(5)]
    rows = []
    for temperature, guidance in ((1.0, 1.0), (0.8, 1.5), (0.0, 1.0)):
        settings = SamplingSettings(temperature, guidance_scale=guidance)
        one_by_one: list[Tensor] = []
        for window in (1, 2, 4, 8):
            drawn, spent, passes = [], [], 0
            for prompt, seed in wanted:
                done: list[Tensor] = []
                start = time.perf_counter()
                one = slice(prompt, prompt + 1)
                drawn.append(
                    generate_image_ids(
                        model,
                        ids[one],
                        length[one],
                        [[seed]],
                        settings,
                        window,
                        partial(note, done),
                    ).ids
                )
                spent.append(time.perf_counter() - start)
                passes += len(done) + 1  # with the one over the prompt
            one_by_one = one_by_one or drawn
            rows.append(
                {
                    "temperature": temperature,
                    "guidance": guidance,
                    "window": window,
                    "passes": passes / len(wanted),
                    "seconds_per_picture": median(spent),
                    "same_pictures": mean(map(torch.equal, drawn, one_by_one)),
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dalle-pytorch", metavar="DIR", help="a clone of its repository")
    parser.add_argument("--checkpoint", metavar="DIR", help="whose passes to count")
    arguments = begin(parser)
    model = ours.build()
    figures: dict[str, Any] = {"floor": floor(model), "ours": measure_ours(model, repeats=3)}
    growth = figures["growth"] = measure_growth(repeats=3)
    picture = Path(arguments.output).with_suffix(".png")
    plot_growth(growth, ("id by id", "eight at once"), TEXT + 1, picture, ("seconds", "per_id"))
    if arguments.dalle_pytorch:
        figures["peer"] = measure_peer(arguments.dalle_pytorch)
    if arguments.checkpoint:
        figures["checkpoint"] = measure_checkpoint(arguments.checkpoint)
    for name, rows in figures.items():
        print(name)
        for row in rows if isinstance(rows, list) else [rows]:
            print("  ", {key: round(v, 4) if isinstance(v, float) else v for key, v in row.items()})
    write_json(arguments.output, figures)


if __name__ == "__main__":
    main()
