"""Scenes drawn and described by anyone, read by the exact reader."""

from collections.abc import Sequence

import numpy as np
from PIL import Image
from torch import Tensor

from pipelines.data.scenes import Match, compare, parse_caption, read_scene
from pipelines.evaluation.figures import Figure, Missing
from pipelines.evaluation.rows import Block
from pipelines.evaluation.streaming import StreamedSums
from pipelines.evaluation.subjects import Made

ATTRIBUTES = ("exact", *Match.__dataclass_fields__)


class Shares(StreamedSums):
    """Of what is right of how many, attribute by attribute."""

    rows: Tensor

    def __init__(self) -> None:
        super().__init__(**{name: () for name in (*ATTRIBUTES, "rows")})

    def add(self, matches: Sequence[Match]) -> None:
        self.rows += len(matches)
        for name in ATTRIBUTES:
            right = sum(getattr(match, name) for match in matches)
            getattr(self, name).add_(right)

    def figures(self) -> dict[str, Figure]:
        """Shares of 1; `exact` is right in all, with nothing missing or extra."""
        sums = {name: value.item() for name, value in self.sums().items()}
        nothing = Missing("there was nothing to read.")
        return {n: sums[n] / sums["rows"] if sums["rows"] else nothing for n in ATTRIBUTES}


class ScenesDrawn(Shares):
    """Pictures against what their prompts say."""

    def update(self, block: Block, made: Made) -> None:
        assert made.drawn is not None
        self.add([match(*pair) for pair in zip(made.prompts, made.drawn, strict=True)])


class ScenesDescribed(Shares):
    """Captions against what the pictures show."""

    def update(self, block: Block, made: Made) -> None:
        assert made.said is not None
        self.add([match(*pair) for pair in zip(made.said, block.pictures, strict=True)])


def match(caption: str, picture: np.ndarray | Image.Image) -> Match:
    """What of a caption a picture shows; a picture that cannot be read shows nothing."""
    return compare(parse_caption(caption), read_scene(np.asarray(picture)))
