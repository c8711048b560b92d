"""Captions <-> ids: WordPiece trained on the captions, or any Hugging Face tokenizer."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from pipelines.command_line import UserError, in_short
from pipelines.data.locations import local_path
from pipelines.data.word_pieces import INSIDE, UNKNOWN, train_word_pieces

SPECIAL_TOKENS = {
    "pad_token": "[PAD]",
    "unk_token": UNKNOWN,
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "bos_token": "[BOS]",
}


# Of a caption; what comes after it would hardly fit any text positions, and takes long to split.
LONGEST_CAPTION = 10_000
# Few lengths in place of many: kernels and compiled code are made once for each.
LENGTH_MULTIPLE = 8


@dataclass
class TextTokenizerSettings:
    """path: a folder or hub name of any Hugging Face tokenizer; null trains one on the captions.
    vocabulary_size: the most entries that the trained one has."""

    path: str | None = None
    vocabulary_size: int = 4000

    def __post_init__(self) -> None:
        if self.vocabulary_size <= len(SPECIAL_TOKENS):
            raise ValueError(
                f"vocabulary_size is {self.vocabulary_size}; it must be above "
                f"{len(SPECIAL_TOKENS)}, the number of special tokens."
            )


def train_text_tokenizer(
    captions: Iterable[str], settings: TextTokenizerSettings
) -> PreTrainedTokenizerFast:
    """WordPiece as BERT uses it: lower case, each Chinese character a word of its own. But accents
    stay: in most languages that have them a letter without is another one.

    The same captions give the same tokenizer.

    Raises:
        UserError: there is no caption with a word in it.
    """
    normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.BertNormalizer(lowercase=True, strip_accents=False)]
    )
    words = pre_tokenizers.BertPreTokenizer()
    normalized = [
        normalizer.normalize_str(as_unicode(caption[:LONGEST_CAPTION])) for caption in captions
    ]
    inside = {
        letter
        for caption in normalized
        for word, _ in words.pre_tokenize_str(caption)
        for letter in word[1:]
    }
    special_tokens, size = list(SPECIAL_TOKENS.values()), settings.vocabulary_size
    vocabulary = train_word_pieces(
        normalized,
        words,
        size,
        first=special_tokens + sorted(INSIDE + letter for letter in inside),
        letters=max(1, size - len(special_tokens) - len(inside)),
    )
    if len(vocabulary) == len(special_tokens):
        raise UserError("there are no captions to train a text tokenizer on; check text_column.")
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = words
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL_TOKENS)


def character_tokenizer(alphabet: str) -> PreTrainedTokenizerFast:
    """Each character of an alphabet is a token, in its order after the special ones; capitals are
    small letters."""
    tokens = [*SPECIAL_TOKENS.values(), *alphabet]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL_TOKENS)


def load_text_tokenizer(path: str | Path) -> PreTrainedTokenizerBase:
    """A tokenizer from a folder or the hub, with padding, [CLS], [SEP] and [BOS] of its own.

    What it lacks is mapped where it has a token for the purpose (end of text is a [SEP], beginning
    of text a [CLS]) and added where it has none, so that the four ids always differ.

    Raises:
        UserError: there is no tokenizer at `path`, or it cannot be read.
    """
    try:
        # Without this it asks on the terminal whether to run code that came with the folder.
        tokenizer = AutoTokenizer.from_pretrained(
            local_path(path, "text tokenizer") or str(path), trust_remote_code=False
        )
    except Exception as error:  # whatever a damaged file makes the library raise
        reason = in_short(error)
        raise UserError(f"the text tokenizer {path} cannot be loaded ({reason}).") from error
    _complete_special_tokens(tokenizer)
    return tokenizer


def _complete_special_tokens(tokenizer: PreTrainedTokenizerBase) -> None:
    taken: set[str] = set()
    for role, candidates in (
        ("sep_token", ["sep_token", "eos_token"]),
        ("cls_token", ["cls_token", "bos_token"]),
        ("bos_token", ["bos_token"]),
        ("pad_token", ["pad_token"]),
    ):
        present = [getattr(tokenizer, candidate) for candidate in candidates]
        token = next((token for token in present if token and token not in taken), None)
        token = token or SPECIAL_TOKENS[role]
        tokenizer.add_special_tokens({role: token})
        taken.add(token)


@dataclass(frozen=True)
class EncodedText:
    """ids: [CLS] … [SEP]. unknown: how many of them are [UNK]. truncated: whether it was cut."""

    ids: list[int]
    unknown: int
    truncated: bool = False


@dataclass(frozen=True)
class EncodedAnswer(EncodedText):
    """ids: [CLS] question [SEP] [BOS] answer [SEP]. question_length: of them up to the first
    [SEP]."""

    question_length: int = 0


class TextCodec:
    """Text to ids as the sequence wants them, and ids to text as people write it."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self.vocabulary_size = len(tokenizer)
        self.pad_id: int = tokenizer.pad_token_id
        self.cls_id: int = tokenizer.cls_token_id
        self.sep_id: int = tokenizer.sep_token_id
        self.bos_id: int = tokenizer.bos_token_id
        unknown = tokenizer.unk_token_id  # of some kinds it is their end of text
        taken = (self.pad_id, self.cls_id, self.sep_id, self.bos_id)
        self.unk_id: int | None = None if unknown in taken else unknown

    def encode_prompt(self, text: str, positions: int) -> EncodedText:
        """A user's prompt -> [CLS] … [SEP], at most `positions` ids.

        Raises:
            UserError: the prompt is empty or too long.
        """
        encoded = self._encode(text)
        if len(encoded.ids) == 2:
            raise UserError(f"the prompt {text!r} is empty; say what the picture should show.")
        if len(encoded.ids) > positions:
            raise UserError(
                f"the prompt {_beginning(text)!r} has {len(encoded.ids)} tokens with [CLS] and "
                f"[SEP], but the model has {positions} text positions; shorten it."
            )
        return encoded

    def encode_question(self, text: str, positions: int) -> EncodedText:
        """A user's question -> [CLS] … [SEP], so long that [BOS] and an answer's first token find
        room in `positions`.

        Raises:
            UserError: the question is empty or too long.
        """
        encoded = self._encode(text)
        if len(encoded.ids) == 2:
            raise UserError(f"the question {text!r} is empty; ask something about the picture.")
        if len(encoded.ids) > positions - 2:
            raise UserError(
                f"the question {_beginning(text)!r} has {len(encoded.ids)} tokens with [CLS] and "
                f"[SEP], which leaves none of the model's {positions} text positions for an "
                "answer; shorten it."
            )
        return encoded

    def encode_answer(self, question: str, answer: str, positions: int) -> EncodedAnswer:
        """A question with its answer for training. Where they are too long, the question is cut
        down to half of the positions, then the answer; each keeps its [SEP]."""
        asked = self._encode(question[:LONGEST_CAPTION])
        said = self._encode(answer[:LONGEST_CAPTION])
        room = max(positions - len(said.ids), positions // 2)
        first = self._cut(asked.ids, room)
        second = [self.bos_id, *said.ids[1:]]
        ids = [*first, *self._cut(second, positions - len(first))]
        return EncodedAnswer(
            ids,
            asked.unknown + said.unknown,
            len(ids) < len(asked.ids) + len(said.ids),
            len(first),
        )

    def encode_caption(self, text: str, positions: int) -> EncodedText:
        """A caption for training: one that is too long is cut, its [SEP] kept."""
        encoded = self._encode(text[:LONGEST_CAPTION])
        if len(encoded.ids) <= positions:
            return replace(encoded, truncated=len(text) > LONGEST_CAPTION)
        return EncodedText(self._cut(encoded.ids, positions), encoded.unknown, True)

    def _cut(self, ids: list[int], most: int) -> list[int]:
        """At most so many, the last one [SEP]."""
        return ids if len(ids) <= most else [*ids[: most - 1], self.sep_id]

    def pad(self, texts: Sequence[EncodedText], positions: int) -> tuple[Tensor, Tensor]:
        """Texts of any lengths -> ids int64 [batch, length], and lengths int64 [batch] without the
        padding; `length` is the longest, rounded up to a multiple of 8 that is at most `positions`.
        """
        lengths = [len(text.ids) for text in texts]
        longest = -(-max(lengths) // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
        ids = torch.full((len(texts), min(longest, positions)), self.pad_id)
        for row, text in zip(ids, texts, strict=True):
            row[: len(text.ids)] = torch.tensor(text.ids)
        return ids, torch.tensor(lengths)

    def decode_caption(self, ids: Iterable[int]) -> str:
        """The text of ids up to the first [SEP], without special tokens."""
        words = list(ids)
        if self.sep_id in words:
            words = words[: words.index(self.sep_id)]
        return _join(str(self.tokenizer.decode(words, skip_special_tokens=True)))

    def _encode(self, text: str) -> EncodedText:
        text = as_unicode(text)
        # A literal "[SEP]" in a text is text, never the token.
        ids = self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        unknown = ids.count(self.tokenizer.unk_token_id)
        return EncodedText([self.cls_id, *ids, self.sep_id], unknown)


def _beginning(text: str) -> str:
    return text if len(text) <= 60 else text[:60] + "…"


def as_unicode(text: str) -> str:
    """Without halves of surrogate pairs, which JSON and command lines can bring along."""
    return text.encode("utf-8", "replace").decode()


CHINESE = r"[\u3000-\u303f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef]"
SPACE_TO_DROP = re.compile(rf"(?<={CHINESE})\s+(?={CHINESE})|\s+(?=[,.:;!?)\]])|(?<=[(\[])\s+")
# "medium - light" was "medium-light" far more often than not, and "dog ' s" was "dog's".
WITHIN_A_WORD = re.compile(r"(?<=\w)\s+(-)\s+(?=\w)|(?<=\w)\s+(['’])\s+(?=(?:s|t|d|m|re|ve|ll)\b)")


def _join(text: str) -> str:
    """Takes away the spaces that splitting into words put between characters and at signs."""
    text = WITHIN_A_WORD.sub(lambda found: found[1] or found[2], text)
    return SPACE_TO_DROP.sub("", text).strip()
