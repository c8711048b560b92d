"""Captioned pictures to measure an arm on."""

from dataclasses import dataclass

import numpy as np

from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.command_line import UserError
from pipelines.data.sources import Source, UnreadableRow
from pipelines.data.transforms import to_array


@dataclass(frozen=True)
class Pairs:
    """Pictures (uint8 [height, width, 3]) with one caption each, and all captions that would be
    right; `unreadable` rows left out."""

    pictures: list[np.ndarray]
    captions: list[str]
    references: list[list[str]]
    unreadable: int


def read_pairs(source: Source, size: tuple[int, int], most: int) -> Pairs:
    """The first `most` rows that can be read, with the first caption of each.

    Raises:
        UserError: there are fewer than two.
    """
    pictures: list[np.ndarray] = []
    references: list[list[str]] = []
    row = unreadable = 0
    while len(pictures) < most and (source.length is None or row < source.length):
        try:
            found = source[row]
            assert found.image is not None  # ids are refused on opening
            pictures.append(to_array(found.image, size))
            references.append(found.captions)
        except UnreadableRow:
            unreadable += 1
        row += 1
    if len(pictures) < 2:
        raise UserError(
            f"{len(pictures)} of {row} rows can be read, and measuring takes two at least; check "
            "the data."
        )
    return Pairs(pictures, [texts[0] for texts in references], references, unreadable)


def as_generated(pipe: BidirectionalPipeline, caption: str) -> str:
    """The caption as the model would write it: its text tokenizer knows no other spelling."""
    positions = pipe.transformer.config.text_positions
    return pipe.codec.decode_caption(pipe.codec.encode_caption(caption, positions).ids)
