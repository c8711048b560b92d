"""Takes over an image tokenizer that others trained: the same ids, the same pixels.

    python pipelines/import_tokenizer.py --kind taming last.ckpt --output runs/imported \\
        --images photographs/*.jpg
    deepspeed pipelines/train_bidirectional.py --config … tokenizer=runs/imported

Writes a checkpoint of ours, `checkpoint/`, and beside it `reconstructions.png` where pictures are
given, and `training.yaml`, with which `train_tokenizer.py` trains it on with other pictures.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipelines.command_line import (
    UserError,
    add_device_argument,
    command,
    command_parser,
    device_and_dtype,
    open_output,
)
from pipelines.data.transforms import read_image, to_pixels
from pipelines.samples import PICTURES, save_grid
from pipelines.tokenizer_import.kinds import KINDS
from pipelines.tokenizer_import.training_on import write_training_yaml
from pipelines.training.checkpoint import write_checkpoint
from vq import VQGAN, psnr


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument(
        "--kind",
        required=True,
        choices=KINDS,
        help="whose it is: a checkpoint of taming-transformers (or latent-diffusion) or of "
        "LlamaGen, a folder of a diffusers VQModel, or one of a Chameleon of transformers",
    )
    parser.add_argument("path", metavar="PATH", help="the file, or the folder, of the tokenizer")
    parser.add_argument("--output", required=True, metavar="DIR", help="a new or empty folder")
    parser.add_argument(
        "--images",
        nargs="+",
        default=[],
        metavar="IMAGE",
        help="pictures to try it on, of the kind that it is wanted for",
    )
    parser.add_argument(
        "--size",
        type=int,
        default=256,
        help="pixels of a side: of --images here, and of pictures in training.yaml",
    )
    add_device_argument(parser)
    return parser.parse_args(argv)


def read_pixels(paths: list[str], size: int, factor: int) -> Tensor | None:
    """Pictures [b, 3, size, size], or None where there are none.

    Raises:
        UserError: one cannot be read, or the size does not suit.
    """
    if size < factor or size % factor:
        raise UserError(f"--size is {size}; this tokenizer takes multiples of {factor}.")
    if not paths:
        return None
    return torch.stack([to_pixels(read_image(path), size) for path in paths])


def reconstruct(vqgan: VQGAN, pixels: Tensor) -> Tensor:
    """Pictures [b, 3, height, width] by way of their ids."""
    return vqgan.decode_ids(vqgan.encode_to_ids(pixels))


@command
def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    device, _ = device_and_dtype(arguments.device)
    path = Path(arguments.path).expanduser()
    if not path.exists():
        raise UserError(f"{path} does not exist; name the weights of a tokenizer.")
    imported = KINDS[arguments.kind](path)
    vqgan, config = imported.vqgan.to(device), imported.vqgan.config
    if config.image_channels != 3:
        raise UserError(
            f"the tokenizer in {path} takes pictures of {config.image_channels} channels, and "
            "ours are read as RGB."
        )
    pixels = read_pixels(arguments.images, arguments.size, vqgan.downsampling_factor)
    output = open_output(arguments.output)
    write_checkpoint(
        output / "checkpoint",
        "tokenizer",
        ("reconstruction",),
        0,
        lambda folder: vqgan.save_pretrained(folder / "tokenizer"),
        imported_from=arguments.kind,
    )
    write_training_yaml(output, config, arguments.size)
    found: dict[str, Any] = {
        "output": str(output),
        "parameters": sum(parameter.numel() for parameter in vqgan.parameters()),
        "codebook_size": config.codebook_size,
        "downsampling_factor": vqgan.downsampling_factor,
    }
    if pixels is not None:
        painted = reconstruct(vqgan, pixels.to(device)).cpu()
        figures = psnr(painted, pixels)
        found["psnr"] = round(figures.mean().item(), 2)
        found["psnr_by_image"] = [round(figure, 2) for figure in figures.tolist()]
        save_grid(output / "reconstructions.png", [pixels[:PICTURES], painted[:PICTURES]])
    if imported.decoder_is_new:
        print(
            f"{path} has no decoder (transformers leaves Chameleon's out): ids are the original's, "
            "and what is painted of them is noise until train_tokenizer.py has trained one "
            f"(--config {output / 'training.yaml'}). Chameleon's own vqgan.ckpt has it: --kind "
            "taming.",
            file=sys.stderr,
        )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
