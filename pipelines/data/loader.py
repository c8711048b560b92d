"""Which rows a process reads at which optimizer step: a pure function of the step's number."""

import itertools
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from pipelines.command_line import UserError
from pipelines.data.batches import (
    ROWS_BEFORE_JUDGING,
    ROWS_TO_NAME,
    BatchReader,
    ReadingCounts,
)
from pipelines.data.orders import Bookmark, Order, Sample
from pipelines.data.settings import Wanted
from pipelines.data.sources import Source, UnreadableRow
from pipelines.data.text_batches import Batch, TextReader
from pipelines.data.transforms import CENTERED, Cropping

logger = logging.getLogger(__name__)


class Step(NamedTuple):
    """What one process reads for an optimizer step, and where its order then stands."""

    batches: list[Batch]
    counts: ReadingCounts
    bookmark: Bookmark


@dataclass(frozen=True)
class StepReader(Dataset[Step | UserError]):
    """Step number -> the micro-batches of one process; picklable, for workers."""

    reader: BatchReader
    order: Order
    micro_batch_size: int
    accumulation: int
    rank: int
    world_size: int
    caption_dropout: float

    def __getitem__(self, step: int) -> Step | UserError:
        batches, counts = [], ReadingCounts()
        for micro_batch in range(self.accumulation):
            block = (step * self.accumulation + micro_batch) * self.world_size + self.rank
            first = block * self.micro_batch_size
            samples = [self.order[first + n] for n in range(self.micro_batch_size)]
            try:
                batch, new = self.reader.read(samples, self.caption_dropout)
            except UserError as error:
                return error  # raised in a worker, it would bring the worker's traceback along
            batches.append(batch)
            counts.add(new)
        return Step(batches, counts, self.order.bookmark)


class BatchLoader:
    """The batches of one process, by the number of the optimizer step.

    Micro-batch a of process r at a step holds the samples from (step · accumulation + a) ·
    processes + r, times the size of a micro-batch, onwards: together the processes read what one
    would, each row of an epoch once, whatever their number, and an epoch ends where it ends, within
    a batch. Nothing but the step's number is needed to resume (and a bookmark, so that a stream
    need not be read from its beginning).

    Args:
        order: what to train on.
        size: (height, width) of the pictures, or one number for both.
        micro_batch_size: samples per process and forward pass.
        accumulation: micro-batches per step.
        rank, world_size: of this process.
        validation: what `validation_batches` reads.
        seed: of the choice of crops.
        texts: reads texts; None reads pictures alone.
        caption_dropout: the share of samples with `caption_dropped` set.
        workers: processes that read ahead; 0 reads when a step is asked for.
        cropping: which part of a picture is trained on; validation takes the center.

    `counts` says what was read so far: rows, unreadable ones, texts cut, unknown tokens, and for
    how long that was waited for.
    """

    def __init__(
        self,
        order: Order,
        validation: Source,
        size: int | tuple[int, int],
        micro_batch_size: int,
        accumulation: int = 1,
        rank: int = 0,
        world_size: int = 1,
        seed: int = 0,
        texts: TextReader | None = None,
        caption_dropout: float = 0.0,
        workers: int = 0,
        cropping: Cropping = CENTERED,
    ) -> None:
        self.global_batch_size = micro_batch_size * accumulation * world_size
        self.workers = workers
        self.counts = ReadingCounts()
        self._place = order.bookmark
        self._attributes = None if texts is None else texts.attributes
        height_width = (size, size) if isinstance(size, int) else size
        self._steps = StepReader(
            BatchReader(height_width, texts, seed, cropping),
            order,
            micro_batch_size,
            accumulation,
            rank,
            world_size,
            caption_dropout,
        )
        self._validation = validation
        self._validation_reader = BatchReader(height_width, texts, seed, CENTERED)
        self._ahead: Iterator[Step | UserError] | None = None
        self._next_ahead = 0
        self._named: set[str] = set()

    def step(self, step: int) -> list[Batch]:
        """The micro-batches of this process at an optimizer step (see `BatchReader.read`).

        Raises:
            UserError: more than a tenth of the rows (of 200 at least) cannot be read.
        """
        before = time.perf_counter()
        if self.workers:
            if self._ahead is None or step != self._next_ahead:
                self._ahead = self._read_ahead(step)
            self._next_ahead = step + 1
            found = next(self._ahead)
        else:
            found = self._steps[step]
        self.counts.seconds += time.perf_counter() - before
        if isinstance(found, UserError):
            raise found
        self._place = found.bookmark
        self._count(found.counts)
        return found.batches

    @property
    def bookmark(self) -> Bookmark:
        """Where the order stands after the last step, and which attributes were read."""
        if self._attributes is None:
            return self._place
        return {**self._place, "attributes": list(self._attributes.phrases)}

    def go_to(self, bookmark: Bookmark) -> str:
        """Takes up a bookmark of any process; says in a phrase what has changed since, if anything.

        Raises:
            UserError: the data do not allow it, or the attributes are others.
        """
        if self._attributes is not None and "attributes" in bookmark:
            self._attributes.refuse_others(bookmark["attributes"])
        change = self._steps.order.go_to(bookmark)
        self._place = self._steps.order.bookmark
        return change

    def validation_batches(self, number: int) -> Iterator[Batch]:
        """This process's part of the first `number` global batches of the validation rows.

        The same rows every time, in order, with the same captions and none dropped, however many
        processes share them; fewer where there are fewer rows.
        """
        rows = self._validation_rows(number)
        together = self.global_batch_size // self._steps.accumulation
        for first in range(0, len(rows), together):
            shares = np.array_split(rows[first : first + together], self._steps.world_size)
            samples = [Sample(self._validation, 0, int(row)) for row in shares[self._steps.rank]]
            if samples:
                batch, counts = self._validation_reader.read(samples, caption_dropout=0.0)
                self._name(counts)
                yield batch

    def check_validation(self, number: int, wanted: Wanted) -> None:
        """That the rows of so many global batches have some of each text that is wanted.

        Raises:
            UserError: they have none; there would never be a validation loss.
        """
        lacking = {kind for kind in ("captions", "questions") if getattr(wanted, kind)}
        rows = self._validation_rows(number)
        for row in rows:
            if not lacking:
                return
            try:
                texts = self._validation.texts(int(row))
            except UnreadableRow:
                continue
            lacking -= {kind for kind in lacking if any(getattr(texts, kind).values())}
        if lacking:
            raise UserError(
                f"the {len(rows)} rows that are validated on have no {' and no '.join(lacking)}, "
                "which are trained on; raise training.validation_batches or data.validation_rows, "
                "or name another data.validation_split."
            )

    def _validation_rows(self, number: int) -> np.ndarray:
        return np.arange(number * self.global_batch_size)[: self._validation.length]

    def _read_ahead(self, step: int) -> Iterator[Step | UserError]:
        return iter(
            DataLoader(
                self._steps,
                batch_size=None,
                sampler=itertools.count(step),
                num_workers=self.workers,
                collate_fn=_unchanged,
                # Its own, so that starting workers does not disturb the run's random numbers.
                generator=torch.Generator(),
            )
        )

    def _name(self, new: ReadingCounts) -> None:
        for reason in new.reasons:
            if reason not in self._named and len(self._named) < ROWS_TO_NAME:
                logger.warning("skipping a row that cannot be read: %s", reason)
                self._named.add(reason)

    def _count(self, new: ReadingCounts) -> None:
        self._name(new)
        judged_before = self.counts.rows >= ROWS_BEFORE_JUDGING
        self.counts.add(new)
        judged = self.counts.rows >= ROWS_BEFORE_JUDGING
        if judged and not judged_before and (problems := self.counts.problems()):
            logger.warning("%s", problems)
        if problem := self.counts.too_many_unreadable():
            raise UserError(problem)


def _unchanged(step: Any) -> Any:
    return step
