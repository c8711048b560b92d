"""Attributes of pictures: phrases of a list, found in their captions or given beside them."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import chain, zip_longest

from pipelines.command_line import UserError

# What says nothing about a picture; words of the grammar of captions rather than of its things.
NO_ATTRIBUTES = frozenset(
    ("a", "an", "the", "and", "or", "of", "in", "on", "at", "to", "with", "is", "are", "it", "its")
) | frozenset(("this", "that", "there", "by", "for", "from", "as", "be"))
RAREST = 0.005
"""Share of the pictures that an attribute must be of: of rarer ones a memory sees too little."""
BETWEEN_PHRASES = re.compile("[,;，；、]")
SHOWN = 12
"""Of a list of attributes, in a sentence."""

Given = Sequence[str | Sequence[str]]
"""For each prompt, or once for all: phrases, or a text with commas between them."""


@dataclass
class AttributeSettings:
    """phrases: of one word or several; null takes the words that are most frequent in captions, or
    the most frequent phrases of `data.attribute_column`, up to
    number: of them, those of fewer than one picture of 200 left out.
    """

    phrases: list[str] | None = None
    number: int = 64

    def __post_init__(self) -> None:
        if self.number < 1:
            raise ValueError(f"number is {self.number}; it must be 1 or more.")
        if self.phrases is not None and not self.phrases:
            raise ValueError("phrases is empty; name some, or null for the most frequent words.")
        if self.phrases is not None and not all(_words(phrase) for phrase in self.phrases):
            raise ValueError("phrases has an empty one; leave it out.")


@dataclass(frozen=True)
class Attributes:
    """Which of its phrases a text or a list of phrases has, as whole words, whatever their case."""

    phrases: tuple[str, ...]
    _keys: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_keys", tuple(map(_words, self.phrases)))

    def of(self, text: str) -> list[float]:
        """1 for each phrase that is in the text, else 0."""
        words = f" {_words(text)} "
        return [float(f" {key} " in words) for key in self._keys]

    def among(self, given: Iterable[str]) -> list[float]:
        """1 for each phrase that is given, else 0; what else is given does not count."""
        keys = set(map(_words, given))
        return [float(key in keys) for key in self._keys]

    def present(self, values: Sequence[float]) -> list[str]:
        """The phrases that 1 stands for."""
        return [phrase for phrase, value in zip(self.phrases, values, strict=True) if value]

    def known(self, given: Iterable[str]) -> list[str]:
        """Of what is given, the phrases that it has."""
        return self.present(self.among(given))

    def of_prompts(self, prompts: Sequence[str], given: Given | None = None) -> list[list[float]]:
        """Of each prompt, 1 for each phrase that is given for it or, where none are, found in it.

        Raises:
            UserError: a given phrase is none of these, or they are given for more or fewer prompts.
        """
        if given is None:
            return [self.of(text) for text in prompts]
        if isinstance(given, str):
            raise UserError(
                f"attributes is one text, {given!r}; give a list of them, one for each prompt or "
                "one for all."
            )
        if len(given) not in (1, len(prompts)):
            raise UserError(
                f"attributes are given {len(given)} times for {len(prompts)} prompts; give them "
                "for each, or once for all."
            )
        phrases = [phrases_in(one) for one in given]
        self.refuse_unknown(chain.from_iterable(phrases))
        each = phrases * len(prompts) if len(phrases) == 1 else phrases
        return [self.among(one) for one in each]

    def refuse_unknown(self, given: Iterable[str]) -> None:
        """Raises:
        UserError: one of the given phrases is none of these.
        """
        of_key = dict(zip(self._keys, self.phrases, strict=True))
        for phrase in given:
            key = _words(phrase)
            if key not in of_key:
                near = [of_key[one] for one in get_close_matches(key, of_key)]
                what = "the nearest ones" if near else "what it knows"
                raise UserError(
                    f"the memory does not know the attribute {phrase!r}; {what}: "
                    f"{listed(near or self.phrases)}."
                )

    def refuse_others(self, before: Sequence[str]) -> None:
        """A memory keeps vectors in the order of the phrases, which they do not tell.

        Raises:
            UserError: the phrases `before` were others, or in another order.
        """
        if (now := list(self.phrases)) != list(before):
            first = next(n for n, pair in enumerate(zip_longest(before, now)) if len({*pair}) > 1)
            raise UserError(
                f"the run was saved with {len(before)} attributes, from number {first + 1} on "
                f"{listed(before[first:]) or 'none'}, and now there are {len(now)}, from there on "
                f"{listed(now[first:]) or 'none'}; resume with the data and the section attributes "
                "that it was started with, or train anew into another folder."
            )


def choose_attributes(captions: Iterable[str], settings: AttributeSettings) -> Attributes:
    """The phrases that are named, or the most frequent words of the captions.

    Raises:
        UserError: no caption has any that is named, or no word is frequent enough.
    """
    if settings.phrases is not None:
        named = Attributes(tuple(dict.fromkeys(settings.phrases)))
        if not any(any(named.of(caption)) for caption in captions):
            raise UserError("no caption has one of attributes.phrases; name others.")
        return named
    words = [sorted(set(_words(caption).split()) - NO_ATTRIBUTES) for caption in captions]
    found = _most_frequent(words, settings.number)
    if not found:
        raise UserError(
            "no word is in one of 200 captions; name the attributes (attributes.phrases)."
        )
    return Attributes(found)


def choose_given_attributes(
    rows: Iterable[Sequence[str]], settings: AttributeSettings
) -> Attributes:
    """The phrases that are named, or the most frequent ones of the rows.

    Raises:
        UserError: no row has any that is named, or is frequent enough.
    """
    rows = list(rows)
    if settings.phrases is None:
        found = _most_frequent(rows, settings.number)
        if not found:
            raise UserError(
                "no phrase in data.attribute_column is of one picture in 200; name another column, "
                "or the attributes (attributes.phrases)."
            )
        return Attributes(found)
    named = Attributes(tuple(dict.fromkeys(settings.phrases)))
    if not any(any(named.among(row)) for row in rows):
        raise UserError(
            "no picture has one of attributes.phrases in data.attribute_column; name others, or "
            "another column."
        )
    return named


def phrases_in(cell: str | Iterable[str]) -> list[str]:
    """Of a text, or of several, those between commas and semicolons."""
    texts = [cell] if isinstance(cell, str) else cell
    parts = (part.strip() for text in texts for part in BETWEEN_PHRASES.split(text))
    return [part for part in parts if _words(part)]


def listed(phrases: Sequence[str]) -> str:
    """The first ones."""
    return ", ".join(phrases[:SHOWN]) + (", …" if len(phrases) > SHOWN else "")


def _most_frequent(rows: Sequence[Sequence[str]], number: int) -> tuple[str, ...]:
    """At most so many phrases, as they are spelt first."""
    spelt: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for row in rows:
        keys = {_words(phrase): phrase for phrase in reversed(row)}
        counts.update(keys.keys())
        spelt = keys | spelt
    # Of equally frequent ones the first in the alphabet, so that the choice is always the same.
    ranked = sorted(counts, key=lambda key: (-counts[key], key))[:number]
    return tuple(spelt[key] for key in ranked if counts[key] >= RAREST * len(rows))


def _words(text: str) -> str:
    """Lower case, one space between words; each Chinese character is a word of its own."""
    apart = re.sub(r"([\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])", r" \1 ", text.lower())
    return " ".join(re.findall(r"[^\W_]+(?:[-'’][^\W_]+)*", apart))
