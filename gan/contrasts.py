"""The contrasts that any discriminator can be given: pictures with sentences, regions with words,
places with their picture, and drawn pictures with real ones."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from gan.contrastive_losses import (
    info_nce,
    local_global_loss,
    pair_logits,
    retrieval_accuracy,
    word_region_logits,
)
from gan.settings import ContrastSettings
from gan.terms import AllProcesses, Terms
from gan.text_encoders import TextBatch


@dataclass(frozen=True)
class PictureVectors:
    """What contrasts compare of pictures; None where nothing asks for it.

    image: [b, d], with sentences and with each other.
    regions: [b, region, d], with words.
    places, whole: [b, place, d] and [b, d], with each other.
    """

    image: Tensor
    regions: Tensor | None = None
    places: Tensor | None = None
    whole: Tensor | None = None


class Contrasts:
    """Terms over the pictures of all processes; values are [n] of all of them, in each process.

    Args:
        settings: weights.
        processes: of the global batch.
    """

    def __init__(self, settings: ContrastSettings, processes: AllProcesses) -> None:
        self.settings, self.processes = settings, processes

    def of_pictures(
        self, pictures: PictureVectors, texts: TextBatch | None, groups: Tensor | None
    ) -> Terms:
        """What real pictures teach a discriminator, and it the fakes of a generator.

        Args:
            texts: their sentences in the space of `pictures.image`, their words in that of
                `pictures.regions`; needed for either.
            groups: [b] numbers, equal where texts are, which then are not each other's negatives.
        """
        settings, terms = self.settings, Terms()
        if settings.sentence_weight > 0:
            assert texts is not None
            logits = self.pairs(pictures.image, texts.sentence, groups)
            terms |= _retrieval("sentence", settings.sentence_weight, logits)
        if settings.word_weight > 0:
            assert texts is not None and groups is not None and pictures.regions is not None
            words, mask = self._everyones_words(texts)
            everyone = self.processes.with_gradients
            logits = word_region_logits(everyone(pictures.regions), words, mask, everyone(groups))
            terms |= _retrieval("word", settings.word_weight, logits)
        if settings.local_global_weight > 0:
            assert pictures.places is not None and pictures.whole is not None
            parts = pictures.places, pictures.whole
            places, whole = (self.processes.with_gradients(part) for part in parts)
            loss = local_global_loss(places, whole)
            terms["local_global"] = (settings.local_global_weight, loss)
        return terms

    def real_fake(self, fake: Tensor, real: Tensor, groups: Tensor | None) -> Terms:
        """What fakes [b, d] are to share with the real pictures [b, d] that they stand for, in a
        discriminator's features."""
        logits = self.pairs(fake, real.detach(), groups)
        return {"real_fake": (self.settings.real_fake_weight, info_nce(logits))}

    def pairs(self, first: Tensor, second: Tensor, groups: Tensor | None) -> Tensor:
        """`pair_logits` over the global batch."""
        everyones = None if groups is None else self.processes.with_gradients(groups)
        first, second = (self.processes.with_gradients(rows) for rows in (first, second))
        return pair_logits(first, second, groups=everyones)

    def _everyones_words(self, texts: TextBatch) -> tuple[Tensor, Tensor]:
        """Words [n, word, d] and mask [n, word] of all processes, each of which pads its own."""
        everyone, count = self.processes.with_gradients, texts.words.shape[1]
        missing = int(everyone(torch.tensor([count], device=texts.words.device)).max()) - count
        words = F.pad(texts.words, (0, 0, 0, missing))
        return everyone(words), everyone(F.pad(texts.mask, (0, missing)).long()).bool()


def _retrieval(name: str, weight: float, logits: Tensor) -> Terms:
    """The loss of logits [n, n], and how often a picture finds its own text."""
    accuracy = retrieval_accuracy(logits).expand(len(logits))
    return {f"{name}s": (weight, info_nce(logits)), f"{name}_accuracy": (0.0, accuracy)}
