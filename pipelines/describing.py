"""Pictures -> captions, and how likely given captions are."""

from collections.abc import Callable, Iterable, Sequence
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
    CaptionSettings,
    UnifiedTransformer,
    generate_captions,
    score_captions,
)


@dataclass(frozen=True)
class Caption:
    """What was read from a picture; `log_likelihood` in nats, of the whole caption."""

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
        try:
            settings = CaptionSettings(**captioning)
        except ValueError as error:
            raise UserError(f"{error}.") from error
        check_seed(seed)
        check_seed(seed + settings.num_captions - 1)
        pictures = list(images)
        at_once = max(1, PICTURES_AT_ONCE // max(settings.num_beams, settings.num_captions))
        captions = []
        for first in range(0, len(pictures), at_once):
            ids = self.encode(pictures[first : first + at_once])
            said = generate_captions(self.transformer, ids, settings, [seed] * len(ids))
            captions += [
                Caption(self.codec.decode_caption(text), likelihood)
                for text, likelihood in zip(said.ids, said.log_likelihood.tolist(), strict=True)
            ]
        return captions

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
