"""The reference: predicate -> boolean mask -> attention over every position."""

import torch
from torch import Tensor

from unified_transformer.attention.kernel import attend
from unified_transformer.attention.patterns import image_mask
from unified_transformer.sequence import Sequence


def dense_mask(sequence: Sequence, pattern: str) -> Tensor:
    """Boolean [batch, 1, query, key]: the rule and, inside the image, the pattern."""
    mask = sequence.visible().clone()
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


def prefix_mask(sequence: Sequence) -> tuple[Tensor, Tensor]:
    """The parts of the mask to which patterns do not apply, for implementations that split it.

    Returns (boolean [batch, 1, prefix, position] for the queries before the image,
    boolean [batch, 1, 1, prefix] for what each image position sees of the prefix: the same for all
    of them, since they share one role and come after it).
    """
    mask = sequence.visible()
    prefix = sequence.image_slice.start
    return mask[:, None, :prefix], mask[:, None, prefix : prefix + 1, :prefix]


def expand_mask(mask: Tensor, length: int) -> Tensor:
    """[batch, 1, 1, key] repeated (without copying) over `length` queries."""
    return torch.broadcast_to(mask, (*mask.shape[:2], length, mask.shape[-1]))
