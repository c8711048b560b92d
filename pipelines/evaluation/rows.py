"""The rows that are measured, in blocks that are dealt to processes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipelines.command_line import UserError
from pipelines.data.sources import QuestionAnswer, Source, UnreadableRow
from pipelines.data.transforms import to_array

BLOCK_ROWS = 100
"""Of R-precision's candidates: an own caption and 99 others (AttnGAN, 1711.10485)."""


@dataclass(frozen=True)
class Block:
    """Rows that are measured together, being each other's candidates.

    number: of the block.
    rows: their places among the rows that are measured, from 0 on.
    places: those in the data.
    pictures: uint8 [height, width, 3], all of one size.
    captions: all that would be right, row by row; the first one is drawn.
    questions: likewise.
    labels: class names; empty strings where none are read.
    attributes: phrases, row by row; empty where none are read.
    """

    number: int
    rows: list[int]
    places: list[int]
    pictures: list[np.ndarray]
    captions: list[list[str]]
    questions: list[list[QuestionAnswer]]
    labels: list[str]
    attributes: list[list[str]] = field(default_factory=list)

    @property
    def prompts(self) -> list[str]:
        """One caption of each row, empty where there is none."""
        return [texts[0] if texts else "" for texts in self.captions]


class Rows:
    """Rows of a source.

    Args:
        size: (height, width) that the pictures are brought to.
        chosen: the rows' numbers.
        captions: whether a row without one is left out with those that cannot be read.
        labels: the same rows with their class names for captions.

    Raises:
        UserError: they are fewer than two.
    """

    def __init__(
        self,
        source: Source,
        size: tuple[int, int],
        chosen: Sequence[int],
        captions: bool = True,
        labels: Source | None = None,
    ) -> None:
        self.source, self.size, self.chosen = source, size, chosen
        self.captions, self.labels = captions, labels
        if len(chosen) < 2:
            raise UserError(f"there are {len(chosen)} rows, and measuring takes two at least.")
        self.unreadable = 0

    def blocks(self, rank: int, processes: int) -> Iterator[Block]:
        """A process's share; rows that cannot be read are counted and left out."""
        for number in range(rank, -(-len(self.chosen) // BLOCK_ROWS), processes):
            first = number * BLOCK_ROWS
            yield self._read(number, range(first, min(first + BLOCK_ROWS, len(self.chosen))))

    def _read(self, number: int, places: Sequence[int]) -> Block:
        block = Block(number, [], [], [], [], [], [])
        for place in places:
            row = self.chosen[place]
            try:
                found = self.source[row]
                if self.captions and not found.captions:
                    raise UnreadableRow(f"row {row} has no caption")
                label = self.labels.texts(row).every if self.labels is not None else iter(())
                assert found.image is not None  # ids are refused on opening
                picture = to_array(found.image, self.size)
                name = next(label, "")
            except UnreadableRow:
                self.unreadable += 1
                continue
            block.rows.append(place)
            block.places.append(row)
            block.pictures.append(picture)
            block.captions.append(found.captions)
            block.questions.append(found.questions)
            block.labels.append(name)
            block.attributes.append(found.attributes)
        return block


def by_lot(length: int | None, most: int) -> list[int]:
    """At most so many of `length` rows, the same every time: neighbours are often alike, and the
    others of a block are to be anybody's. Of endless data the first ones."""
    if length is None:
        return list(range(most))
    return [int(row) for row in np.random.default_rng(0).permutation(length)[:most]]
