"""Describes pictures.

    python pipelines/caption_images.py --checkpoint runs/quickstart/checkpoint runs/drawn/*.png

Prints one JSON object a line: `{"image": ..., "caption": ..., "log_likelihood": ...}`. With
`--num-captions N` there are N of each picture, from beams the best first; with `--score TEXT`, once
for each, the given captions instead, with their log-likelihoods for each picture.
"""

import argparse
import json
from dataclasses import fields

from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.command_line import add_device_arguments, command
from pipelines.data.transforms import read_image
from pipelines.describing import Caption
from unified_transformer import CaptionSettings


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Describe pictures.")
    parser.add_argument("--checkpoint", required=True, metavar="DIR")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="pictures of any size")
    parser.add_argument("--num-beams", type=int, default=1, help="above 1 searches by beams")
    parser.add_argument(
        "--length-penalty", type=float, default=1.0, help="beams: above 0 favours longer captions"
    )
    parser.add_argument("--max-length", type=int, help="tokens of a caption, its end included")
    parser.add_argument("--min-length", type=int, default=1, help="likewise")
    parser.add_argument(
        "--num-captions", type=int, default=1, help="of each picture; needs beams or a temperature"
    )
    parser.add_argument("--temperature", type=float, default=0.0, help="0 is greedy")
    parser.add_argument("--top-k", type=int, default=0)
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0, help="of sampled captions")
    parser.add_argument(
        "--score", action="append", metavar="TEXT", help="a caption to judge; may be repeated"
    )
    add_device_arguments(parser)
    return parser.parse_args(argv)


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
        captioning = {
            field.name: getattr(arguments, field.name) for field in fields(CaptionSettings)
        }
        said = pipe.describe(images, seed=arguments.seed, **captioning)
        each = arguments.num_captions
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
