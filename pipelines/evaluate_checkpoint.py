"""Measures a checkpoint on a data set; or another system's pictures or captions, by the same rules.

    python pipelines/evaluate_checkpoint.py --checkpoint DIR --data scenes --output DIR
    python pipelines/evaluate_checkpoint.py --checkpoint DIR --data FOLDER:test --output DIR
    python pipelines/evaluate_checkpoint.py --images DIR --data FOLDER:test --output DIR
    python pipelines/evaluate_checkpoint.py --captions FILE --data FOLDER:test --output DIR

Leaves `report.json`, `report.md` and `report.html` with pictures and plots, and in `rating` a sheet
on which people compare pictures (tally_ratings.py counts); docs/evaluation.md says what each figure
is. Figures whose networks are not at hand are reported as missing, with what would
bring them. Under `accelerate launch` processes share the rows.
"""

import argparse
from collections.abc import Sequence

from pipelines.command_line import (
    CHECKPOINT,
    UserError,
    add_decoder_argument,
    add_device_arguments,
    add_sampling_arguments,
    command,
    command_parser,
    sampling_given,
)
from pipelines.data.settings import parse_data
from pipelines.evaluation.transformer_options import options_of_transformers
from pipelines.hub.pulling import hub_repository
from unified_transformer.sequence import TASKS

OF_PICTURES = ("inception_weights", "lpips_weights", "matcher", "detector", "classifier", "beside")


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    subject = parser.add_mutually_exclusive_group(required=True)
    subject.add_argument(
        "--checkpoint",
        metavar="DIR",
        help=f"{CHECKPOINT} to measure",
    )
    subject.add_argument(
        "--images",
        metavar="DIR",
        help="a folder of pictures with metadata.jsonl, as generate_images.py writes",
    )
    subject.add_argument(
        "--captions",
        metavar="FILE",
        help="lines as caption_images.py prints them, or a JSON of COCO's results",
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="a new or empty folder")
    parser.add_argument(
        "--tasks",
        nargs="+",
        choices=TASKS,
        help="what to measure (default: all that the checkpoint was trained for)",
    )
    add_data_arguments(parser)
    judges = parser.add_argument_group("networks that judge (without them figures are missing)")
    judges.add_argument(
        "--inception-weights",
        metavar="FILE",
        help="torch-fidelity's Inception (default: download it)",
    )
    judges.add_argument(
        "--lpips-weights", metavar="FILE", help="torchvision's VGG16 (default: download it)"
    )
    judges.add_argument(
        "--matcher", help="a CLIP's folder or owner/name, or a dual encoder's checkpoint"
    )
    judges.add_argument("--detector", help="an object detector's folder or owner/name")
    judges.add_argument("--classifier", help="an image classifier's folder or owner/name")
    parser.add_argument(
        "--choose-sampling",
        action="store_true",
        help="first choose sampling settings on validation scenes, and keep them as those that the "
        "checkpoint recommends",
    )
    people = parser.add_argument_group("the sheet for people's ratings, and its key")
    people.add_argument("--rate", type=int, default=24, help="how many prompts are on the sheet")
    people.add_argument(
        "--beside",
        nargs="+",
        default=[],
        metavar="DIR",
        help="other systems' pictures of the same prompts, as generate_images.py writes them",
    )
    parser.add_argument(
        "--rerank",
        type=int,
        default=1,
        help="draw so many pictures of each prompt and keep the best",
    )
    add_decoder_argument(parser)
    add_sampling_arguments(parser)
    add_device_arguments(parser)
    return parser.parse_args(argv)


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """What it is measured on."""
    data = parser.add_argument_group("data")
    data.add_argument(
        "--data",
        required=True,
        help="scenes, owner/name on the hub, or a path; :SPLIT may follow, for another than test",
    )
    data.add_argument(
        "--rows",
        type=int,
        default=500,
        help="measure at most so many rows; of scenes, so many per figure",
    )
    data.add_argument(
        "--size",
        type=int,
        nargs="+",
        help="size of pictures, where no checkpoint says it: one number, or height and width",
    )
    data.add_argument("--image-column", default="image", help="the column of pictures")
    data.add_argument(
        "--text-column",
        nargs="+",
        default=["text"],
        help="the columns of captions: the first is drawn, all are right",
    )
    data.add_argument("--question-column", nargs="*", default=[], help="the columns of questions")
    data.add_argument(
        "--answer-column",
        nargs="*",
        default=[],
        help="the columns of their answers, in the same order",
    )
    data.add_argument(
        "--attribute-column",
        help="the column of attributes for a GAN with a memory of them (default: those that the "
        "caption names)",
    )
    data.add_argument("--label-column", help="the column of classes, for --classifier")
    data.add_argument(
        "--image-folder", metavar="DIR", help="where the pictures of a JSON of captions are"
    )


def check_arguments(arguments: argparse.Namespace) -> None:
    """Raises:
    UserError: they do not go together.
    """
    for name, least in (("rows", 2), ("rerank", 1), ("rate", 0)):
        if getattr(arguments, name) < least:
            raise UserError(f"--{name} is {getattr(arguments, name)}; it must be at least {least}.")
    if arguments.size is not None and (len(arguments.size) > 2 or min(arguments.size) < 1):
        raise UserError(f"--size is {arguments.size}; give one number, or height and width.")
    if (arguments.classifier is None) != (arguments.label_column is None):
        raise UserError("--classifier judges by the rows' classes; give it and --label-column.")
    source, _ = parse_data(arguments.data)
    if arguments.choose_sampling and source != "scenes":
        raise UserError("--choose-sampling needs --data scenes, whose pictures can be judged.")
    check_subject(arguments)
    checkpoint = arguments.checkpoint
    if arguments.choose_sampling and checkpoint and hub_repository(checkpoint) is not None:
        raise UserError(
            f"--choose-sampling keeps what it chooses in the checkpoint, and {checkpoint} is on "
            "the hub; name a copy of it (hf download --local-dir DIR)."
        )
    given = sampling_given(arguments)
    if arguments.choose_sampling and any(value is not None for value in given.values()):
        raise UserError("--choose-sampling chooses the sampling settings; give it none of them.")


def check_subject(arguments: argparse.Namespace) -> None:
    """Refuses what would have no effect on what is measured.

    Raises:
        UserError: there is such an option.
    """
    idle = options_of_transformers(arguments)
    if idle and arguments.checkpoint is None:
        raise UserError(f"--{idle[0].replace('_', '-')} is about a checkpoint; leave it out.")
    idle = [name for name in OF_PICTURES if getattr(arguments, name)]
    if idle and arguments.captions is not None:
        raise UserError(
            f"--{idle[0].replace('_', '-')} is about pictures, and captions are measured; leave it "
            "out."
        )


@command
def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    check_arguments(arguments)
    from pipelines.evaluation.command import evaluate  # which needs what an extra brings

    evaluate(arguments)


if __name__ == "__main__":
    main()
