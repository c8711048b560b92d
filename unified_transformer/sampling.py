"""From logits to ids: temperature, top-k, top-p, guidance, and given noise."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class SamplingSettings:
    """How ids are drawn. `temperature` 0 takes the likeliest; `top_k` 0 and `top_p` 1 cut nothing.

    `guidance_scale` s mixes logits as `empty + s * (prompt - empty)` (classifier-free guidance,
    2207.12598, in the form of 2203.13131): 1 is plain sampling, and it applies to pictures only.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    guidance_scale: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"temperature is {self.temperature}; it must be 0 or above")
        if self.top_k < 0:
            raise ValueError(f"top_k is {self.top_k}; it must be 0 (no limit) or above")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is {self.top_p}; it must be above 0 and at most 1")
        if not 0 <= self.guidance_scale < math.inf:
            raise ValueError(f"guidance_scale is {self.guidance_scale}; it must be 0 or above")

    @property
    def branches(self) -> int:
        """Sequences that are decoded for one picture: with guidance the empty prompt's too."""
        return 1 if self.guidance_scale == 1 else 2


def guide(logits: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance: `empty + scale * (prompt - empty)`.

    `logits` [2 * batch, ...]: those of the prompts, then those of the empty prompts.
    """
    prompt, empty = logits.float().chunk(2)
    return empty + scale * (prompt - empty)


def filter_logits(logits: Tensor, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    """Logits [..., vocabulary] with -inf outside the `top_k` likeliest and outside the smallest
    set whose probability reaches `top_p` (nucleus, 1904.09751); the likeliest always stays."""
    if top_k and top_k < logits.shape[-1]:
        kept = logits.topk(top_k, dim=-1)  # by place: of equal ones no more than `top_k` stay
        logits = torch.full_like(logits, -torch.inf).scatter(-1, kept.indices, kept.values)
    if top_p < 1:
        ordered, order = logits.sort(dim=-1, descending=True)
        probability = ordered.softmax(dim=-1)
        before = probability.cumsum(dim=-1) - probability
        cut = torch.zeros_like(before, dtype=torch.bool).scatter(-1, order, before >= top_p)
        logits = logits.masked_fill(cut, -torch.inf)
    return logits


def sample(logits: Tensor, settings: SamplingSettings, noise: Callable[[], Tensor]) -> Tensor:
    """Ids [...] drawn from logits [..., vocabulary] by the Gumbel-max trick (1411.0030, section 2).

    `noise` makes standard Gumbel noise of the shape of the logits. The same noise makes the same id
    of nearly the same logits, whatever order positions are drawn in: what parallel decoding needs.
    """
    if settings.temperature == 0:
        return logits.argmax(dim=-1)
    logits = filter_logits(logits.float() / settings.temperature, settings.top_k, settings.top_p)
    return (logits + noise()).argmax(dim=-1)
