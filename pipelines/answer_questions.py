"""Answers questions about pictures.

    python pipelines/answer_questions.py --checkpoint runs/scenes_64_questions/checkpoint \\
        --question "what colour is the circle?" runs/drawn/*.png

Prints one JSON object a line: `{"image": ..., "question": ..., "answer": ..., "log_likelihood":
...}`. With `--question` given several times each is asked about every picture.
"""

import argparse
import json

from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.command_line import (
    add_device_arguments,
    add_text_arguments,
    command,
    command_parser,
    text_given,
)
from pipelines.data.transforms import read_image


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument(
        "--question",
        action="append",
        required=True,
        metavar="TEXT",
        help="what to ask; may be given several times",
    )
    add_text_arguments(parser)
    add_device_arguments(parser)
    return parser.parse_args(argv)


@command
def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    images = [read_image(path) for path in arguments.images]
    pipe = BidirectionalPipeline.from_pretrained(
        arguments.checkpoint, arguments.device, arguments.dtype
    )
    pairs = [(n, question) for n in range(len(images)) for question in arguments.question]
    answers = pipe.answer(
        [images[n] for n, _ in pairs],
        [question for _, question in pairs],
        seed=arguments.seed,
        **text_given(arguments),
    )
    for (n, question), answer in zip(pairs, answers, strict=True):
        row = {
            "image": arguments.images[n],
            "question": question,
            "answer": answer.text,
            "log_likelihood": round(answer.log_likelihood, 4),
        }
        print(json.dumps(row, ensure_ascii=False))


if __name__ == "__main__":
    main()
