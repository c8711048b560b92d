"""Captions as words with spaces between them, as the caption metrics compare them."""

import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from pipelines.evaluation.java_programs import JavaError, run_java

# Han, kana, and what stands beyond the first plane.
CHARACTER = r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
LETTERS = rf"(?:(?!{CHARACTER})\w)+"
TOKEN = re.compile(rf"{CHARACTER}|{LETTERS}(?:[-'’]{LETTERS})*")
PIECE = re.compile(rf"{CHARACTER}|{LETTERS}")

PTB = "the tokenizer of the Penn Treebank"
PLAIN = "a plain one, words without punctuation, since java does not run"
BY_CHARACTER = "Chinese by character"


def tokenize(captions: Sequence[str]) -> tuple[list[str], str]:
    """Captions in lower case without punctuation, tokens apart by one space, and by what tokenizer.

    English ones go through the Penn Treebank's, as is usual, where Java is there, and through a
    plain one otherwise, which leaves "don't" whole: figures differ a little. Captions with Chinese
    characters are cut into these, Latin words whole, by whatever has been said of the others.
    """
    lines = [" ".join(caption.split()) for caption in captions]  # some white space ends a line
    chinese = [has_chinese(line) for line in lines]
    english = [line for line, other in zip(lines, chinese, strict=True) if not other]
    names = []
    tokens = english
    if english:
        try:
            tokens = _ptb(english)
            names.append(PTB)
        except JavaError:
            tokens = list(map(plain_tokens, english))
            names.append(PLAIN)
    if any(chinese):
        names.append(BY_CHARACTER)
    rest = iter(tokens)
    found = [
        plain_tokens(line) if other else next(rest)
        for line, other in zip(lines, chinese, strict=True)
    ]
    return found, "; ".join(names)


def has_chinese(caption: str) -> bool:
    return re.search(CHARACTER, caption) is not None


def plain_tokens(caption: str) -> str:
    """Lower case; words and Chinese characters, each by itself; no punctuation."""
    return " ".join(TOKEN.findall(caption.lower()))


def equals_one_of(given: Sequence[str], caption: str) -> bool:
    """Word by word, whatever case and punctuation, hyphens too; of signs alone ("-", "?!") sign by
    sign."""

    def compared(text: str) -> list[str]:
        return PIECE.findall(text.lower()) or ["".join(text.split())]

    return compared(caption) in map(compared, given)


def _ptb(lines: list[str]) -> list[str]:
    """By the program that comes with pycocoevalcap.

    Not through its class, which writes beside its own files, where not everyone may, and takes a
    failure for captions without words.

    Raises:
        JavaError: it does not run.
    """
    from pycocoevalcap.tokenizer import ptbtokenizer

    said = run_java(
        [
            *(
                "-cp",
                ptbtokenizer.STANFORD_CORENLP_3_4_1_JAR,
                "edu.stanford.nlp.process.PTBTokenizer",
            ),
            *("-preserveLines", "-lowerCase", "-encoding", "UTF-8"),
        ],
        Path(ptbtokenizer.__file__).parent,
        "".join(f"{line}\n" for line in lines),
    )
    found = said.split("\n")[: len(lines)]
    if len(found) < len(lines):
        raise JavaError(f"it read {len(lines)} captions and wrote {len(found)}")
    return [
        " ".join(word for word in line.split() if word not in ptbtokenizer.PUNCTUATIONS)
        for line in found
    ]


def tokenize_all(
    candidates: Sequence[str], references: Sequence[Sequence[str]]
) -> tuple[list[str], list[list[str]], str]:
    """`tokenize` for both at once, which starts Java once."""
    tokens, name = tokenize([*candidates, *chain.from_iterable(references)])
    rest = iter(tokens[len(candidates) :])
    return tokens[: len(candidates)], [[next(rest) for _ in texts] for texts in references], name
