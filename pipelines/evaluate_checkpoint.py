"""Measures a checkpoint on a data set.

    python pipelines/evaluate_checkpoint.py --checkpoint DIR --data scenes --output DIR
    python pipelines/evaluate_checkpoint.py --checkpoint DIR --data FOLDER:test --output DIR

On `scenes` the exact reader tells what was drawn and described right. On other captioned pictures:
likelihoods in both directions, how often they find the caption of a picture and the picture of a
caption among a hundred, and the tokenizer's reconstructions. Leaves `report.md`, `report.json` and
`samples.png`.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict

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
from pipelines.data.opening import open_source
from pipelines.data.settings import DataSettings, parse_data
from pipelines.data.sources import SCENE_LANGUAGES
from pipelines.evaluation.pair_report import PairReport, measure_pairs
from pipelines.evaluation.pairs import read_pairs, show_pairs
from pipelines.evaluation.report import draw_grid, sampling_in_words, table, texts_of, write_report
from pipelines.evaluation.scene_report import (
    SceneReport,
    check_readable,
    choose_sampling,
    measure_scenes,
    show_scenes,
)
from pipelines.recommended_sampling import recommend_sampling
from pipelines.training.checkpoint import open_checkpoint
from unified_transformer.sequence import DIRECTIONS


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure a checkpoint on a data set.")
    parser.add_argument("--checkpoint", required=True, metavar="DIR")
    parser.add_argument(
        "--data", required=True, help="scenes, a hub name or a path; [:split], else its test split"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="a new or empty folder")
    parser.add_argument("--rows", type=int, default=500, help="test scenes per figure, or pairs")
    parser.add_argument("--image-column", default="image", help="not for scenes")
    parser.add_argument(
        "--text-column",
        nargs="+",
        default=["text"],
        help="the first is drawn and scored, a caption that equals any of them is right; of scenes "
        "text or text_zh",
    )
    parser.add_argument(
        "--choose-sampling",
        action="store_true",
        help="first choose sampling settings on validation scenes, and keep them as those that the "
        "checkpoint recommends",
    )
    add_decoder_argument(parser)
    add_sampling_arguments(parser)
    add_device_arguments(parser)
    return parser.parse_args(argv)


@command
def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    if arguments.rows < 2:
        raise UserError(f"--rows is {arguments.rows}; it must be at least 2.")
    source, split = parse_data(arguments.data)
    if arguments.choose_sampling and source != "scenes":
        raise UserError("--choose-sampling needs --data scenes, whose pictures can be judged.")
    sampling = sampling_given(arguments)
    if arguments.choose_sampling and any(value is not None for value in sampling.values()):
        raise UserError("--choose-sampling chooses the sampling settings; give it none of them.")
    pipe = BidirectionalPipeline.from_pretrained(
        arguments.checkpoint, arguments.device, arguments.dtype
    )
    for task in DIRECTIONS:
        pipe.require(task)
    pipe.sampling = pipe.sampling_settings(**sampling)
    pipe.decoder = pipe.drawing_settings(decoder=arguments.decoder).decoder
    if source == "scenes":
        language = scene_language(arguments.text_column, split)
        check_readable(pipe.picture_size)
        folder = open_output(arguments.output)
        if arguments.choose_sampling:
            pipe.sampling = choose_sampling(pipe, arguments.rows, language)
            recommend_sampling(open_checkpoint(arguments.checkpoint).root, pipe.sampling)
        report: SceneReport | PairReport = measure_scenes(pipe, arguments.rows, language)
        drawn = show_scenes(pipe, language)
    else:
        settings = DataSettings(
            source=source,
            split=split or "test",
            image_column=arguments.image_column,
            text_column=arguments.text_column,
            size=pipe.picture_size,
        )
        pairs = read_pairs(open_source(settings), pipe.picture_size, arguments.rows)
        folder = open_output(arguments.output)
        report = measure_pairs(pipe, pairs)
        drawn = show_pairs(pipe, pairs)
    figures = table([("what", "measured"), *report.rows()])
    write_report(
        folder,
        page(arguments, figures, how_drawn(pipe), texts_of(drawn)),
        {**asdict(report), "sampling": asdict(pipe.sampling), "decoder": pipe.decoder},
    )
    draw_grid(folder / "samples.png", drawn)
    print(figures)


def scene_language(text_columns: list[str], split: str | None) -> str:
    """The language of the prompts.

    Raises:
        UserError: there is no such column, or the split is not the one that is measured.
    """
    if len(text_columns) != 1 or text_columns[0] not in SCENE_LANGUAGES:
        raise UserError(f"--text-column is {' '.join(text_columns)}; give text or text_zh.")
    if split not in (None, "test"):
        raise UserError(f"--data is scenes:{split}; scenes are measured on their test split.")
    return SCENE_LANGUAGES[text_columns[0]]


def how_drawn(pipe: BidirectionalPipeline) -> str:
    """In words."""
    source = "ids" if pipe.decoder == "codebook" else "hidden states"
    return f"{sampling_in_words(pipe.sampling)}, painted from {source}"


def page(arguments: argparse.Namespace, figures: str, drawn_with: str, texts: str) -> str:
    """`report.md`."""
    return f"""# {arguments.checkpoint} on {arguments.data}

{figures}

Drawn with {drawn_with}.

![prompts, pictures, captions read back](samples.png)

{texts}
"""


if __name__ == "__main__":
    main()
