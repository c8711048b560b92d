"""How likely the data's pairs are, summed over blocks."""

import math
from collections.abc import Sequence

from einops import rearrange
from torch import Tensor

from pipelines.evaluation.figures import Figure, Figures, Missing
from pipelines.evaluation.likelihood import BitsPerId, CaptionPerplexity
from pipelines.evaluation.likelihoods import Found
from pipelines.evaluation.rows import Block
from pipelines.evaluation.streaming import StreamedSums
from pipelines.evaluation.subjects import Made


class LikelihoodMeasures:
    """Of the data's pairs, by direction; also how likely ids are by their places, for a plot."""

    def __init__(self, grid: tuple[int, int], directions: Sequence[str]) -> None:
        self.directions = directions
        self.bits, self.perplexity = BitsPerId(), CaptionPerplexity()
        self.by_place = NatsByPlace(grid)
        self.captions, self.pictures = FoundAmong(), FoundAmong()

    def update(self, block: Block, made: Made) -> None:
        nats = made.likelihoods
        assert nats is not None
        if nats.image is not None:
            self.bits.update(nats.image)
            self.by_place.update(nats.image)
            self.captions.update(nats.caption_found)
        if nats.caption is not None:
            self.perplexity.update(nats.caption, int(nats.tokens.sum()))
            self.pictures.update(nats.picture_found)

    def figures(self) -> Figures:
        found: Figures = {}
        if "text_to_image" in self.directions:
            share, among = self.captions.figures()
            bits = self.bits.figure()
            found |= {"bits_per_image_id": bits, "caption_found": share, "found_among": among}
        if "image_to_text" in self.directions:
            share, among = self.pictures.figures()
            perplexity = self.perplexity.figure()
            found |= {"perplexity_per_caption_token": perplexity, "picture_found": share}
            found |= {"found_among": among}
        return found


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

    own: Tensor
    rows: Tensor
    candidates: Tensor

    def __init__(self) -> None:
        super().__init__(own=(), rows=(), candidates=())

    def update(self, found: Found | None) -> None:
        """Adds a block; None of one that did not look for them."""
        if found is not None:
            self.own += found.own
            self.rows += found.rows
            self.candidates += found.candidates

    def figures(self) -> tuple[Figure, Figure]:
        """Their share, and among how many candidates on average."""
        own, rows, candidates = (value.item() for value in self.sums().values())
        if not rows:
            nothing = Missing("all captions are the same, and none can be told from the others.")
            return nothing, nothing
        return own / rows, candidates / rows
