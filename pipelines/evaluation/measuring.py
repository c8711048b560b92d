"""Everything that can be measured of a subject on a data set, in one pass over its rows."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from tqdm import tqdm

from pipelines.evaluation.figures import Figure, Figures
from pipelines.evaluation.gallery import Gallery
from pipelines.evaluation.likelihood_measures import LikelihoodMeasures
from pipelines.evaluation.measures import (
    AnswerMeasures,
    CaptionMeasures,
    DrawingMeasures,
    Judges,
    RealPictures,
    TokenizerMeasures,
)
from pipelines.evaluation.rows import Block, Rows
from pipelines.evaluation.scene_measures import ScenesDescribed, ScenesDrawn
from pipelines.evaluation.subjects import CheckpointSubject, Made, Subject, TokenizerSubject
from pipelines.training.distributed import Processes


class Measure(Protocol):
    """Figures of what is made of all blocks; every process asks for them."""

    def update(self, block: Block, made: Made) -> None: ...

    def figures(self) -> Mapping[str, Figure | int | str]: ...


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
    """
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
                    made = subject.make(block)
                    real.update(block)
                    for one in measures.values():
                        one.update(block, made)
                    drawing = measures.get("text_to_image")
                    if isinstance(drawing, DrawingMeasures) and drawing.fits is not None:
                        made = replace(made, fits=drawing.fits)
                    gallery.update(block, made)
                read += len(block.rows)
                bar.update(len(block.rows) * processes.count)
        return read

    # Sums are taken over processes only once none of them has stopped.
    read = processes.together(pass_by)
    figures = {name: dict(one.figures()) for name, one in measures.items()}
    tokenizer, likelihood = measures.get("tokenizer"), measures.get("likelihood")
    counts = bits = None
    if isinstance(tokenizer, TokenizerMeasures):
        counts = tokenizer.usage.sums()["counts"].numpy()
    if isinstance(likelihood, LikelihoodMeasures):
        bits = likelihood.by_place.bits().numpy()
    totals = [sum(part) for part in zip(*processes.gather((read, rows.unreadable)), strict=True)]
    return Measured(figures, gallery.of_all(processes), counts, bits, *totals)


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
    if "image_to_text" in subject.tasks:
        found["image_to_text"] = CaptionMeasures(processes)
    if "question_answering" in subject.tasks:
        found["question_answering"] = AnswerMeasures()
    if isinstance(subject, CheckpointSubject) and subject.rates_pairs:
        found["likelihood"] = LikelihoodMeasures(subject.pipe.transformer.config.grid)
    if scenes and "text_to_image" in subject.tasks:
        found["scenes_drawn"] = ScenesDrawn()
    if scenes and "image_to_text" in subject.tasks:
        found["scenes_described"] = ScenesDescribed()
    return found
