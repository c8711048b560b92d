"""Draws pictures of prompts.

    python pipelines/generate_images.py --checkpoint runs/quickstart/checkpoint \\
        --prompt "a large red circle above a small blue square" --output runs/drawn

Writes `00000.png`, `00001.png`, ... in the order of the prompts and one row each in
`metadata.jsonl`: an image folder that the data loader reads back.
"""

import argparse
import json
from pathlib import Path

from tqdm import tqdm

from pipelines.command_line import (
    UserError,
    add_decoder_argument,
    add_device_arguments,
    add_sampling_arguments,
    command,
    open_output,
)
from pipelines.drawers import BidirectionalDrawer, Drawer
from pipelines.gan_drawer import GANDrawer
from pipelines.training.checkpoint import open_checkpoint


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
    prompts = parser.add_mutually_exclusive_group()
    prompts.add_argument("--prompt", nargs="+", metavar="TEXT", help="what to draw")
    prompts.add_argument("--prompts-file", metavar="FILE", help="a text file, one prompt a line")
    parser.add_argument("--output", required=True, metavar="DIR", help="a new or empty folder")
    parser.add_argument("--num-images", type=int, default=1, help="pictures of each prompt")
    parser.add_argument("--seed", type=int, default=0, help="picture k of a prompt has seed + k")
    add_transformer_arguments(parser)
    add_gan_arguments(parser)
    add_device_arguments(parser)
    return parser.parse_args(argv)


def add_transformer_arguments(parser: argparse.ArgumentParser) -> None:
    """What only a transformer does."""
    options = parser.add_argument_group("of a transformer")
    options.add_argument(
        "--rerank", type=int, metavar="N", help="keep the best of N by its own captions"
    )
    options.add_argument(
        "--rerank-by",
        metavar="DIR",
        help="choose by a dual encoder's checkpoint, or by a CLIP model of Hugging Face",
    )
    options.add_argument(
        "--complete", metavar="IMAGE", help="keep the first rows of this picture and draw the rest"
    )
    options.add_argument(
        "--keep-rows", type=int, metavar="K", help="rows of ids to keep (default: half of them)"
    )
    add_decoder_argument(options)
    options.add_argument(
        "--window",
        type=int,
        metavar="N",
        help="ids that a pass of the model tries at once: the speed, and no picture, depends on it "
        "(default: what was measured to be fastest)",
    )
    options.add_argument(
        "--compile",
        action="store_true",
        help="draw through torch.compile: for many pictures on a GPU; compiling comes first",
    )
    add_sampling_arguments(parser)


def add_gan_arguments(parser: argparse.ArgumentParser) -> None:
    """What only a GAN does."""
    options = parser.add_argument_group("of a GAN")
    options.add_argument("--style-image", metavar="IMAGE", help="draw in the style of this picture")
    options.add_argument(
        "--attributes",
        nargs="+",
        metavar="TEXT",
        help='with commas, "large, red, circle": draw these, which a memory of attributes knows, '
        "in the place of those that the prompt names; for each prompt, or once for all",
    )
    options.add_argument(
        "--interpolate",
        type=int,
        metavar="N",
        help="N pictures on the way from the first prompt to the second; with one prompt, or none, "
        "from the noise of the seed to that of the next",
    )


@command
def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    prompts = arguments.prompt
    if arguments.prompts_file is not None:
        prompts = read_prompts(arguments.prompts_file)
    of_gan = open_checkpoint(arguments.checkpoint).kind == "gan"
    # Whatever is wrong is refused before a folder is made.
    drawer: Drawer = (GANDrawer if of_gan else BidirectionalDrawer)(arguments, prompts)
    folder = open_output(arguments.output)
    with (
        tqdm(total=drawer.pictures, unit="picture") as progress,
        (folder / "metadata.jsonl").open("w", encoding="utf-8") as metadata,
    ):
        for count, (image, said) in enumerate(drawer.draw(progress.update)):
            row = {"file_name": f"{count:05d}.png", **said}
            image.save(folder / row["file_name"])
            metadata.write(json.dumps(row, ensure_ascii=False) + "\n")
            metadata.flush()
    print(folder)


if __name__ == "__main__":
    main()
