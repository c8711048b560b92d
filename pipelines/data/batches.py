"""Numbered rows of a source -> tensors; every choice of a row depends on its number alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from pipelines.command_line import UserError
from pipelines.data.sources import Row, Source, UnreadableRow
from pipelines.data.text_tokenizer import TextCodec
from pipelines.data.transforms import arrays_to_pixels, to_array

Batch = dict[str, Tensor]

# Pictures of a source that is small at its final size are decoded once and kept.
PICTURE_MEMORY_BYTES = 256 * 2**20
NEIGHBOURS_TO_TRY = 100
# Keeps the choice of a caption independent of what `scenes` draws from the same seed and row.
CHOICE_STREAM = 0x7E47


@dataclass
class ReadingCounts:
    """What was read so far: rows (each time anew), captions, and what was wrong with them."""

    rows: int = 0
    unreadable: int = 0
    truncated_captions: int = 0
    unknown_tokens: int = 0
    reasons: dict[int, str] = field(default_factory=dict)  # of each unreadable row, by its number

    def add(self, other: "ReadingCounts") -> None:
        self.rows += other.rows
        self.unreadable += other.unreadable
        self.truncated_captions += other.truncated_captions
        self.unknown_tokens += other.unknown_tokens
        self.reasons |= other.reasons

    def problems(self) -> str:
        """One sentence about what was wrong; empty where nothing was."""
        wrong = [
            f"{number} {what}"
            for number, what in (
                (self.unreadable, "could not be read (the next one was taken instead)"),
                (self.truncated_captions, "had a caption cut to fit the text positions"),
                (self.unknown_tokens, "tokens of captions were unknown and became [UNK]"),
            )
            if number
        ]
        return f"Of {self.rows} samples read: {'; '.join(wrong)}." if wrong else ""


@dataclass(frozen=True)
class Sample:
    """A row in an epoch: the same row may choose another caption in the next."""

    epoch: int
    row: int


class BatchReader:
    """Reads samples of a source into batches.

    Args:
        size: (height, width) of the pictures.
        codec: encodes captions; None reads pictures alone.
        text_positions: the most ids that a caption may have, [CLS] and [SEP] included.
        seed: of the choice of a caption and of caption dropout.
    """

    def __init__(
        self,
        source: Source,
        size: tuple[int, int],
        codec: TextCodec | None,
        text_positions: int,
        seed: int,
    ) -> None:
        self.source, self.size, self.codec = source, size, codec
        self.text_positions, self.seed = text_positions, seed
        picture_bytes = 3 * size[0] * size[1]
        self._keep = (source.length or np.inf) * picture_bytes <= PICTURE_MEMORY_BYTES
        self._kept: dict[int, np.ndarray] = {}

    def read(
        self, samples: Sequence[Sample], caption_dropout: float
    ) -> tuple[Batch, ReadingCounts]:
        """Samples -> `pixels` float32 [batch, 3, height, width] in [-1, 1].

        With a codec also `text_ids` int64 [batch, length], [CLS] … [SEP] and padding up to the
        longest caption rounded up to a multiple of 8; `text_length` int64 [batch] without the
        padding; `caption_dropped` bool [batch].

        Raises:
            UserError: none of many neighbouring rows can be read.
        """
        counts = ReadingCounts()
        pictures, texts, dropped = [], [], []
        for sample in samples:
            picture, captions, row = self._read_row(sample.row, counts)
            pictures.append(picture)
            if self.codec is not None:
                rng = np.random.default_rng((self.seed, sample.epoch, row, CHOICE_STREAM))
                caption = captions[int(rng.integers(len(captions)))]
                texts.append(self.codec.encode_caption(caption, self.text_positions))
                dropped.append(bool(rng.random() < caption_dropout))
        batch = {"pixels": arrays_to_pixels(np.stack(pictures))}
        if self.codec is not None:
            counts.truncated_captions = sum(text.truncated for text in texts)
            counts.unknown_tokens = sum(text.unknown for text in texts)
            batch["text_ids"], batch["text_length"] = self.codec.pad(texts, self.text_positions)
            batch["caption_dropped"] = torch.tensor(dropped)
        return batch, counts

    def _read_row(self, row: int, counts: ReadingCounts) -> tuple[np.ndarray, list[str], int]:
        """The row, or the next one that can be read."""
        counts.rows += 1
        length = self.source.length
        for offset in range(NEIGHBOURS_TO_TRY):
            candidate = (row + offset) % length if length else row + offset
            try:
                return *self._picture_and_captions(candidate), candidate
            except UnreadableRow as error:
                counts.unreadable += offset == 0
                counts.reasons[candidate] = str(error)
        raise UserError(
            f"none of {NEIGHBOURS_TO_TRY} rows from row {row} on can be read "
            f"({counts.reasons[row]}); check the data source."
        )

    def _picture_and_captions(self, row: int) -> tuple[np.ndarray, list[str]]:
        if row in self._kept:
            return self._kept[row], self.source.texts(row)
        found: Row = self.source[row]
        picture = to_array(found.image, self.size)
        if self._keep:
            self._kept[row] = picture
        return picture, found.texts
