"""New words for a text tokenizer whose ids a model has learned.

New entries come after the old ones, so that every old id keeps its meaning; and they are such that
a text of known words is encoded as it was:

- a *letter* (`x`, or `##x` inside words) that had no entry: WordPiece takes the longest entry that
  fits, so where it found one before it still finds the same;
- a *piece* of a word, or a whole one, with a character in it that no old entry has: nothing that
  was known before can hold it;
- a *word* of known characters that had to be spelled. It is found as a whole word only, before
  texts are divided; as an entry of WordPiece's own it would cut other words that begin with it.

With new letters, words that an earlier growth added become WordPiece's own after all, as only those
keep their ids when a tokenizer is written and read: "whats" is then "what ##s", spelled until then.

Letters come first, as they leave nothing unknown, then pieces, then words, the more frequent first,
while there is room.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerBase

from pipelines.data.text_tokenizer import LONGEST_CAPTION, as_unicode
from pipelines.data.word_pieces import INSIDE, train_word_pieces

# A piece that occurs once would be learned from one caption, its letters from many.
LEAST_OCCURRENCES = 2
# Letters a piece, on average. "square ##s" keeps what the model knows of squares; "d ##o ##g" says
# nothing to it.
SPELLED_BELOW = 2


@dataclass(frozen=True)
class Growth:
    """`entries`: how many are new. `before`, `after`: how many tokens of the texts were [UNK], and
    still are, of `tokens` at first."""

    entries: int
    before: int
    after: int
    tokens: int

    def said_of(self, start: Path, largest: int) -> str:
        """The same as a sentence about the checkpoint that the tokenizer is of."""
        share = self.before / max(1, self.tokens)
        sentence = f"The text tokenizer of {start} does not know {share:.2%} of the texts' tokens"
        if self.entries and self.before:
            sentence += f"; {self.entries} new entries leave {self.after} unknown"
        elif self.entries:
            sentence += f"; new entries for words that it would spell: {self.entries}"
        if self.after:
            sentence += f" (text_tokenizer.vocabulary_size={largest} is the most it may have)"
        return sentence + "."


def grow_vocabulary(
    tokenizer: PreTrainedTokenizerBase, texts: Iterable[str], largest: int
) -> Growth:
    """Gives the tokenizer, in place, entries for what of the texts it does not know, up to
    `largest` in all; the same texts give the same entries.

    WordPiece's vocabulary is extended itself. Any other kind that can meet something unknown gets
    its new characters by its own `add_tokens`. Where bytes are entries nothing is unknown.
    """
    texts = [as_unicode(text[:LONGEST_CAPTION]) for text in texts]
    before, tokens = _count_unknown(tokenizer, texts)
    size, room = len(tokenizer), largest - len(tokenizer)
    if room <= 0:
        return Growth(0, before, before, tokens)
    if _is_word_piece(tokenizer):
        words = _words_of(tokenizer, texts)
        if before:
            _extend_word_pieces(tokenizer, words, room)
        _add_words(tokenizer, words, largest - len(tokenizer))
    elif before:
        tokenizer.add_tokens(_unknown_characters(tokenizer, texts)[:room])
    after = _count_unknown(tokenizer, texts)[0] if before else 0
    return Growth(len(tokenizer) - size, before, after, tokens)


def _is_word_piece(tokenizer: PreTrainedTokenizerBase) -> bool:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    model = backend.model if backend is not None else None
    return isinstance(model, models.WordPiece) and model.continuing_subword_prefix == INSIDE


def _count_unknown(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> tuple[int, int]:
    """How many tokens are [UNK], and how many there are."""
    if not texts:
        return 0, 0
    encoded = tokenizer(
        list(texts), add_special_tokens=False, split_special_tokens=True, verbose=False
    ).input_ids
    unknown = tokenizer.unk_token_id
    return sum(ids.count(unknown) for ids in encoded), sum(map(len, encoded))


def _words_of(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> Counter[str]:
    """How often each word occurs, as WordPiece is given them; without those too long for it, which
    stay [UNK] whatever it knows."""
    backend: Tokenizer = tokenizer.backend_tokenizer  # type: ignore[attr-defined]
    model: Any = backend.model
    words: Counter[str] = Counter()
    for text in texts:
        text = backend.normalizer.normalize_str(text) if backend.normalizer else text
        if backend.pre_tokenizer is None:
            words[text] += 1
        else:
            words.update(word for word, _ in backend.pre_tokenizer.pre_tokenize_str(text))
    longest = model.max_input_chars_per_word
    return Counter({word: count for word, count in words.items() if len(word) <= longest})


def _extend_word_pieces(tokenizer: PreTrainedTokenizerBase, words: Counter[str], room: int) -> None:
    """Letters and pieces of what is [UNK]."""
    backend: Tokenizer = tokenizer.backend_tokenizer  # type: ignore[attr-defined]
    model: Any = backend.model
    vocabulary: dict[str, int] = tokenizer.get_vocab()  # with tokens that were added to the model's
    unknown = {
        word: count
        for word, count in words.items()
        if any(token.value == model.unk_token for token in model.tokenize(word))
    }
    known = {character for entry in vocabulary for character in entry.removeprefix(INSIDE)}
    letters = _letters(unknown)
    pieces = [
        piece
        for piece in _pieces(unknown, letters, room)
        if not known.issuperset(piece.removeprefix(INSIDE))
    ]
    new = [entry for entry in letters + pieces if entry not in vocabulary][:room]
    if not new:
        return
    first = max(vocabulary.values()) + 1
    backend.model = models.WordPiece(
        vocabulary | {entry: first + number for number, entry in enumerate(new)},
        unk_token=model.unk_token,
        max_input_chars_per_word=model.max_input_chars_per_word,
        continuing_subword_prefix=INSIDE,
    )


def _add_words(tokenizer: PreTrainedTokenizerBase, words: Counter[str], room: int) -> None:
    """Whole words that are spelled in pieces of hardly more than a letter."""
    vocabulary = tokenizer.get_vocab()
    model: Any = tokenizer.backend_tokenizer.model  # type: ignore[attr-defined]
    spelled = [
        word
        for word, count in words.items()
        if count >= LEAST_OCCURRENCES
        and word.isalpha()
        and word not in vocabulary
        and len(word) < SPELLED_BELOW * len(model.tokenize(word))
    ]
    spelled = sorted(spelled, key=lambda word: (-words[word], word))[:room]
    tokenizer.add_tokens([AddedToken(word, single_word=True, normalized=True) for word in spelled])


def _letters(words: dict[str, int]) -> list[str]:
    """Entries for every character of words that occur so often: by itself, and inside a word where
    it stands there; the most frequent first."""
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for place, character in enumerate(word):
            counts[character] += count
            if place:
                counts[INSIDE + character] += count
    return sorted(counts, key=lambda entry: (-counts[entry], entry))


def _pieces(words: dict[str, int], letters: list[str], most: int) -> list[str]:
    """Longer entries than `letters` for the same words, the most frequent first."""
    trained = train_word_pieces(
        (word for word, count in words.items() for _ in range(count)),
        pre_tokenizers.WhitespaceSplit(),
        len(letters) + most,
        first=letters,
        letters=len(letters),
        least=LEAST_OCCURRENCES,
    )
    return sorted(trained.keys() - set(letters), key=lambda entry: trained[entry])


def _unknown_characters(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[str]:
    """Those that give [UNK] and that no entry has, the most frequent first."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    normalizer = backend.normalizer if backend is not None else None
    counts = Counter(
        character
        for text in texts
        for character in (normalizer.normalize_str(text) if normalizer else text)
    )
    known = {character for entry in tokenizer.get_vocab() for character in entry}
    found = [
        character
        for character in counts
        if character not in known and _count_unknown(tokenizer, [character])[0]
    ]
    return sorted(found, key=lambda character: (-counts[character], character))
