"""Everything that can be measured of a subject on a data set, in one pass over its rows."""

import sys
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
from tqdm import tqdm

from pipelines.command_line import UserError
from pipelines.dual_encoder.matcher import Matcher
from pipelines.evaluation.drawing_measures import DrawingMeasures
from pipelines.evaluation.figures import Figures, Missing
from pipelines.evaluation.gallery import Gallery
from pipelines.evaluation.likelihood_measures import LikelihoodMeasures
from pipelines.evaluation.measures import (
    AnswerMeasures,
    CaptionMeasures,
    Judges,
    Measure,
    RealPictures,
    TokenizerMeasures,
)
from pipelines.evaluation.rows import Rows
from pipelines.evaluation.scene_measures import ScenesDescribed, ScenesDrawn
from pipelines.evaluation.subjects import CheckpointSubject, Made, Subject, TokenizerSubject
from pipelines.training.distributed import Processes


@dataclass(frozen=True)
class Measured:
    """What a report is made of.

    figures: by group and name.
    gallery: rows to look at.
    code_counts: how often each code occurs [codebook_size], of a tokenizer.
    bits_by_place: of ids, [h, w].
    rows, unreadable: how many were measured, and left out.
    """

    figures: dict[str, Figures]
    gallery: Gallery
    code_counts: np.ndarray | None
    bits_by_place: np.ndarray | None
    rows: int
    unreadable: int


def measure(
    subject: Subject,
    rows: Rows,
    judges: Judges,
    processes: Processes,
    scenes: bool,
    gallery: Gallery,
) -> Measured:
    """Passes the rows by, and reads off the figures; every process takes its share and gets all of
    them.

    Args:
        scenes: the data are scenes, which the exact reader can tell.
        gallery: keeps rows to look at.

    Raises:
        UserError: fewer than two rows can be read.
    """
    # Sums on a GPU, where there is one: among several processes nccl adds up nothing else.
    with processes.device if processes.device.type == "cuda" else nullcontext():
        real = RealPictures(judges.inception, processes)
        measures = measures_of(subject, judges, real, processes, scenes)

    def pass_by() -> int:
        """This process's rows."""
        read = 0
        with tqdm(
            total=len(rows.chosen), desc="measuring", unit=" rows", file=sys.stderr,
            disable=not processes.is_main,
        ) as bar:  # fmt: skip
            for block in rows.blocks(processes.rank, processes.count):
                if block.rows:
                    made = matched(subject.make(block), judges.matcher)
                    real.update(block)
                    for one in measures.values():
                        one.update(block, made)
                    gallery.update(block, made)
                read += len(block.rows)
                bar.update(len(block.rows) * processes.count)
        return read

    # Sums are taken over processes only once none of them has stopped.
    read = processes.together(pass_by)
    totals = [sum(part) for part in zip(*processes.gather((read, rows.unreadable)), strict=True)]
    processes.on_main(lambda: refuse_too_few(*totals))
    figures = {name: dict(one.figures()) for name, one in measures.items()}
    tokenizer, likelihood = measures.get("tokenizer"), measures.get("likelihood")
    counts = bits = None
    if isinstance(tokenizer, TokenizerMeasures):
        counts = tokenizer.usage.sums()["counts"].cpu().numpy()
    if isinstance(likelihood, LikelihoodMeasures) and "text_to_image" in likelihood.directions:
        bits = likelihood.by_place.bits().cpu().numpy()
    return Measured(figures, gallery.of_all(processes), counts, bits, *totals)


def refuse_too_few(read: int, unreadable: int) -> None:
    """Raises:
    UserError: there was next to nothing to measure.
    """
    if read < 2:
        raise UserError(
            f"of {read + unreadable} rows {read} could be read, and measuring takes two at least; "
            "check the pictures' paths and the columns (--image-column, --text-column)."
        )


def matched(made: Made, matcher: Matcher | Missing) -> Made:
    """With a matcher's features of drawn pictures and their prompts, which tell how they fit."""
    if isinstance(matcher, Missing) or made.drawn is None or not made.prompts:
        return made
    image, text = matcher.image_features(made.drawn), matcher.text_features(made.prompts)
    return replace(made, features=(image, text), fits=(image * text).sum(dim=1).tolist())


def measures_of(
    subject: Subject, judges: Judges, real: RealPictures, processes: Processes, scenes: bool
) -> dict[str, Measure]:
    """Those that suit what the subject does, by group."""
    found: dict[str, Measure] = {}
    if isinstance(subject, TokenizerSubject):
        size = subject.tokenizer.config.codebook_size
        found["tokenizer"] = TokenizerMeasures(judges, real, size)
    if "text_to_image" in subject.tasks:
        found["text_to_image"] = DrawingMeasures(judges, real)
    if "image_generation" in subject.tasks:
        found["image_generation"] = DrawingMeasures(judges, real, of_prompts=False)
    if "image_to_text" in subject.tasks:
        found["image_to_text"] = CaptionMeasures(processes)
    if "question_answering" in subject.tasks:
        found["question_answering"] = AnswerMeasures()
    if isinstance(subject, CheckpointSubject) and subject.directions:
        grid = subject.pipe.transformer.config.grid
        found["likelihood"] = LikelihoodMeasures(grid, subject.directions)
    if scenes and "text_to_image" in subject.tasks:
        found["scenes_drawn"] = ScenesDrawn()
    if scenes and "image_to_text" in subject.tasks:
        found["scenes_described"] = ScenesDescribed()
    return found
