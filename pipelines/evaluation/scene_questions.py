"""Answers scored on `scenes` by kind of question, beside what can be answered without looking."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.data.scenes import Question, questions, scene_at
from pipelines.data.scenes.questions import KINDS
from pipelines.evaluation.scene_accuracy import SceneSet, Share, in_turn, of_all

TRAINING_SCENES = 20_000
"""Whose questions tell the commonest answer to each."""


@dataclass(frozen=True)
class Asked:
    """Questions about the pictures of a scene set, each with the number of its picture."""

    numbers: list[int]
    questions: list[Question]

    def pictures(
        self, scenes: SceneSet, some: slice = slice(None), other: bool = False
    ) -> list[np.ndarray]:
        """Of some questions each one's picture, or that of the next scene."""
        numbers = [(number + other) % len(scenes.scenes) for number in self.numbers[some]]
        drawn = {number: scenes.picture(number) for number in set(numbers)}
        return [drawn[number] for number in numbers]


@dataclass(frozen=True)
class AnswerShares:
    """Exact answers, as shares of 1 by kind of question.

    right: of the model.
    another_picture: of the model when it is shown another scene, which it cannot know.
    commonest: of whoever gives each question the answer that training scenes give it most often.
    questions: how many of each kind.
    """

    right: dict[str, float]
    another_picture: dict[str, float]
    commonest: dict[str, float]
    questions: dict[str, int]


def ask(scenes: SceneSet, seed: int = 0, language: str = "en") -> Asked:
    """A question of each kind about each scene, as far as it allows one; the same every time."""
    found = [
        (number, question)
        for number, scene in enumerate(scenes.scenes)
        for question in questions(scene, np.random.default_rng((seed, number)), language)
    ]
    return Asked([number for number, _ in found], [question for _, question in found])


def commonest_answers(
    size: tuple[int, int], objects: Sequence[int], seed: int = 0, language: str = "en"
) -> dict[str, str]:
    """By question, what training scenes with so many objects answer most often."""
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    fewest, most, (height, width) = min(objects), max(objects), size
    for index in range(TRAINING_SCENES):
        scene = scene_at(seed, "train", index, fewest, most, height=height, width=width)
        for one in questions(scene, np.random.default_rng((seed, index)), language):
            answers[one.question][one.answer] += 1
    return {question: found.most_common(1)[0][0] for question, found in answers.items()}


def answer_shares(
    pipe: BidirectionalPipeline,
    scenes: SceneSet,
    commonest: dict[str, str],
    language: str = "en",
    share: Share = in_turn,
) -> AnswerShares:
    """All shares over the questions about a scene set."""
    asked = ask(scenes, language=language)
    texts = [one.question for one in asked.questions]
    kinds = Counter(one.kind for one in asked.questions)

    def answers(other: bool) -> list[str]:
        def said(some: slice) -> list[str]:
            return pipe.answer_questions(asked.pictures(scenes, some, other), texts[some])

        return of_all(len(texts), said, share)

    return AnswerShares(
        by_kind(asked, answers(other=False)),
        by_kind(asked, answers(other=True)),
        by_kind(asked, [commonest.get(text, "") for text in texts]),
        {kind: kinds[kind] for kind in KINDS if kind in kinds} | {"all": len(texts)},
    )


def by_kind(asked: Asked, said: Sequence[str]) -> dict[str, float]:
    """The share of exact answers of each kind, and of all."""
    right: dict[str, list[bool]] = defaultdict(list)
    for question, answer in zip(asked.questions, said, strict=True):
        right[question.kind].append(answer == question.answer)
        right["all"].append(answer == question.answer)
    return {n: sum(right[n]) / len(right[n]) for n in (*KINDS, "all") if n in right}
