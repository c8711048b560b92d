"""Draws pictures of prompts.

    python pipelines/generate_images.py --checkpoint runs/quickstart/checkpoint \\
        --prompt "a large red circle above a small blue square" --output runs/drawn

Writes `00000.png`, `00001.png`, ... in the order of the prompts and one row each in
`metadata.jsonl`: an image folder that the data loader reads back.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.command_line import (
    UserError,
    add_decoder_argument,
    add_device_arguments,
    add_sampling_arguments,
    command,
    open_output,
    sampling_given,
)
from pipelines.data.transforms import read_image
from pipelines.drawing import DrawingSettings
from pipelines.dual_encoder.matcher import Matcher

PROMPTS_AT_ONCE = 64
"""Pictures are written after so many prompts: stopping a long list loses little."""


def read_prompts(path: str) -> list[str]:
    """The lines of a text file, empty ones left out.

    Raises:
        UserError: there is no such text file, or it has no prompt.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the prompts file {path} cannot be read ({error}).") from error
    prompts = [line.strip() for line in lines if line.strip()]
    if not prompts:
        raise UserError(f"the prompts file {path} has no prompt; write one on each line.")
    return prompts


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Draw pictures of prompts.")
    parser.add_argument("--checkpoint", required=True, metavar="DIR")
    prompts = parser.add_mutually_exclusive_group(required=True)
    prompts.add_argument("--prompt", nargs="+", metavar="TEXT", help="what to draw")
    prompts.add_argument("--prompts-file", metavar="FILE", help="a text file, one prompt a line")
    parser.add_argument("--output", required=True, metavar="DIR", help="a new or empty folder")
    parser.add_argument("--num-images", type=int, default=1, help="pictures of each prompt")
    parser.add_argument("--seed", type=int, default=0, help="picture k of a prompt has seed + k")
    parser.add_argument(
        "--rerank", type=int, default=1, metavar="N", help="keep the best of N by its own captions"
    )
    parser.add_argument(
        "--rerank-by",
        metavar="DIR",
        help="choose by a dual encoder's checkpoint, or by a CLIP model of Hugging Face",
    )
    parser.add_argument(
        "--complete", metavar="IMAGE", help="keep the first rows of this picture and draw the rest"
    )
    parser.add_argument(
        "--keep-rows", type=int, metavar="K", help="rows of ids to keep (default: half of them)"
    )
    add_decoder_argument(parser)
    parser.add_argument(
        "--window",
        type=int,
        metavar="N",
        help="ids that a pass of the model tries at once: the speed, and no picture, depends on it "
        "(default: what was measured to be fastest)",
    )
    parser.add_argument(
        "--compile",
        action="store_true",
        help="draw through torch.compile: for many pictures on a GPU; compiling comes first",
    )
    add_sampling_arguments(parser)
    add_device_arguments(parser)
    return parser.parse_args(argv)


@command
def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    prompts = arguments.prompt or read_prompts(arguments.prompts_file)
    pipe = BidirectionalPipeline.from_pretrained(
        arguments.checkpoint, arguments.device, arguments.dtype
    )
    if arguments.compile:
        pipe.compile()
    # Whatever is wrong is refused before a folder is made.
    settings = pipe.drawing_settings(**options(arguments))
    settings.check_seeds([arguments.seed])
    pipe.encode_prompts(prompts)
    folder = open_output(arguments.output)
    said = description(arguments, settings)
    count = 0
    with (
        tqdm(total=len(prompts) * settings.num_images, unit="picture") as progress,
        (folder / "metadata.jsonl").open("w", encoding="utf-8") as metadata,
    ):
        for first in range(0, len(prompts), PROMPTS_AT_ONCE):
            chosen = prompts[first : first + PROMPTS_AT_ONCE]
            images = pipe.draw(chosen, [arguments.seed] * len(chosen), settings, progress.update)
            for k, image in enumerate(images):
                prompt, picture = divmod(k, settings.num_images)
                row = {"file_name": f"{count:05d}.png", "text": chosen[prompt]}
                row |= {"seed": arguments.seed + picture * settings.rerank, **said}
                image.save(folder / row["file_name"])
                metadata.write(json.dumps(row, ensure_ascii=False) + "\n")
                metadata.flush()
                count += 1
    print(folder)


def options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Of the command line, those that say how to draw."""
    matcher = None
    if arguments.rerank_by is not None:
        matcher = Matcher.from_pretrained(arguments.rerank_by, arguments.device)
    return {
        "num_images": arguments.num_images,
        "rerank": arguments.rerank,
        "matcher": matcher,
        "window": arguments.window,
        "decoder": arguments.decoder,
        "complete": None if arguments.complete is None else read_image(arguments.complete),
        "keep_rows": arguments.keep_rows,
        **sampling_given(arguments),
    }


def description(arguments: argparse.Namespace, settings: DrawingSettings) -> dict[str, Any]:
    """What `metadata.jsonl` says of every picture's settings."""
    said = {**asdict(settings.sampling), "rerank": settings.rerank, "decoder": settings.decoder}
    if arguments.rerank_by is not None:
        said["rerank_by"] = arguments.rerank_by
    if arguments.complete is not None:
        said |= {"complete": arguments.complete, "keep_rows": settings.keep_rows}
    return said


if __name__ == "__main__":
    main()
