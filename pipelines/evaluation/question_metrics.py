"""Answers that are right to the letter, by kind of question."""

from collections import Counter
from collections.abc import Sequence

import torch.distributed as dist

from pipelines.evaluation.figures import Figure, Missing

ALL = "all"


class ExactMatch:
    """The share of answers that equal a right one, but for case and white space.

    Kinds of questions are names that nobody knows before the last row, so these counts are not
    tensors, and every process learns the others' in `figures`.
    """

    def __init__(self) -> None:
        self.right: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()

    def update(
        self,
        answers: Sequence[str],
        right: Sequence[Sequence[str]],
        kinds: Sequence[str] | None = None,
    ) -> None:
        """Adds answers, each with all that would be right, and the kinds of their questions where
        the data tells them.

        Raises:
            ValueError: the lists are not of one length.
        """
        for row, (answer, accepted) in enumerate(zip(answers, right, strict=True)):
            hit = normal(answer) in {normal(text) for text in accepted}
            for kind in {ALL, kinds[row]} if kinds is not None else {ALL}:
                self.asked[kind] += 1
                self.right[kind] += hit

    def figures(self) -> dict[str, Figure]:
        """Shares by kind, those of all questions under "all" first. Every process must call it."""
        asked, right = _over_processes(self.asked), _over_processes(self.right)
        if not asked[ALL]:
            return {ALL: Missing("there were no questions.")}
        kinds = [ALL, *sorted(kind for kind in asked if kind != ALL)]
        return {kind: right[kind] / asked[kind] for kind in kinds}


def normal(answer: str) -> str:
    """Lower case, without spaces at the ends, one where there are several."""
    return " ".join(answer.lower().split())


def _over_processes(counts: Counter[str]) -> Counter[str]:
    if not (dist.is_available() and dist.is_initialized()):
        return counts
    everyones: list[Counter[str] | None] = [None] * dist.get_world_size()
    dist.all_gather_object(everyones, counts)
    return sum((some for some in everyones if some is not None), Counter[str]())
