"""What the ratings of a sheet say of its systems."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from pipelines.evaluation.agreement import krippendorff_alpha, nominal, ordinal
from pipelines.evaluation.ratings import NO_DIFFERENCE, PREFERENCES, SCORES, Key, Ratings

RESAMPLES = 4000


@dataclass(frozen=True)
class Rater:
    """How far one has come: `answers` in all, and the prompts without an open question."""

    name: str
    answers: int
    finished: int


@dataclass(frozen=True)
class Mean:
    """Of all ratings of a system; the ends of its 95% confidence interval, None where a single
    prompt was rated, which says nothing of others."""

    mean: float
    low: float | None
    high: float | None
    ratings: int


@dataclass(frozen=True)
class Pair:
    """Prompts of which more raters chose the first than the second, and the other way round; the
    probability of a result as uneven, or more, if it were all chance (exact two-sided sign test).
    """

    first: str
    second: str
    first_preferred: int
    second_preferred: int
    p: float


@dataclass(frozen=True)
class Preference:
    """The share of answers that chose each system, and that saw no difference."""

    answers: int
    shares: dict[str, float]
    no_difference: float
    pairs: list[Pair]


@dataclass(frozen=True)
class Tally:
    """`scores` by system and question, `preferences` by question; Krippendorff's alpha by question
    where there are two raters or more, None where it is not defined."""

    sheet: str
    prompts: int
    raters: list[Rater]
    scores: dict[str, dict[str, Mean | None]]
    preferences: dict[str, Preference | None]
    agreement: dict[str, float | None]


class Answer(NamedTuple):
    """With the label resolved: `system` is the rated one, or None; `value` the rating, or the
    system that was chosen, or `NO_DIFFERENCE`."""

    prompt: str
    item: str
    system: str | None
    value: Any


def tally_ratings(key: Key, rated: Sequence[Ratings]) -> Tally:
    """All figures; the same every time."""
    by_question: dict[str, list[Answer]] = defaultdict(list)
    for ratings in rated:
        for question, answer in _resolve(key, ratings):
            by_question[question].append(answer)
    prompts = {answer.prompt for answers in by_question.values() for answer in answers}
    rows = {prompt: row for row, prompt in enumerate(sorted(prompts))}
    # How often each prompt is drawn [resample, prompt]: one draw for all figures.
    weights = np.random.default_rng(0).multinomial(
        len(rows), [1 / len(rows)] * len(rows), RESAMPLES
    )
    scores = {
        system: {
            score: _mean([a for a in by_question[score] if a.system == system], rows, weights)
            for score in SCORES
        }
        for system in key.systems()
    }
    agreement = {}
    if len(rated) > 1:
        for question in (*SCORES, *PREFERENCES):
            units: dict[tuple[str, str | None], list[Any]] = defaultdict(list)
            for answer in by_question[question]:
                units[answer.item, answer.system].append(answer.value)
            distances = ordinal if question in SCORES else nominal
            agreement[question] = krippendorff_alpha([*units.values()], distances)
    return Tally(
        key.sheet,
        len(key.items),
        [_progress(key, ratings) for ratings in rated],
        scores,
        {name: _preference(by_question[name], key.systems()) for name in PREFERENCES},
        agreement,
    )


def _resolve(key: Key, ratings: Ratings) -> Iterator[tuple[str, Answer]]:
    for name, value in ratings.answers.items():
        item, *label, question = name.split(".")
        systems = key.items[item].systems
        if label:
            system: str | None = systems[label[0]]
        else:
            system, value = None, systems.get(value, NO_DIFFERENCE)
        yield question, Answer(key.items[item].prompt, item, system, value)


def _progress(key: Key, ratings: Ratings) -> Rater:
    unanswered = {name.split(".")[0] for name in key.questions() if name not in ratings.answers}
    return Rater(ratings.rater, len(ratings.answers), len(key.items) - len(unanswered))


def _mean(answers: list[Answer], rows: dict[str, int], weights: np.ndarray) -> Mean | None:
    """Prompts are what is resampled, since the ratings of one prompt are not independent."""
    if not answers:
        return None
    sums, counts = np.zeros(len(rows)), np.zeros(len(rows))
    for answer in answers:
        sums[rows[answer.prompt]] += answer.value
        counts[rows[answer.prompt]] += 1
    low = high = None
    if (counts > 0).sum() > 1:
        drawn = weights @ counts
        means = (weights @ sums)[drawn > 0] / drawn[drawn > 0]
        low, high = np.percentile(means, [2.5, 97.5]).tolist()
    return Mean(float(sums.sum() / counts.sum()), low, high, len(answers))


def _preference(answers: list[Answer], systems: list[str]) -> Preference | None:
    if not answers:
        return None
    chosen = Counter(answer.value for answer in answers)
    by_prompt: dict[str, Counter[str]] = defaultdict(Counter)
    for answer in answers:
        by_prompt[answer.prompt][answer.value] += 1
    pairs = []
    for first, second in combinations(systems, 2):
        leads = [votes[first] - votes[second] for votes in by_prompt.values()]
        wins, losses = sum(lead > 0 for lead in leads), sum(lead < 0 for lead in leads)
        pairs.append(Pair(first, second, wins, losses, sign_test(wins, losses)))
    return Preference(
        len(answers),
        {system: chosen[system] / len(answers) for system in systems},
        chosen[NO_DIFFERENCE] / len(answers),
        pairs,
    )


def sign_test(wins: int, losses: int) -> float:
    """The exact two-sided p value: how probable so uneven a result, or a more uneven one, is among
    fair coins; 1 without any."""
    trials = wins + losses
    tail = ways = 1  # C(trials, 0), from which the next ones follow
    for successes in range(1, min(wins, losses) + 1):
        ways = ways * (trials - successes + 1) // successes
        tail += ways
    return min(1.0, 2 * tail / 2**trials)
