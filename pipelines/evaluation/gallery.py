"""Rows to look at: the first ones, and the best and the worst."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import torch

from pipelines.data.transforms import arrays_to_pixels, to_image
from pipelines.evaluation.rows import Block
from pipelines.evaluation.subjects import Made
from pipelines.training.distributed import Processes
from vq import psnr

SHOWN = 24
EXTREMES = 12


@dataclass(frozen=True)
class Shown:
    """A row with what was made of it.

    real, reconstructed, drawn: uint8 [height, width, 3].
    given: captions of the row. Pictures that are drawn of others' have neither these nor a real one
        beside them.
    psnr: of the reconstruction, in dB.
    seed: of the drawn picture, None of another system's.
    fit: how well the drawn picture fits its prompt, to a matcher or to the subject itself.
    """

    row: int
    real: np.ndarray | None
    given: list[str]
    reconstructed: np.ndarray | None = None
    psnr: float | None = None
    prompt: str = ""
    drawn: np.ndarray | None = None
    fit: float | None = None
    said: str | None = None
    answers: list[tuple[str, str, str]] = field(default_factory=list)
    """Questions, right answers, and what the subject says."""
    seed: int | None = None


class Gallery:
    """As many rows as a page shows, whatever the number of those that pass by.

    Args:
        most: of the first rows.
    """

    def __init__(self, most: int = SHOWN) -> None:
        self.most = most
        self.first: list[Shown] = []
        self.extremes: dict[str, list[Shown]] = {}

    def update(self, block: Block, made: Made) -> None:
        rows = list(_rows(block, made))
        self.first = sorted(self.first + rows, key=lambda one: one.row)[: self.most]
        for name, order in EXTREMES_BY.items():
            known = self.extremes.get(name, [])
            self.extremes[name] = order(known + rows)[:EXTREMES]

    def of_all(self, processes: Processes) -> "Gallery":
        """With the rows of all processes."""
        found = Gallery(self.most)
        parts = processes.gather(self)
        found.first = sorted((o for p in parts for o in p.first), key=lambda o: o.row)[: self.most]
        for name, order in EXTREMES_BY.items():
            rows = [one for part in parts for one in part.extremes.get(name, [])]
            found.extremes[name] = order(rows)[:EXTREMES]
        return found


def _by(name: str, sign: int) -> Callable[[Iterable[Shown]], list[Shown]]:
    """Those that have a value, the largest first or, with sign -1, the smallest."""

    def order(rows: Iterable[Shown]) -> list[Shown]:
        known = [one for one in rows if getattr(one, name) is not None]
        return sorted(known, key=lambda one: (-sign * getattr(one, name), one.row))

    return order


EXTREMES_BY = {
    "best reconstructed": _by("psnr", 1),
    "worst reconstructed": _by("psnr", -1),
    "best drawn": _by("fit", 1),
    "worst drawn": _by("fit", -1),
}


def _rows(block: Block, made: Made) -> Iterable[Shown]:
    again = made.reconstructed
    if again is not None:
        ratios = psnr(again.pixels, arrays_to_pixels(np.stack(block.pictures))).tolist()
    for n, row in enumerate(block.rows):
        yield Shown(
            row,
            block.pictures[n] if made.paired else None,
            block.captions[n] if made.paired else [],
            None if again is None else np.asarray(to_image(again.pixels[n].to(torch.float32))),
            None if again is None else ratios[n],
            made.prompts[n] if made.prompts else "",
            None if made.drawn is None else np.asarray(made.drawn[n]),
            None if made.fits is None else made.fits[n],
            None if made.said is None else made.said[n],
            _answers(block, made, n),
            None if made.seeds is None else made.seeds[n],
        )


def _answers(block: Block, made: Made, n: int) -> list[tuple[str, str, str]]:
    if made.answers is None:
        return []
    asked = zip(block.questions[n], made.answers[n], strict=True)
    return [(one.question, one.answer, said) for one, said in asked]
