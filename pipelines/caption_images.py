"""Describes pictures.

    python pipelines/caption_images.py --checkpoint runs/quickstart/checkpoint runs/drawn/*.png

Prints one JSON object a line: `{"image": ..., "caption": ..., "log_likelihood": ...}`. With
`--num-captions N` there are N of each picture, from beams the best first; with `--score TEXT`, once
for each, the given captions instead, with their log-likelihoods for each picture.
"""

import argparse
import json

from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.command_line import (
    UserError,
    add_device_arguments,
    add_text_arguments,
    command,
    text_given,
)
from pipelines.data.transforms import read_image
from pipelines.describing import Caption


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Describe pictures.")
    add_text_arguments(parser)
    parser.add_argument(
        "--num-captions", type=int, default=1, help="of each picture; needs beams or a temperature"
    )
    parser.add_argument(
        "--score", action="append", metavar="TEXT", help="a caption to judge; may be repeated"
    )
    add_device_arguments(parser)
    arguments = parser.parse_args(argv)
    settings = ("seed", "num_captions", *text_given(arguments))
    idle = [name for name in settings if getattr(arguments, name) != parser.get_default(name)]
    if arguments.score and idle:
        raise UserError(
            f"--score judges given captions; leave --{idle[0].replace('_', '-')} out, which says "
            "how captions are written."
        )
    return arguments


@command
def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    images = [read_image(path) for path in arguments.images]
    pipe = BidirectionalPipeline.from_pretrained(
        arguments.checkpoint, arguments.device, arguments.dtype
    )
    if arguments.score:
        scores = pipe.score_captions(images, arguments.score)
        given = [list(map(Caption, arguments.score, row)) for row in scores]
    else:
        each = arguments.num_captions
        said = pipe.describe(
            images, seed=arguments.seed, num_captions=each, **text_given(arguments)
        )
        given = [said[first : first + each] for first in range(0, len(said), each)]
    for path, captions in zip(arguments.images, given, strict=True):
        for caption in captions:
            row = {
                "image": path,
                "caption": caption.text,
                "log_likelihood": round(caption.log_likelihood, 4),
            }
            print(json.dumps(row, ensure_ascii=False))


if __name__ == "__main__":
    main()
