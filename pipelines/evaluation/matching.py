"""How well pictures go with their captions, to a network that knows both: CLIP score and
R-precision."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from pipelines.command_line import UserError
from pipelines.data.transforms import Picture
from pipelines.dual_encoder.matcher import Matcher
from pipelines.evaluation.figures import Figure, Missing
from pipelines.evaluation.streaming import StreamedSums
from pipelines.hub.pulling import hub_repository

# Equal features give cosines that are equal but for the order of a sum.
ROUNDING = 1e-9


class MatchingFeatures(Protocol):
    """A CLIP, or a dual encoder of ours: unit vectors [n, d] of pictures and of texts."""

    def image_features(self, pictures: Sequence[Picture]) -> Tensor: ...

    def text_features(self, texts: Sequence[str]) -> Tensor: ...


def open_matcher(name: str, device: str | None = None) -> Matcher | Missing:
    """A CLIP model by its hub name or folder, or a dual encoder's checkpoint. Texts that are too
    long for it (77 tokens of CLIP's) are cut.

    Raises:
        UserError: a folder that is here is neither, or is damaged.
    """
    here = hub_repository(name) is None
    try:
        return Matcher.from_pretrained(name, device)
    except UserError as error:
        if here:
            raise
        return Missing(str(error))


@dataclass(frozen=True)
class MatchingFigures:
    """Names say CLIP where a CLIP's features were given, and belong after "dual encoder" elsewhere.

    `clip_score`: the mean of max(100 cos(picture, caption), 0), as torchmetrics defines it; Hessel
    et al. (2104.08718) take 250 instead of 100. `r_precision`: the share of pictures whose own
    caption is nearer than all others of `candidates`, their mean number, own one included (AttnGAN,
    1711.10485, section 4.1: 100, which gives 0.01 by chance). `pairs`: measured in all.
    """

    clip_score: Figure
    r_precision: Figure
    candidates: float
    pairs: int


class Matching(StreamedSums):
    """CLIP score and R-precision. The other captions of a row are those of its block."""

    cosine: Tensor
    count: Tensor
    won: Tensor
    compared: Tensor
    candidates: Tensor

    def __init__(self) -> None:
        super().__init__(cosine=(), count=(), won=(), compared=(), candidates=())

    def update(self, image: Tensor, text: Tensor, captions: Sequence[str]) -> None:
        """Adds a block of pairs: blocks of 100 rows give 99 other captions.

        Args:
            image, text: unit vectors [n, d], row by row of a picture and its caption.
            captions: the texts themselves. Equal ones are not compared, and a row without any other
                is left out of R-precision. As near as the own one is not farther.
        """
        cosines = self.double_here(image) @ self.double_here(text).T
        own = cosines.diagonal()
        numbers = {caption: number for number, caption in enumerate(dict.fromkeys(captions))}
        which = torch.tensor([numbers[caption] for caption in captions], device=self.device)
        others = which[:, None] != which
        comparable = others.any(dim=1)
        nearest = cosines.masked_fill(~others, -torch.inf).amax(dim=1)
        self.cosine += own.clamp(min=0).sum()
        self.count += len(own)
        self.won += ((own > nearest + ROUNDING) & comparable).sum()
        self.compared += comparable.sum()
        self.candidates += (others.sum(dim=1) + 1)[comparable].sum()

    def figures(self) -> MatchingFigures:
        sums = {name: value.item() for name, value in self.sums().items()}
        if sums["count"] == 0:
            missing = Missing("there were no pairs to match.")
            return MatchingFigures(missing, missing, 0.0, 0)
        r_precision: Figure = Missing(
            "R-precision takes different captions, and all are the same; check the text column."
        )
        candidates = 1.0
        if sums["compared"] > 0:
            r_precision = sums["won"] / sums["compared"]
            candidates = sums["candidates"] / sums["compared"]
        score = 100 * sums["cosine"] / sums["count"]
        return MatchingFigures(score, r_precision, candidates, int(sums["count"]))
