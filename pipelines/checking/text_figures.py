"""Captions (and questions with answers) against a text tokenizer and the text positions."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pipelines.checking.quantiles import quantile
from pipelines.data.sources import Texts
from pipelines.data.text_tokenizer import LONGEST_CAPTION, EncodedText, TextCodec, as_unicode

UNCUT = 10**9
"""Positions for any text."""
WORDS_TO_NAME = 20
LONGEST_SHOWN = 1000
"""Letters of a text."""


@dataclass
class TextFigures:
    """Of texts that are read one by one.

    positions: the most ids of a text, special tokens included.
    lengths: how many texts have so many ids before they are cut.
    tokens, unknown: of all texts, without special ones.
    unknown_words: what is unknown, as far as the text tokenizer tells.
    """

    codec: TextCodec
    positions: int
    lengths: Counter[int] = field(default_factory=Counter)
    cut: int = 0
    tokens: int = 0
    unknown: int = 0
    unknown_words: Counter[str] = field(default_factory=Counter)
    longest: str = ""

    @property
    def texts(self) -> int:
        return self.lengths.total()

    @property
    def unknown_share(self) -> float:
        """Of all tokens."""
        return self.unknown / self.tokens if self.tokens else 0.0

    def add_caption(self, text: str) -> None:
        self._add(self.codec.encode_caption(text, UNCUT), text)

    def add_answer(self, question: str, answer: str) -> None:
        encoded = self.codec.encode_answer(question, answer, UNCUT)
        self._add(encoded, question, answer)

    def _add(self, encoded: EncodedText, *texts: str) -> None:
        length = len(encoded.ids)
        if length > max(self.lengths, default=0):
            self.longest = " ".join(texts)
        self.lengths[length] += 1
        self.cut += length > self.positions or encoded.truncated
        self.tokens += length - 2 * len(texts)
        self.unknown += encoded.unknown
        if encoded.unknown:
            for text in texts:
                self.unknown_words.update(unknown_words(self.codec, text))

    def figures(self) -> dict[str, Any]:
        """For a report."""
        return {
            "texts": self.texts,
            "tokens": {
                "median": quantile(self.lengths, 0.5),
                "95_percent_within": quantile(self.lengths, 0.95),
                "longest": quantile(self.lengths, 1),
            },
            "text_positions": self.positions,
            "cut": self.cut,
            "longest_text": self.longest[:LONGEST_SHOWN],
            "vocabulary": self.codec.vocabulary_size,
            "tokens_in_all": self.tokens,
            "unknown_tokens": self.unknown,
            "unknown_token_share": self.unknown_share,
            "unknown_words": dict(self.unknown_words.most_common(WORDS_TO_NAME)),
        }


def unknown_words(codec: TextCodec, text: str) -> Iterator[str]:
    """What of a text became [UNK], where its tokenizer knows the places of tokens."""
    tokenizer = codec.tokenizer
    if not tokenizer.is_fast:
        return
    text = as_unicode(text[:LONGEST_CAPTION])
    found = tokenizer(
        text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True
    )
    for token, (first, end) in zip(found["input_ids"], found["offset_mapping"], strict=True):
        if token == tokenizer.unk_token_id:
            yield text[first:end]


@dataclass
class CaptionsOfRows:
    """How captions are spread over rows.

    of_a_row: how many rows have so many.
    """

    of_a_row: Counter[int] = field(default_factory=Counter)
    _rows_with: Counter[int] = field(default_factory=Counter)  # by the hash of a caption
    _repeated: dict[int, str] = field(default_factory=dict)

    def add(self, texts: Texts) -> None:
        captions = texts.all_captions
        self.of_a_row[len(captions)] += 1
        for caption in set(captions):
            known = hash(caption)
            self._rows_with[known] += 1
            if self._rows_with[known] == 2:
                self._repeated[known] = caption

    @property
    def different(self) -> int:
        """Captions, equal ones counted once."""
        return len(self._rows_with)

    def most_frequent(self) -> tuple[str, int]:
        """A caption that several rows have, and how many; an empty one where none is."""
        if not self._repeated:
            return "", 0
        # Of equally frequent ones the same whatever their hashes.
        rows, caption = max((self._rows_with[one], text) for one, text in self._repeated.items())
        return caption, rows

    def figures(self) -> dict[str, Any]:
        """For a report."""
        caption, rows = self.most_frequent()
        return {
            "rows_by_number_of_captions": {str(n): self.of_a_row[n] for n in sorted(self.of_a_row)},
            "different": self.different,
            "most_frequent": {"caption": caption, "rows": rows},
        }
