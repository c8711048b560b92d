"""Beam search over any next-token scores."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor


@dataclass
class Continuation:
    """A way to go on: its ids, its summed log-likelihood, and the open beam it extends."""

    ids: list[int]
    log_likelihood: float
    beam: int = 0

    def without_last(self) -> "Continuation":
        """Ended: the end token is counted in the likelihood and in the length, and is no id."""
        return Continuation(self.ids[:-1], self.log_likelihood, self.beam)

    def score(self, length_penalty: float) -> float:
        """Log-likelihood / length ** penalty; the length counts the end token."""
        return self.log_likelihood / (len(self.ids) + 1) ** length_penalty


def beam_search(
    scores_after: Callable[[Tensor, int], Tensor],
    select: Callable[[Tensor, int], None],
    first: Tensor,
    end: int,
    lengths: list[int],
    length_penalty: float,
    count: int = 1,
) -> list[list[Continuation]]:
    """The `count` best ended continuations of each row that `beams` open ones lead to, best first.

    `first` [batch, beams] holds the start token. `scores_after(last [batch * beams], position)`
    gives log-probabilities [batch * beams, vocabulary]; `select(rows [batch * beams], positions)`
    reorders its state. At most as many tokens as the row's of `lengths`, the end token included;
    where too few ended in time, the best open continuations follow. The search ends when no open
    beam can come among them any more. With beams >= vocabulary ** length it is exact.
    """
    batch, beams = first.shape
    open_beams = [[Continuation([], 0.0)] for _ in range(batch)]
    ended: list[list[Continuation]] = [[] for _ in range(batch)]
    last = first.flatten()
    for position in range(max(lengths)):
        scores = rearrange(scores_after(last, position), "(b beam) v -> b beam v", beam=beams)
        for b in range(batch):
            if position >= lengths[b]:
                continue
            best = extend(open_beams[b], scores[b], 2 * beams)
            ended[b] += [found.without_last() for found in best if found.ids[-1] == end]
            open_beams[b] = [found for found in best if found.ids[-1] != end][:beams]
        if all(
            position + 1 >= length or finished(done, going, beams, length, length_penalty, count)
            for done, going, length in zip(ended, open_beams, lengths, strict=True)
        ):
            break
        chosen = [pad(going, beams) for going in open_beams]
        rows = [b * beams + found.beam for b in range(batch) for found in chosen[b]]
        last = torch.tensor([found.ids[-1] for going in chosen for found in going]).to(first)
        select(torch.tensor(rows).to(first), position + 1)
    return [
        [*best_first(done, length_penalty), *best_first(going, length_penalty)][:count]
        for done, going in zip(ended, open_beams, strict=True)
    ]


def best_first(found: list[Continuation], length_penalty: float) -> list[Continuation]:
    """By their scores."""
    return sorted(found, key=lambda one: one.score(length_penalty), reverse=True)


def extend(going: list[Continuation], scores: Tensor, count: int) -> list[Continuation]:
    """The `count` likeliest one-token extensions, best first; `scores` [beams, vocabulary]."""
    so_far = torch.tensor([found.log_likelihood for found in going]).to(scores)
    totals = so_far[:, None] + scores[: len(going)]
    values, places = totals.flatten().topk(min(count, totals.numel()))
    found = []
    for value, place in zip(values.tolist(), places.tolist(), strict=True):
        beam, token = divmod(place, scores.shape[-1])
        if value > -torch.inf:
            found.append(Continuation([*going[beam].ids, token], value, beam))
    return found


def finished(
    done: list[Continuation],
    going: list[Continuation],
    beams: int,
    length: int,
    length_penalty: float,
    count: int,
) -> bool:
    """Whether enough have ended and no open one can come to be among the `count` best of them: not
    even the likeliest, going on for free to the length that flatters it most."""
    if not going:
        return True
    if len(done) < max(beams, count):
        return False
    to_beat = best_first(done, length_penalty)[count - 1].score(length_penalty)
    flattering = length if length_penalty > 0 else len(going[0].ids) + 1
    return going[0].log_likelihood / flattering**length_penalty <= to_beat


def pad(going: list[Continuation], beams: int) -> list[Continuation]:
    """The open beams, the last one repeated to `beams`; `extend` never reads the repeats."""
    return going + [going[-1]] * (beams - len(going)) if going else [Continuation([0], 0.0)] * beams
