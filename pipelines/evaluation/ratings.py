"""What a rating sheet asks, its key, and the files that raters send back."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.command_line import UserError

SCORES = {
    "clarity": "is the picture sharp, without blur, noise or broken parts?",
    "texture": "do surfaces and small details look rich and natural?",
    "relevance": "does the picture show what the text says, all of it and nothing against it?",
}
"""Asked of every picture, from 1 to 5 (ERNIE-ViLG, 2112.15283), in words for raters."""
PREFERENCES = {
    "quality": "Which picture has the best quality, whatever the text says?",
    "alignment": "Which picture fits the text best?",
}
"""Asked of the pictures of a prompt together (XMC-GAN, 2101.04702), in words for raters."""
VALUES = (1, 2, 3, 4, 5)
NO_DIFFERENCE = "="


@dataclass(frozen=True)
class Item:
    """One prompt of a sheet: its place among the prompts given, and which system drew the picture
    of which label."""

    prompt: str
    row: int
    systems: dict[str, str]


@dataclass(frozen=True)
class Key:
    """What raters must not see; items by the name that they bear in the sheet."""

    sheet: str
    items: dict[str, Item]

    def systems(self) -> list[str]:
        return sorted({system for item in self.items.values() for system in item.systems.values()})

    def questions(self) -> dict[str, tuple[int, ...] | tuple[str, ...]]:
        """The possible answers to each question by the name that it bears in files of ratings:
        `ITEM.LABEL.clarity` or `ITEM.quality`."""
        questions: dict[str, tuple[int, ...] | tuple[str, ...]] = {}
        for name, item in self.items.items():
            questions |= dict.fromkeys(
                (f"{name}.{label}.{score}" for label in item.systems for score in SCORES), VALUES
            )
            choices = (*item.systems, NO_DIFFERENCE)
            questions |= dict.fromkeys((f"{name}.{asked}" for asked in PREFERENCES), choices)
        return questions


@dataclass(frozen=True)
class Ratings:
    """One rater's answers by the names of `Key.questions`; unanswered ones are absent."""

    rater: str
    answers: dict[str, Any]


def read_key(path: str) -> Key:
    """
    Raises:
        UserError: it is not the key of a rating sheet, or damaged.
    """
    content = _read(path, "key")
    try:
        key = Key(
            _text(content["sheet"]),
            {
                name: Item(
                    _text(item["prompt"]),
                    int(item["row"]),
                    {_text(label): _text(system) for label, system in item["systems"].items()},
                )
                for name, item in content["items"].items()
            },
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(
            f"the key {path} is damaged, or no key of a rating sheet; give the file that was "
            "written along with the sheet."
        ) from error
    return key


def read_ratings(paths: Sequence[str], key: Key) -> list[Ratings]:
    """One file of each rater.

    Raises:
        UserError: a file is damaged, of another sheet, answers what was not asked, or is of a rater
            that another one is of; or there is no answer in any.
    """
    read: dict[str, tuple[str, Ratings]] = {}
    questions = key.questions()
    for path in paths:
        ratings = _read_ratings(path, key.sheet, questions)
        name = ratings.rater.casefold()
        if name in read:
            raise UserError(
                f"{read[name][0]} and {path} are both of the rater {ratings.rater!r}; give one "
                "file of each rater."
            )
        read[name] = path, ratings
    if not any(ratings.answers for _, ratings in read.values()):
        raise UserError(f"{', '.join(paths)}: there is no answer in it; let a rater begin.")
    return [ratings for _, ratings in read.values()]


def _read_ratings(
    path: str, sheet: str, questions: dict[str, tuple[int, ...] | tuple[str, ...]]
) -> Ratings:
    content = _read(path, "file of ratings")
    try:
        found, rater, answers = _text(content["sheet"]), content["rater"], content["answers"]
        ratings = Ratings(_text(rater).strip(), dict(answers.items()))
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"the file of ratings {path} is damaged, or none; let the rater save it again."
        ) from error
    if not ratings.rater:
        raise UserError(f"the file of ratings {path} does not say whose it is; fill in its rater.")
    if found != sheet:
        raise UserError(
            f"{path} rates the sheet {found!r} and the key is that of {sheet!r}; give the key that "
            "was written along with the rater's sheet."
        )
    for name, value in ratings.answers.items():
        if name not in questions:
            raise UserError(
                f"{path} answers {name!r}, which the sheet does not ask; let the rater save it "
                "again."
            )
        # True equals 1, and 2.0 equals 2, but neither is what the sheet writes.
        if value not in (choices := questions[name]) or type(value) is not type(choices[0]):
            raise UserError(
                f"{path} answers {name!r} with {value!r}, which is none of "
                f"{', '.join(map(str, choices))}; let the rater save it again."
            )
    return ratings


def _read(path: str, what: str) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"the {what} {path} cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"the {what} {path} is damaged: it is no JSON; take an undamaged copy of it."
        ) from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
