"""The reference: predicate -> boolean mask -> attention over every position."""

from torch import Tensor

from unified_transformer.attention.kernel import attend
from unified_transformer.attention.patterns import image_mask
from unified_transformer.sequence import Sequence


def dense_mask(sequence: Sequence, pattern: str) -> Tensor:
    """Boolean [batch, 1, query, key]: the rule and, inside the image, the pattern."""
    mask = sequence.visible()
    height, width = sequence.grid
    image = sequence.image_slice
    seen = image_mask(pattern, height, width, two_sided=sequence.image_is_source)
    mask[:, image, image] &= seen.to(mask.device)
    return mask[:, None]


def dense_attention(
    query: Tensor, key: Tensor, value: Tensor, sequence: Sequence, pattern: str, dropout: float
) -> Tensor:
    """Attention of every position to every other through a full mask.

    Shapes: query, key, value [batch, heads, position, dim]; returns the same. Cost O(S^2).
    """
    mask = sequence.cached(("dense", pattern), lambda: dense_mask(sequence, pattern))
    return attend(query, key, value, mask, dropout)
