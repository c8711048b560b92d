"""WordPiece's own training: which pieces of words are worth an entry."""

from collections.abc import Iterable

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

INSIDE = "##"
"""What an entry begins with that stands inside a word."""
UNKNOWN = "[UNK]"


def train_word_pieces(
    texts: Iterable[str],
    words: pre_tokenizers.PreTokenizer,
    size: int,
    first: Iterable[str],
    letters: int,
    least: int = 0,
) -> dict[str, int]:
    """Entry -> id of a vocabulary of at most `size` entries, the more frequent pieces first.

    The same texts give the same vocabulary, provided that `first` names every "##letter" of theirs:
    the trainer numbers these in the order of a hash map, which differs from run to run and breaks
    ties differently.

    Args:
        texts: normalized.
        words: divides them into words.
        first: entries with the first ids.
        letters: how many letters that begin words have an entry.
        least: how often two pieces stand side by side that become one.
    """
    trained = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    trained.pre_tokenizer = words
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=least,
        limit_alphabet=letters,
        special_tokens=list(first),
        show_progress=False,
    )
    trained.train_from_iterator(texts, trainer)
    return trained.get_vocab()
