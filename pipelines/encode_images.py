"""Turns pictures into ids once, so that training need not at every step.

    python pipelines/encode_images.py --tokenizer runs/tokenizer/checkpoint --data DATA \\
        --size 256 --output runs/encoded
    deepspeed pipelines/train_bidirectional.py --config … data.source=runs/encoded

Writes parquet files with ids and texts into the output folder. Started again, it goes on where
it stopped; under `accelerate launch` processes share the work. `DATA:split` encodes that split;
several splits may go into one folder, one after the other.
"""

import argparse
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from pipelines.command_line import (
    CHECKPOINT,
    UserError,
    add_device_argument,
    check_seed,
    command,
    command_parser,
    device_and_dtype,
    open_output,
)
from pipelines.configuration.assembly.parts import check_size, or_user_error
from pipelines.data.batches import ReadingCounts
from pipelines.data.encoded import shard_name
from pipelines.data.encoded_index import INDEX, EncodedIndex, read_index, tokenizer_fingerprint
from pipelines.data.encoding import EncodePictures, PictureEncoder
from pipelines.data.pieces import Pieces, open_pieces
from pipelines.data.settings import DataSettings, Wanted, parse_data
from pipelines.data.transforms import arrays_to_pixels
from pipelines.model_loading import load_tokenizer
from pipelines.training.checkpoint import open_checkpoint
from pipelines.training.distributed import Processes
from pipelines.training.storage import replace_file
from vq import VQGAN


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument(
        "--tokenizer",
        required=True,
        metavar="DIR",
        help=f"{CHECKPOINT} of a tokenizer",
    )
    parser.add_argument(
        "--data", required=True, help="scenes, owner/name on the hub, or a path; :SPLIT may follow"
    )
    parser.add_argument(
        "--output",
        required=True,
        metavar="DIR",
        help="the folder for the ids: new, or begun by the same command",
    )
    parser.add_argument(
        "--size",
        type=int,
        nargs="+",
        required=True,
        help="to what size pictures are cropped: one number, or height and width",
    )
    parser.add_argument("--image-column", default="image", help="the column of pictures")
    parser.add_argument(
        "--image-folder", metavar="DIR", help="where the pictures of a JSON of captions are"
    )
    parser.add_argument(
        "--text-column", nargs="*", default=["text"], help="the columns of captions to keep"
    )
    parser.add_argument(
        "--question-column", nargs="*", default=[], help="the columns of questions to keep"
    )
    parser.add_argument(
        "--answer-column",
        nargs="*",
        default=[],
        help="the columns of their answers, in the same order",
    )
    parser.add_argument(
        "--streaming",
        action="store_true",
        help="read row by row, without preparing a table (data.streaming)",
    )
    parser.add_argument(
        "--rows", type=int, help="encode the first so many (default: all); needed for scenes"
    )
    crops = parser.add_argument_group("crops (the first is the center)")
    crops.add_argument(
        "--crops",
        type=int,
        default=1,
        help="how many crops of each picture; a training step takes one",
    )
    crops.add_argument(
        "--random-crop",
        type=float,
        help="take the others at random, of pictures up to so many times larger (data.random_crop)",
    )
    crops.add_argument(
        "--random-flip",
        action="store_true",
        help="mirror some of the others: wrong where captions tell left from right",
    )
    crops.add_argument("--seed", type=int, default=0, help="the same seed takes the same crops")
    parser.add_argument(
        "--rows-per-file", type=int, default=10_000, help="rows in each parquet file"
    )
    parser.add_argument("--batch-size", type=int, default=64, help="pictures encoded together")
    parser.add_argument("--threads", type=int, default=4, help="how many threads decode pictures")
    add_device_argument(parser)
    return parser.parse_args(argv)


def data_settings(arguments: argparse.Namespace) -> DataSettings:
    """Raises:
    UserError: an argument is out of range.
    """
    check_seed(arguments.seed)
    for name in ("rows", "crops", "rows_per_file", "batch_size", "threads"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise UserError(f"--{name.replace('_', '-')} is {value}; it must be at least 1.")
    if len(arguments.size) > 2:
        raise UserError(f"--size is {arguments.size}; give one number, or height and width.")
    random = arguments.random_crop is not None or arguments.random_flip
    if random != (arguments.crops > 1):
        raise UserError(
            f"--crops is {arguments.crops}; the first is the center, and the others differ by "
            "--random-crop and --random-flip: give --crops 2 or more with one of these, or neither."
        )
    source, split = parse_data(arguments.data)
    return or_user_error(
        lambda: DataSettings(
            source=source,
            split=split or "train",
            image_column=arguments.image_column,
            text_column=arguments.text_column,
            question_column=arguments.question_column,
            answer_column=arguments.answer_column,
            image_folder=arguments.image_folder,
            streaming=arguments.streaming,
            size=(arguments.size[0], arguments.size[-1]),
            random_crop=arguments.random_crop,
            random_flip=arguments.random_flip,
        )
    )


def prepare_output(folder: Path, index: EncodedIndex, names: list[str], split: str) -> None:
    """A new folder, or one that the same command was writing.

    Raises:
        UserError: it holds something else.
    """
    before = read_index(folder)
    if before is None:
        replace_file(open_output(str(folder)) / INDEX, index.write)
    elif before != index:
        changed = [name for name, value in vars(index).items() if getattr(before, name) != value]
        raise UserError(
            f"the output folder {folder} holds ids that were made otherwise ("
            f"{', '.join(changed)}); name a new one, or give the arguments it was begun with."
        )
    other = [f.name for f in folder.glob(f"{split}-?????-of-?????.parquet") if f.name not in names]
    if other:
        raise UserError(
            f"the output folder {folder} has {other[0]}, from other data or another "
            "--rows-per-file; remove the files of that split, or name a new folder."
        )


def encode_pieces(
    pieces: Pieces, mine: list[tuple[int, Path]], encoder: PictureEncoder, processes: Processes
) -> ReadingCounts:
    """This process's part, those files left out that are there.

    Raises:
        UserError: too many rows cannot be read.
    """
    counts = ReadingCounts()
    total = None if pieces.rows is None else pieces.rows // processes.count
    with tqdm(total=total, unit=" pictures", disable=not processes.is_main) as bar:
        for piece, file in mine:
            if file.exists():
                bar.update(sum(1 for _ in pieces.items(piece)) if total else 0)
                continue
            counts.add(encoder.write(pieces, piece, file, bar.update))
            if problem := counts.too_many_unreadable():
                raise UserError(problem)
    return counts


def encode_with(tokenizer: VQGAN, device: torch.device) -> EncodePictures:
    """On a device, in full precision: half of it moves ids (docs/performance.md)."""
    tokenizer.to(device)

    def encode(pictures: np.ndarray) -> np.ndarray:
        pixels = arrays_to_pixels(pictures).to(device)
        return tokenizer.encode_to_ids(pixels).cpu().numpy()

    return encode


@command
def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    settings = data_settings(arguments)
    device, _ = device_and_dtype(arguments.device)
    tokenizer = load_tokenizer(open_checkpoint(arguments.tokenizer, "tokenizer").tokenizer)
    grid = check_size(settings, tokenizer.downsampling_factor)
    wanted = Wanted(bool(settings.text_column), bool(settings.question_column))
    columns = settings.text_columns(wanted)
    index = EncodedIndex(
        tokenizer=tokenizer_fingerprint(tokenizer),
        size=settings.height_width,
        grid=grid,
        crops=arguments.crops,
        random_crop=settings.random_crop,
        random_flip=settings.random_flip,
        seed=arguments.seed,
        source=settings.source,
        text_columns=columns.captions,
        question_columns=columns.questions,
    )
    with Processes(device) as processes, ThreadPoolExecutor(arguments.threads) as threads:
        pieces = open_pieces(
            settings, wanted, arguments.rows, arguments.rows_per_file, arguments.seed
        )
        folder = Path(arguments.output)
        names = [shard_name(settings.split, n, pieces.count) for n in range(pieces.count)]
        processes.on_main(lambda: prepare_output(folder, index, names, settings.split))
        files = list(enumerate(folder / name for name in names))
        encoder = PictureEncoder(
            encode_with(tokenizer, processes.device), index, arguments.batch_size, threads
        )
        mine = files[processes.rank :: processes.count]
        counts = processes.together(lambda: encode_pieces(pieces, mine, encoder, processes))
        everything = ReadingCounts.sum_of(processes.gather(counts))
        if everything.unreadable:
            processes.log(f"{everything.unreadable_rows()}, and were left out.")
        if processes.is_main:
            print(json.dumps({"output": str(folder), "files": len(files)}))


if __name__ == "__main__":
    main()
