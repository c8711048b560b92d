"""Draws pictures of prompts.

    python pipelines/generate_images.py --checkpoint runs/quickstart/checkpoint \\
        --prompt "a large red circle above a small blue square" --output runs/drawn

Writes `00000.png`, `00001.png`, ... in the order of the prompts and one row each in
`metadata.jsonl`: an image folder that the data loader reads back. Started again, it goes on where
it stopped; under `accelerate launch` processes share the work. Each PNG says itself how it was
drawn (docs/many_pictures.md).
"""

import argparse
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from pipelines.command_line import (
    CHECKPOINT,
    UserError,
    add_decoder_argument,
    add_device_arguments,
    add_sampling_arguments,
    command,
    command_parser,
    device_and_dtype,
)
from pipelines.drawers import BidirectionalDrawer, Drawer, Part, divided
from pipelines.fingerprints import folder_fingerprint
from pipelines.gan_drawer import GANDrawer
from pipelines.picture_files import save_picture
from pipelines.picture_folder import PictureFolder
from pipelines.training.checkpoint import open_checkpoint
from pipelines.training.distributed import Processes
from pipelines.training.stopping import leaving_by_exception


def read_prompts(path: str) -> list[str]:
    """The lines of a text file, empty ones left out.

    Raises:
        UserError: there is no such text file, or it has no prompt.
    """
    try:
        # Not by `splitlines`: it breaks a line where a prompt was copied with a form feed.
        lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise UserError(f"the prompts file {path} cannot be read ({error}).") from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"the prompts file {path} is not a text in UTF-8 ({error}); save it as such."
        ) from error
    prompts = [line.strip() for line in lines if line.strip()]
    if not prompts:
        raise UserError(f"the prompts file {path} has no prompt; write one on each line.")
    return prompts


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument(
        "--checkpoint",
        required=True,
        metavar="DIR",
        help=f"{CHECKPOINT} of train_bidirectional.py or train_gan.py",
    )
    prompts = parser.add_mutually_exclusive_group()
    prompts.add_argument("--prompt", nargs="+", metavar="TEXT", help="what to draw")
    prompts.add_argument("--prompts-file", metavar="FILE", help="a text file, one prompt a line")
    parser.add_argument(
        "--output",
        required=True,
        metavar="DIR",
        help="a folder for the pictures: new, or begun by the same command",
    )
    parser.add_argument(
        "--num-images", type=int, default=1, help="how many pictures of each prompt"
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="seed of a prompt's first picture; the next have the next seeds",
    )
    add_transformer_arguments(parser)
    add_gan_arguments(parser)
    add_device_arguments(parser)
    return parser.parse_args(argv)


def add_transformer_arguments(parser: argparse.ArgumentParser) -> None:
    """What only a transformer does."""
    options = parser.add_argument_group("with a transformer")
    options.add_argument(
        "--rerank", type=int, metavar="N", help="keep the best of N, by the model's own captions"
    )
    options.add_argument(
        "--rerank-by",
        metavar="DIR",
        help="choose by a dual encoder's checkpoint or a CLIP model: a folder, or owner/name",
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
    options = parser.add_argument_group("with a GAN")
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


def open_drawer(arguments: argparse.Namespace, prompts: list[str] | None) -> Drawer:
    """From here on `arguments.checkpoint` is the folder that was opened: asked again, the hub might
    have another commit.

    Raises:
        UserError: something in the command line is wrong.
    """
    paths = open_checkpoint(arguments.checkpoint)
    arguments.checkpoint = paths.root
    return (GANDrawer if paths.kind == "gan" else BidirectionalDrawer)(arguments, prompts)


@dataclass(frozen=True)
class Work:
    """What there is to do: `checkpoint` is the fingerprint of the weights."""

    checkpoint: str
    parts: list[Part]

    @property
    def pictures(self) -> int:
        return sum(len(part.numbers) for part in self.parts)


def begin(
    arguments: argparse.Namespace, drawer: Drawer, folder: PictureFolder, processes: int
) -> Work:
    """Makes the folder, or takes up what was begun there.

    Raises:
        UserError: it holds something else, or was begun with something else.
    """
    checkpoint = folder_fingerprint(arguments.checkpoint)
    # Of few pictures every process gets some.
    together = min(drawer.together, -(-folder.pictures // processes))
    together = folder.begin({"checkpoint": checkpoint, **drawer.begun_with()}, together)
    parts = divided(drawer.prompts, drawer.of_each, together)
    return Work(checkpoint, [part for part in parts if folder.lacks(part)])


def draw(drawer: Drawer, work: Work, folder: PictureFolder, processes: Processes) -> None:
    """This process's part. Pictures that are there stay; they are drawn anew where others that are
    drawn together with them are not.

    Raises:
        UserError: a picture cannot be written.
    """
    mine = work.parts[processes.rank :: processes.count]
    of_several = f"process 1 of {processes.count}" if processes.count > 1 else None
    total = sum(len(part.numbers) for part in mine)
    with tqdm(
        total=total, desc=of_several, unit="picture", disable=not processes.is_main
    ) as progress:
        for part in mine:
            for number, (image, said) in zip(part.numbers, drawer.draw(part), strict=True):
                file = folder.file(number)
                if not file.exists():
                    save_picture(image, file, {**said, "checkpoint": work.checkpoint})
                progress.update()


@command
def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    device, _ = device_and_dtype(arguments.device)
    with Processes(device) as processes, ExitStack() as holding:
        arguments.device = processes.device_name  # of several GPUs this process's own
        prompts = arguments.prompt
        if arguments.prompts_file is not None:
            prompts = processes.on_main(lambda: read_prompts(arguments.prompts_file))
        # Whatever is wrong is refused before a folder is made.
        drawer = processes.together(lambda: open_drawer(arguments, prompts))
        pictures = drawer.prompts * drawer.of_each
        folder = PictureFolder(Path(arguments.output), pictures, holding)
        work = processes.on_main(lambda: begin(arguments, drawer, folder, processes.count))
        processes.log(
            f"Drawing {work.pictures} of {folder.pictures} pictures with the weights "
            f"{work.checkpoint}."
        )
        with leaving_by_exception():
            try:
                draw(drawer, work, folder, processes)
                processes.wait()
            except BaseException:
                if processes.is_main:
                    with suppress(UserError):  # it is for the first error to say why
                        folder.write_metadata()
                raise
            if processes.is_main:
                folder.write_metadata()
        if processes.is_main:
            print(folder.path)


if __name__ == "__main__":
    main()
