"""Losses that tell what belongs together from what else is in the batch."""

import torch
from einops import rearrange, repeat
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

# XMC-GAN, of the authors' code: their paper gives none of these.
SENTENCE_TEMPERATURE = 0.1
REGION_SHARPNESS, WORD_SHARPNESS, WORD_TEMPERATURE = 5.0, 5.0, 0.02


def pair_logits(first: Tensor, second: Tensor, groups: Tensor | None = None) -> Tensor:
    """Cosines over the temperature of vectors [n, d] and [n, d]: [n, n], in fp32.

    Args:
        groups: [n] numbers; pairs of the same number say the same, and are not each other's
            negatives.
    """
    with torch.autocast(first.device.type, enabled=False):
        cosines = normalize(first.float(), dim=1) @ normalize(second.float(), dim=1).T
    return _without_equals(cosines / SENTENCE_TEMPERATURE, groups)


def info_nce(logits: Tensor) -> Tensor:
    """Logits [n, n] whose diagonal belongs together -> the cross-entropy of each row, plus that of
    each column: [n], whose mean is XMC-GAN's loss (2101.04702, eqs. 4 to 8; both ways as in the
    authors' code)."""
    own = torch.arange(len(logits), device=logits.device)
    rows = cross_entropy(logits, own, reduction="none")
    return rows + cross_entropy(logits.T, own, reduction="none")


def retrieval_accuracy(logits: Tensor) -> Tensor:
    """The share of rows [n, n] whose own column is the best."""
    own = torch.arange(len(logits), device=logits.device)
    return (logits.detach().argmax(dim=1) == own).float().mean()


def word_region_logits(
    regions: Tensor, words: Tensor, mask: Tensor, groups: Tensor | None = None
) -> Tensor:
    """How well the words of each text are found in the regions of each picture [n, n] (XMC-GAN,
    2101.04702, eqs. 6 and 7).

    A word looks at the regions that are like it, and is compared with what it saw; a text's score
    is a soft maximum over its words (which grows with their number: the paper's choice).

    Args:
        regions: [picture, region, d].
        words: [text, word, d].
        mask: [text, word], True where there is a word.
        groups: as of `pair_logits`.
    """
    with torch.autocast(regions.device.type, enabled=False):
        regions, words = (normalize(part.float(), dim=2) for part in (regions, words))
        likeness = torch.einsum("p r d, t w d -> p t w r", regions, words)
        looks = (REGION_SHARPNESS * likeness).softmax(dim=3)
        seen = normalize(torch.einsum("p t w r, p r d -> p t w d", looks, regions), dim=3)
        found = torch.einsum("p t w d, t w d -> p t w", seen, words)
        found = (WORD_SHARPNESS * found).masked_fill(~mask, -torch.inf)
        scores = found.logsumexp(dim=2) / WORD_SHARPNESS
    return _without_equals(scores / WORD_TEMPERATURE, groups)


def local_global_loss(local: Tensor, whole: Tensor) -> Tensor:
    """Each place of a picture is to be known by the picture, among all places of the others
    (InfoMax-GAN, 2007.04589, section 3.2): [n].

    A picture's own other places are no negatives, as in the authors' code; here they are left out
    exactly, there they keep a weight of e^-10.

    Args:
        local: [n, place, d].
        whole: [n, d].
    """
    with torch.autocast(local.device.type, enabled=False):
        scores = torch.einsum("m p d, n d -> n m p", local.float(), whole.float())
    own = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    positive = scores[own]
    negative = scores.masked_fill(rearrange(own, "n m -> n m 1"), -torch.inf)
    # Of a single picture nothing is left, whose logarithm is -inf: then the loss is 0.
    others = rearrange(negative, "n m p -> n (m p)").logsumexp(dim=1)
    others = repeat(others, "n -> n p", p=positive.shape[1])
    return (torch.logaddexp(positive, others) - positive).mean(dim=1)


def joint_embedding_loss(scores: Tensor) -> Tensor:
    """A picture's own text is to score better by 1 than any other, and a text's own picture
    likewise: [n] (Reed et al., 1605.05396, eqs. 2 and 3; the score is the inner product).

    Args:
        scores: [n, n], pair i being picture i and text i; -inf where another pair is no negative.
    """
    own = rearrange(scores.diagonal(), "n -> n 1")
    of_texts, of_pictures = (scores - own + 1).relu(), (scores.T - own + 1).relu()
    # A pair is not better than itself, which is no fault: the diagonal does not count.
    return (of_texts + of_pictures).fill_diagonal_(0).mean(dim=1)


def _without_equals(logits: Tensor, groups: Tensor | None) -> Tensor:
    """-inf where another pair [n, n] is of the same group."""
    if groups is None:
        return logits
    same = rearrange(groups, "n -> n 1") == rearrange(groups, "m -> 1 m")
    return logits.masked_fill(same.fill_diagonal_(False), -torch.inf)
