"""How likely a model finds the data: bits per image id, perplexity per caption token."""

import math

from pipelines.evaluation.figures import Figure, Missing
from pipelines.evaluation.streaming import Mean


class BitsPerId(Mean):
    """-log2 p(id | caption, earlier ids), mean over ids: that of a codebook of K codes is log2 K
    where nothing was learned. `update(nats, count)` takes the nats of rows, and of how many ids."""

    def figure(self, nothing: str = "there were no pictures to rate.") -> Figure:
        nats = super().figure(nothing)
        return nats if isinstance(nats, Missing) else nats / math.log(2)


class CaptionPerplexity(Mean):
    """e to the mean over tokens of -log p(token | picture, earlier tokens): from 1 to infinity.
    `update(nats, count)` takes the nats of rows, and of how many tokens."""

    def figure(self, nothing: str = "there were no captions to rate.") -> Figure:
        nats = super().figure(nothing)
        if isinstance(nats, Missing):
            return nats
        return math.exp(nats) if nats < 700 else math.inf  # beyond, math.exp raises
