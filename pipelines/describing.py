"""Pictures -> captions and answers, and how likely given captions are."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from einops import repeat
from torch import Tensor

from pipelines.command_line import UserError, check_seed
from pipelines.data.text_tokenizer import EncodedText, TextCodec
from pipelines.data.transforms import Picture
from pipelines.drawing import PICTURES_AT_ONCE
from unified_transformer import (
    Captions,
    CaptionSettings,
    NoRoomError,
    UnifiedTransformer,
    generate_answers,
    generate_captions,
    score_captions,
)


@dataclass(frozen=True)
class Caption:
    """What was read from a picture, unasked or in answer to a question; `log_likelihood` in nats,
    of the whole of it."""

    text: str
    log_likelihood: float


@dataclass(frozen=True)
class Describer:
    """Describes pictures.

    Args:
        encode: pictures of any size -> ids [batch, h, w].
    """

    transformer: UnifiedTransformer
    codec: TextCodec
    encode: Callable[[Iterable[Picture]], Tensor]

    @torch.no_grad()
    def describe(self, images: Iterable[Picture], seed: int, **captioning: Any) -> list[Caption]:
        """`BidirectionalPipeline.describe`."""
        settings, pictures = _settings(seed, captioning), list(images)
        captions = []
        for some in _at_once(len(pictures), settings):
            ids = self.encode(pictures[some])
            with telling_what_has_no_room():
                said = generate_captions(self.transformer, ids, settings, [seed] * len(ids))
            captions += self._in_words(said)
        return captions

    @torch.no_grad()
    def answer(
        self,
        images: Sequence[Picture],
        questions: Sequence[tuple[int, EncodedText]],
        seed: int,
        **answering: Any,
    ) -> list[Caption]:
        """`BidirectionalPipeline.answer`: each question with the number of its picture."""
        settings = _settings(seed, answering)
        encoded = [self.encode(images[some]) for some in _at_once(len(images), settings)]
        ids = torch.cat(encoded) if encoded else None
        answers = []
        for some in _at_once(len(questions), settings):
            assert ids is not None
            numbers, texts = zip(*questions[some], strict=True)
            asked, length = self.codec.pad(texts, self.transformer.config.text_positions)
            seen = ids[list(numbers)]
            with telling_what_has_no_room():
                said = generate_answers(
                    self.transformer,
                    seen,
                    asked.to(ids.device),
                    length.to(ids.device),
                    settings,
                    [seed] * len(seen),
                )
            answers += self._in_words(said)
        return answers

    def _in_words(self, said: Captions) -> list[Caption]:
        return [
            Caption(self.codec.decode_caption(text), likelihood)
            for text, likelihood in zip(said.ids, said.log_likelihood.tolist(), strict=True)
        ]

    @torch.no_grad()
    def score(
        self, images: Iterable[Picture], captions: Sequence[EncodedText]
    ) -> list[list[float]]:
        """log p(caption | picture) in nats, by picture and caption."""
        return [self._score(self.encode([image]), captions) for image in images]

    def _score(self, ids: Tensor, captions: Sequence[EncodedText]) -> list[float]:
        """Of one picture's ids [1, h, w]."""
        scores: list[float] = []
        for first in range(0, len(captions), PICTURES_AT_ONCE):
            some = captions[first : first + PICTURES_AT_ONCE]
            text, length = self.codec.pad(some, self.transformer.config.text_positions)
            each = repeat(ids, "1 h w -> b h w", b=len(some))
            found = score_captions(
                self.transformer, each, text.to(ids.device), length.to(ids.device)
            )
            scores += found.tolist()
        return scores


@contextmanager
def telling_what_has_no_room() -> Iterator[None]:
    """As a user's mistake."""
    try:
        yield
    except NoRoomError as error:
        raise UserError(f"{error}.") from error


def _settings(seed: int, captioning: dict[str, Any]) -> CaptionSettings:
    """Raises UserError where a value, or the last seed that follows from one, is out of range."""
    try:
        settings = CaptionSettings(**captioning)
    except ValueError as error:
        raise UserError(f"{error}.") from error
    check_seed(seed)
    check_seed(seed + settings.num_captions - 1)
    return settings


def _at_once(count: int, settings: CaptionSettings) -> Iterator[slice]:
    """Of so many texts those that are written together."""
    step = max(1, PICTURES_AT_ONCE // max(settings.num_beams, settings.num_captions))
    return (slice(first, first + step) for first in range(0, count, step))
