"""Attributes of pictures: the phrases of a list that their captions have."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from pipelines.command_line import UserError

# What says nothing about a picture; words of the grammar of captions rather than of its things.
NO_ATTRIBUTES = frozenset(
    ("a", "an", "the", "and", "or", "of", "in", "on", "at", "to", "with", "is", "are", "it", "its")
) | frozenset(("this", "that", "there", "by", "for", "from", "as", "be"))
RAREST = 0.005
"""Share of the captions that an attribute must be in: of rarer ones a memory sees too little."""


@dataclass
class AttributeSettings:
    """phrases: of one word or several; null takes the words that are most frequent in captions, up
    to
    number: of them, those in fewer than one caption of 200 left out.
    """

    phrases: list[str] | None = None
    number: int = 64

    def __post_init__(self) -> None:
        if self.number < 1:
            raise ValueError(f"number is {self.number}; it must be 1 or more.")
        if self.phrases is not None and not all(_words(phrase) for phrase in self.phrases):
            raise ValueError("phrases has an empty one; leave it out.")


@dataclass(frozen=True)
class Attributes:
    """Finds phrases in texts, as whole words, whatever their case."""

    phrases: tuple[str, ...]
    _needles: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        needles = tuple(f" {_words(phrase)} " for phrase in self.phrases)
        object.__setattr__(self, "_needles", needles)

    def of(self, text: str) -> list[float]:
        """1 for each phrase that is in the text, else 0."""
        words = f" {_words(text)} "
        return [float(needle in words) for needle in self._needles]


def choose_attributes(captions: Iterable[str], settings: AttributeSettings) -> Attributes:
    """The phrases that are named, or the most frequent words of the captions.

    Raises:
        UserError: no word is frequent enough.
    """
    if settings.phrases is not None:
        return Attributes(tuple(dict.fromkeys(settings.phrases)))
    counts: Counter[str] = Counter()
    total = 0
    for caption in captions:
        counts.update(set(_words(caption).split()) - NO_ATTRIBUTES)
        total += 1
    # Of equally frequent words the first in the alphabet, so that the choice is always the same.
    ranked = sorted(counts, key=lambda word: (-counts[word], word))[: settings.number]
    found = [word for word in ranked if counts[word] >= RAREST * total]
    if not found:
        raise UserError(
            "no word is in one of 200 captions; name the attributes (attributes.phrases)."
        )
    return Attributes(tuple(found))


def _words(text: str) -> str:
    """Lower case, one space between words; each Chinese character is a word of its own."""
    apart = re.sub(r"([\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])", r" \1 ", text.lower())
    return " ".join(re.findall(r"[^\W_]+(?:[-'’][^\W_]+)*", apart))
