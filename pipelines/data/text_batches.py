"""Texts of rows -> tensors: which caption and which question of a row are taken, and their ids."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipelines.data.attributes import Attributes
from pipelines.data.settings import CAPTIONS, Wanted
from pipelines.data.sources import QuestionAnswer, Row
from pipelines.data.text_tokenizer import EncodedAnswer, EncodedText, TextCodec

Batch = dict[str, Tensor]

# Keep the choices of a caption and of a question independent of each other, of that of a crop, and
# of what `scenes` draws from the same seed and row.
CHOICE_STREAM = 0x7E47
QUESTION_STREAM = 0x9A5C


@dataclass(frozen=True)
class EncoderIds:
    """The captions in ids of a text encoder as well, which has a text tokenizer of its own.

    positions: the most ids of a caption.
    """

    codec: TextCodec
    positions: int


@dataclass(frozen=True)
class TextReader:
    """Takes one caption and one question of each row, by lot.

    Args:
        text_positions: the most ids that a text may have, special tokens included.
        wanted: which texts the batches have.
        seed: of the choices and of caption dropout.
        attributes: of those that are given, where these are wanted, or looked for in the captions
            that were chosen.
        encoder: of whose ids the batches have the captions too.
    """

    codec: TextCodec
    text_positions: int
    wanted: Wanted = CAPTIONS
    seed: int = 0
    attributes: Attributes | None = None
    encoder: EncoderIds | None = None

    def read(
        self, rows: Sequence[tuple[int, Row]], caption_dropout: float
    ) -> tuple[Batch, list[EncodedText]]:
        """Rows with the epochs in which they are read -> what `BatchReader.read` says, and the
        texts that were encoded."""
        batch: Batch = {}
        encoded: list[EncodedText] = []
        # Where only one kind is wanted, a row without it is not read in the first place.
        either = self.wanted.captions and self.wanted.questions
        if self.wanted.captions:
            captions, dropped = self._captions(rows, caption_dropout)
            found = [self.codec.encode_caption(one, self.text_positions) for one in captions]
            if self.attributes is not None and self.wanted.attributes:
                given = [self.attributes.among(row.attributes) for _, row in rows]
                batch["attributes"] = torch.tensor(given)
            elif self.attributes is not None:
                batch["attributes"] = torch.tensor([self.attributes.of(one) for one in captions])
            batch["text_ids"], batch["text_length"] = self.codec.pad(found, self.text_positions)
            batch["caption_dropped"] = torch.tensor(dropped)
            if either:
                batch["has_caption"] = torch.tensor([bool(row.captions) for _, row in rows])
            encoded += found
            if self.encoder is not None:
                codec, positions = self.encoder.codec, self.encoder.positions
                found = [codec.encode_caption(one, positions) for one in captions]
                padded = codec.pad(found, positions)
                batch["encoder_text_ids"], batch["encoder_text_length"] = padded
                encoded += found
        if self.wanted.questions:
            asked = [self._question(epoch, row) for epoch, row in rows]
            batch["qa_ids"], batch["qa_length"] = self.codec.pad(asked, self.text_positions)
            batch["question_length"] = torch.tensor([text.question_length for text in asked])
            if either:
                batch["has_question"] = torch.tensor([bool(row.questions) for _, row in rows])
            encoded += asked
        return batch, encoded

    def _captions(
        self, rows: Sequence[tuple[int, Row]], caption_dropout: float
    ) -> tuple[list[str], list[bool]]:
        texts, dropped = [], []
        for epoch, row in rows:
            rng = np.random.default_rng((self.seed, epoch, *row.place, CHOICE_STREAM))
            captions = row.captions or [""]
            texts.append(captions[int(rng.integers(len(captions)))])
            dropped.append(bool(rng.random() < caption_dropout))
        return texts, dropped

    def _question(self, epoch: int, row: Row) -> EncodedAnswer:
        rng = np.random.default_rng((self.seed, epoch, *row.place, QUESTION_STREAM))
        asked = row.questions or [QuestionAnswer("", "")]
        return self.codec.encode_answer(*asked[int(rng.integers(len(asked)))], self.text_positions)
