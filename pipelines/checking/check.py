"""One pass over all rows, in which everything is counted; no picture is kept but those to show."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tqdm import tqdm

from pipelines.checking.picture_figures import Duplicates, PictureFigures
from pipelines.checking.reading import PartCounts, ReadingFigures
from pipelines.checking.rows import Part, Seen, parts_of
from pipelines.checking.subject import Subject
from pipelines.checking.text_figures import CaptionsOfRows, TextFigures
from pipelines.command_line import UserError

SHOWN = 64


@dataclass(frozen=True)
class Shown:
    """A row to look at: its name, its picture as a model sees it, uint8 [h, w, 3], its captions."""

    name: str
    pixels: np.ndarray
    captions: list[str]


@dataclass
class Checked:
    """What was found.

    captions, questions: None where a run reads none of them.
    most: rows of each source's part; None took all.
    """

    subject: Subject
    reading: ReadingFigures
    captions: TextFigures | None
    of_rows: CaptionsOfRows
    questions: TextFigures | None
    pictures: PictureFigures
    duplicates: Duplicates
    most: int | None
    shown: list[Shown] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """For a report."""
        found: dict[str, Any] = {"first_rows": self.most, "rows": self.reading.figures()}
        if self.captions is not None:
            found["captions"] = self.of_rows.figures() | self.captions.figures()
        if self.questions is not None:
            found["questions"] = self.questions.figures()
        if self.pictures.pictures:
            found["pictures"] = self.pictures.figures()
            found["duplicates"] = self.duplicates.figures()
        return found


def check(subject: Subject, most: int | None, threads: int, seed: int) -> Checked:
    """Reads every row that the run reads, or of each source's part the first `most`.

    Args:
        threads: that decode pictures.
        seed: of the choice of rows that are shown.

    Raises:
        UserError: a source never ends and `most` is None, or a stream cannot be read on.
    """
    parts = parts_of(subject)
    for part in parts:
        if most is None and part.rows.endless:
            raise UserError(
                f"data source {part.source} never ends; say how many rows to check with --rows."
            )
    checked = _nothing_yet(subject, parts, most)
    lottery = Lottery(np.random.default_rng(seed))
    with ThreadPoolExecutor(threads) as pool, tqdm(total=_total(parts, most), unit=" rows") as bar:
        for number, (part, counts) in enumerate(zip(parts, checked.reading.parts, strict=True)):
            for row in part.look(subject.data.height_width, most, pool, bar.update):
                counts.add(row)
                if isinstance(row, Seen):
                    _count(checked, number, row)
                    lottery.offer(part, row)
    checked.shown = lottery.shown
    return checked


def _nothing_yet(subject: Subject, parts: list[Part], most: int | None) -> Checked:
    codec, wanted, positions = subject.codec, subject.wanted, subject.text_positions
    return Checked(
        subject,
        ReadingFigures([PartCounts(part) for part in parts]),
        TextFigures(codec, positions) if codec and wanted.captions else None,
        CaptionsOfRows(),
        TextFigures(codec, positions) if codec and wanted.questions else None,
        PictureFigures(subject.data.height_width),
        Duplicates(parts),
        most,
    )


def _total(parts: list[Part], most: int | None) -> int | None:
    """How many rows will be read, where that is known."""
    known = [part.rows.count for part in parts if part.rows.count is not None]
    if len(known) < len(parts):
        return None if most is None else most * len(parts)
    return sum(known if most is None else [min(count, most) for count in known])


def _count(checked: Checked, part: int, row: Seen) -> None:
    if checked.captions is not None:
        checked.of_rows.add(row.texts)
        for caption in row.texts.all_captions:
            checked.captions.add_caption(caption)
    if checked.questions is not None:
        for pairs in row.texts.questions.values():
            for question, answer in pairs:
                checked.questions.add_answer(question, answer)
    if row.picture is not None:
        checked.pictures.add(row.picture)
        checked.duplicates.add(part, row)


class Lottery:
    """Rows by lot, of any number that are offered, each as likely as another."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng, self.offered = rng, 0
        self._kept: dict[int, Shown] = {}

    def offer(self, part: Part, row: Seen) -> None:
        """Perhaps keeps it."""
        if row.picture is None:
            return
        place = self.offered if self.offered < SHOWN else int(self.rng.integers(self.offered + 1))
        self.offered += 1
        if place < SHOWN:
            self._kept.pop(place, None)  # so that they stay in the order in which they came
            name = part.name(row.place)
            self._kept[place] = Shown(name, row.picture.pixels, row.texts.all_captions)

    @property
    def shown(self) -> list[Shown]:
        return list(self._kept.values())
