"""How likely the data's pairs are, summed over blocks."""

import math

from einops import rearrange
from torch import Tensor

from pipelines.evaluation.figures import Figure, Figures, Missing
from pipelines.evaluation.likelihood import BitsPerId, CaptionPerplexity
from pipelines.evaluation.likelihoods import Found
from pipelines.evaluation.rows import Block
from pipelines.evaluation.streaming import StreamedSums
from pipelines.evaluation.subjects import Made


class LikelihoodMeasures:
    """Of the data's pairs; also how likely ids are by their places, for a plot."""

    def __init__(self, grid: tuple[int, int]) -> None:
        self.bits, self.perplexity = BitsPerId(), CaptionPerplexity()
        self.by_place, self.found = NatsByPlace(grid), FoundAmong()

    def update(self, block: Block, made: Made) -> None:
        nats = made.likelihoods
        assert nats is not None
        self.bits.update(nats.image)
        self.perplexity.update(nats.caption, int(nats.tokens.sum()))
        self.by_place.update(nats.image)
        if nats.found is not None:
            self.found.update(nats.found)

    def figures(self) -> Figures:
        return {
            "bits_per_image_id": self.bits.figure(),
            "perplexity_per_caption_token": self.perplexity.figure(),
            **self.found.figures(),
        }


class NatsByPlace(StreamedSums):
    """Sums of nats at each place of the grid."""

    nats: Tensor
    rows: Tensor

    def __init__(self, grid: tuple[int, int]) -> None:
        super().__init__(nats=grid, rows=())
        self.grid = grid

    def update(self, nats: Tensor) -> None:
        """Adds nats [row, n]."""
        height, width = self.grid
        places = rearrange(self.double_here(nats), "row (h w) -> row h w", h=height, w=width)
        self.nats += places.sum(dim=0)
        self.rows += len(places)

    def bits(self) -> Tensor:
        """Their mean in bits, [h, w]."""
        sums = self.sums()
        return sums["nats"] / sums["rows"].clamp(min=1) / math.log(2)


class FoundAmong(StreamedSums):
    """How many rows' own were found (see `likelihoods.Found`)."""

    captions: Tensor
    pictures: Tensor
    rows: Tensor
    candidates: Tensor

    def __init__(self) -> None:
        super().__init__(captions=(), pictures=(), rows=(), candidates=())

    def update(self, found: Found) -> None:
        self.captions += found.captions
        self.pictures += found.pictures
        self.rows += found.rows
        self.candidates += found.candidates

    def figures(self) -> Figures:
        """Shares, and among how many candidates."""
        sums = {name: value.item() for name, value in self.sums().items()}
        nothing = Missing("all captions are the same, and none can be told from the others.")

        def mean(name: str) -> Figure:
            return sums[name] / sums["rows"] if sums["rows"] else nothing

        return {
            "caption_found": mean("captions"),
            "picture_found": mean("pictures"),
            "found_among": mean("candidates"),
        }
