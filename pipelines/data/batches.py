"""Numbered rows of a source -> tensors; every choice of a row depends on its place alone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from pipelines.command_line import UserError
from pipelines.data.orders import Sample
from pipelines.data.sources import Row, Source, UnreadableRow
from pipelines.data.text_batches import Batch, TextReader
from pipelines.data.transforms import CROP_STREAM, Cropping, arrays_to_pixels, to_array

NEIGHBOURS_TO_TRY = 100
# Of data with 5% of them, 200 rows by lot have so many about once in a thousand times.
MAX_UNREADABLE_SHARE = 0.1
ROWS_BEFORE_JUDGING = 200
ROWS_TO_NAME = 5


@dataclass
class ReadingCounts:
    """What was read so far: rows (each time anew), texts, and what was wrong with them."""

    rows: int = 0
    unreadable: int = 0
    truncated_texts: int = 0
    unknown_tokens: int = 0
    seconds: float = 0.0  # that the process waited for them
    reasons: dict[str, None] = field(default_factory=dict)  # why rows are unreadable, each once

    def add(self, other: "ReadingCounts") -> None:
        self.rows += other.rows
        self.seconds += other.seconds
        self.unreadable += other.unreadable
        self.truncated_texts += other.truncated_texts
        self.unknown_tokens += other.unknown_tokens
        self.reasons |= other.reasons

    @classmethod
    def sum_of(cls, parts: Iterable["ReadingCounts"]) -> "ReadingCounts":
        total = cls()
        for part in parts:
            total.add(part)
        return total

    def problems(self) -> str:
        """One sentence about what was wrong; empty where nothing was."""
        wrong = [
            f"{number} {what}"
            for number, what in (
                (self.unreadable, "could not be read (the next one was taken instead)"),
                (self.truncated_texts, "had a text cut to fit the text positions"),
                (self.unknown_tokens, "tokens of texts were unknown and became [UNK]"),
            )
            if number
        ]
        return f"Of {self.rows} samples read: {'; '.join(wrong)}." if wrong else ""

    def unreadable_rows(self) -> str:
        """How many, and why the first ones."""
        reasons = list(self.reasons)
        named = "; ".join(reasons[:ROWS_TO_NAME]) + "; …" * (len(reasons) > ROWS_TO_NAME)
        return f"{self.unreadable} of {self.rows} rows cannot be read ({named})"

    def too_many_unreadable(self) -> str:
        """One sentence where they are more than a tenth (of 200 rows at least); else empty."""
        many = self.unreadable > MAX_UNREADABLE_SHARE * self.rows
        if self.rows < ROWS_BEFORE_JUDGING or not many:
            return ""
        return f"{self.unreadable_rows()}; mend or remove them."


class BatchReader:
    """Reads samples into batches.

    Args:
        size: (height, width) of the pictures.
        texts: reads the texts; None reads pictures alone.
        seed: of the choice of a crop.
        cropping: which part of a picture is taken.
    """

    def __init__(
        self,
        size: tuple[int, int],
        texts: TextReader | None,
        seed: int,
        cropping: Cropping,
    ) -> None:
        self.size, self.texts, self.seed, self.cropping = size, texts, seed, cropping

    def read(
        self, samples: Sequence[Sample], caption_dropout: float
    ) -> tuple[Batch, ReadingCounts]:
        """Samples -> `pixels` float32 [batch, 3, height, width] in [-1, 1], or `image_ids` int64
        [batch, h, w] of a source that has those.

        Where captions are wanted also `text_ids` int64 [batch, length], [CLS] … [SEP] and padding
        up to the longest one rounded up to a multiple of 8; `text_length` int64 [batch] without
        the padding; `caption_dropped` bool [batch]; and for a text encoder `encoder_text_ids` and
        `encoder_text_length`, the same captions in its ids. Where questions are, `qa_ids` and
        `qa_length` likewise, of `[CLS] question [SEP] [BOS] answer [SEP]`, and `question_length`
        int64 [batch] of the part up to the first [SEP]. Where both are, `has_caption` and
        `has_question` bool [batch]: a row may lack one of them, which then is empty.

        Raises:
            UserError: none of many neighbouring rows can be read; or some rows are pictures and
                some are ids.
        """
        counts = ReadingCounts()
        pictures, ids, rows = [], [], []
        for sample in samples:
            row = self._read_row(sample, counts)
            if row.ids is not None:
                ids.append(row.ids[self._which_crop(sample.epoch, row)])
            else:
                assert isinstance(row.image, np.ndarray)
                pictures.append(row.image)
            rows.append((sample.epoch, row))
        batch = _pictures_or_ids(pictures, ids)
        if self.texts is not None:
            of_texts, texts = self.texts.read(rows, caption_dropout)
            counts.truncated_texts = sum(text.truncated for text in texts)
            counts.unknown_tokens = sum(text.unknown for text in texts)
            batch |= of_texts
        return batch, counts

    def _which_crop(self, epoch: int, row: Row) -> int:
        assert row.ids is not None
        rng = np.random.default_rng((self.seed, epoch, *row.place, CROP_STREAM))
        return int(rng.integers(len(row.ids)))

    def _read_row(self, sample: Sample, counts: ReadingCounts) -> Row:
        """The row, or the next one that can be read; its picture cropped."""
        counts.rows += 1
        length = sample.source.length
        reason = ""
        for offset in range(NEIGHBOURS_TO_TRY):
            candidate = (sample.row + offset) % length if length else sample.row + offset
            try:
                return self._cropped(sample.source, sample.epoch, candidate)
            except UnreadableRow as error:
                counts.unreadable += offset == 0
                counts.reasons[str(error)] = None
                reason = reason or str(error)
        raise UserError(
            f"none of {NEIGHBOURS_TO_TRY} rows from row {sample.row} on can be read ({reason}); "
            "check the data source."
        )

    def _cropped(self, source: Source, epoch: int, row: int) -> Row:
        found = source[row]
        if found.image is None:
            return found
        crop = self.cropping.choose(self.seed, epoch, found.place)
        return replace(found, image=to_array(found.image, self.size, crop))


def _pictures_or_ids(pictures: list[np.ndarray], ids: list[np.ndarray]) -> Batch:
    """Raises:
    UserError: there are both, or ids of different grids.
    """
    if pictures and ids:
        raise UserError("data.mixture mixes pictures with encoded ids; encode all of them.")
    if pictures:
        return {"pixels": arrays_to_pixels(np.stack(pictures))}
    return {"image_ids": torch.from_numpy(np.stack(ids).astype(np.int64))}
