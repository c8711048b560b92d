"""Pictures per second of the tokenizer: encoding, decoding, and a training step.

    python benchmarks/tokenizer.py --output runs/benchmarks/tokenizer.json \
        [--checkpoint DIR] [--configs configs/tokenizer/quickstart.yaml ...]

Random weights of the configurations' shapes (the speed does not depend on them), fp32 and bf16:
whole weights in bf16 for encoding and decoding, autocast for training (forward and backward of the
reconstruction and the quantizer's losses, without perceptual and adversarial ones). With a
checkpoint, also what bf16 changes: the share of equal ids, the reconstructions of scenes (PSNR in
dB, and the share that the exact reader reads right) and the share of exact captions.
"""

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from measuring import begin, medians, peak_memory, write_json
from torch import Tensor

from pipelines import BidirectionalPipeline
from pipelines.configuration.loading import load_configuration
from pipelines.configuration.schemas import TokenizerRun
from pipelines.data.transforms import arrays_to_pixels
from pipelines.evaluation.scene_accuracy import (
    caption_accuracy,
    reconstruction_accuracy,
    scene_set,
)
from pipelines.training.checkpoint import open_checkpoint
from pipelines.training.distributed import precision_context
from pipelines.training.processor import keep_freed_memory
from vq import VQGAN, psnr

CONFIGS = [f"configs/tokenizer/{name}.yaml" for name in ("quickstart", "scenes_64")]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
LARGEST = 2**18
"""Pixels of the largest batch."""


def in_format(model: VQGAN, dtype: torch.dtype) -> VQGAN:
    """Its encoder too, which the product leaves in fp32; the last comparison shows why."""
    model.encoder.to(dtype)
    encode = model.encode
    model.encode = lambda pixels: encode(pixels.to(dtype))  # type: ignore[method-assign]
    return model.decode_in(dtype)


def encoding(model: VQGAN, pixels: Tensor) -> Callable[[], object]:
    return partial(model.encode_to_ids, pixels)


def decoding(model: VQGAN, pixels: Tensor) -> Callable[[], object]:
    return partial(model.decode_ids, model.encode_to_ids(pixels))


def training(model: VQGAN, pixels: Tensor, dtype: str) -> Callable[[], object]:
    precision = precision_context(pixels.device, dtype)

    def step() -> None:
        model.zero_grad()
        with precision():
            output = model(pixels)
            loss = (output.reconstruction - pixels).abs().mean()
            loss = loss + output.quantized.losses["commitment"].mean()
        loss.backward()

    return step


def prepare(work: str, config: str, batch: int, dtype: str, device: str) -> Callable[[], object]:
    """One call of `work` over a batch, after a first one."""
    torch.manual_seed(0)
    run = load_configuration(config, ["output=unused"], TokenizerRun)
    model = VQGAN(run.model).to(device)
    pixels = torch.rand(batch, 3, *run.data.height_width, device=device) * 2 - 1
    if work == "training":
        call = training(model.train(), pixels, dtype)
    else:
        model = in_format(model.eval(), DTYPES[dtype])
        call = {"encoding": encoding, "decoding": decoding}[work](model, pixels)
    call()
    return call


def measure(config: str, dtype: str, device: str) -> list[dict[str, Any]]:
    """Each work, one picture at a time and many."""
    height, width = load_configuration(config, ["output=unused"], TokenizerRun).data.height_width
    cases = [
        (work, batch)
        for work in ("encoding", "decoding", "training")
        for batch in (1, LARGEST // (height * width))
    ]
    calls = {case: prepare(case[0], config, case[1], dtype, device) for case in cases}
    spent = medians(calls, repeats=5, device=device)
    return [
        {
            "config": config,
            "dtype": dtype,
            "work": work,
            "batch": batch,
            "pictures_per_second": batch / spent[work, batch],
            "peak_mib": peak_memory(prepare, work, config, batch, dtype, device)["added"],
        }
        for work, batch in cases
    ]


@torch.no_grad()
def compare_formats(checkpoint: str) -> list[dict[str, float]]:
    """What bf16 changes of a trained checkpoint, over 500 scenes with one object, 500 with two."""
    pipe = BidirectionalPipeline.from_pretrained(checkpoint, "cpu", "fp32")
    rows = []
    for objects in (1, 2):
        scenes = scene_set("test", 500, objects, pipe.picture_size)
        pixels = arrays_to_pixels(np.stack(scenes.pictures))
        found: dict[str, float] = {"objects": objects}
        ids: dict[str, Tensor] = {}
        for name, dtype in DTYPES.items():
            model = VQGAN.from_pretrained(open_checkpoint(checkpoint).tokenizer)
            pipe.tokenizer = in_format(model, dtype)
            ids[name] = pipe.tokenizer.encode_to_ids(pixels)
            decoded = pipe.tokenizer.decode_ids(ids[name])
            found[f"psnr_{name}"] = float(psnr(decoded, pixels).mean())
            found[f"exact_{name}"] = reconstruction_accuracy(pipe.tokenizer, scenes)
            found[f"captions_{name}"] = caption_accuracy(pipe, scenes).exact
        found["equal_ids"] = float((ids["fp32"] == ids["bf16"]).double().mean())
        rows.append(found)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--configs", nargs="+", default=CONFIGS, metavar="YAML")
    parser.add_argument("--checkpoint", metavar="DIR", help="to compare number formats on")
    arguments = begin(parser)
    keep_freed_memory()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    figures: dict[str, Any] = {"speed": []}
    print("dtype work      batch pictures/s  peak MiB")
    for config in arguments.configs:
        print(config)
        for dtype in DTYPES:
            for row in measure(config, dtype, device):
                print(
                    f"{dtype}  {row['work']:9s}{row['batch']:6d}"
                    f"{row['pictures_per_second']:11.1f}{row['peak_mib']:10.1f}",
                    flush=True,
                )
                figures["speed"].append(row)
            write_json(arguments.output, figures)
    if arguments.checkpoint:
        figures["bf16"] = compare_formats(arguments.checkpoint)
        for row in figures["bf16"]:
            print(row)
        write_json(arguments.output, figures)


if __name__ == "__main__":
    main()
