"""Comparisons between two arms, over the cells of all seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from study.results import Results
from study.verdicts import NOTHING, interval, spread, verdict

from reproduction_study.arms import Dataset


@dataclass(frozen=True)
class Comparison:
    """That `better` beats `than`, on one data set.

    Attributes:
        better, than: an arm and a figure of it, each.
        lower: less of the figure is better.
        margin: `better` may even be worse by this share of `than`.
    """

    data: str
    better: tuple[str, str]
    than: tuple[str, str]
    lower: bool = False
    margin: float = 0.0


@dataclass(frozen=True)
class ReproductionResults(Results):
    """What the study has found of its data sets, which are here by name."""

    data: dict[str, Dataset]

    def minutes(self, data: str, *arms: str) -> str:
        """That arms trained for, one after the other; mean ± spread over seeds."""
        spent = [
            {seed: cell["minutes"] for seed, cell in self.cells(data, arm).items()} for arm in arms
        ]
        seeds = set.intersection(set(range(self.seeds)), *spent) if spent else ()
        return spread([sum(minutes[seed] for minutes in spent) for seed in seeds], 1)

    def gains(self, one: Comparison) -> list[float]:
        """How much better the better one is, for each seed that both have."""
        ours, theirs = (self.values(one.data, *which) for which in (one.better, one.than))
        sign = -1 if one.lower else 1
        return [sign * (ours[seed] - theirs[seed]) for seed in sorted(ours.keys() & theirs.keys())]

    def verdict(self, one: Comparison) -> str:
        """In words; of fewer seeds than were asked for there is none."""
        gains = self.gains(one)
        return verdict(gains, self._margin(one)) if len(gains) == self.seeds > 1 else NOTHING

    def judged(self, one: Comparison) -> str:
        """The verdict with the mean gain and its interval."""
        words, gains = self.verdict(one), self.gains(one)
        if words == NOTHING:
            return NOTHING
        low, high = interval(gains)
        return f"{words} ({fmean(gains):+.3f}, {low:+.3f} to {high:+.3f})"

    def _margin(self, one: Comparison) -> float:
        than: Sequence[float] = list(self.values(one.data, *one.than).values())
        return one.margin * fmean(than)
