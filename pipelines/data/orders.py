"""Sample number -> row: a pure function, so that the number of a step says all that it reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from pipelines.command_line import UserError
from pipelines.data.sources import Row, Source, Texts

Bookmark = dict[str, Any]
"""Where an order stands and what it was made for, as JSON."""


@dataclass(frozen=True)
class Sample:
    """A row of a source in an epoch: the same row may choose another caption in the next."""

    source: Source
    epoch: int
    row: int


class Order(Protocol):
    """What to read as sample 0, 1, 2, … of a run, epoch after epoch.

    Every process and worker of a run follows the same order and picks its own samples from it. One
    that only goes onward (a stream) finds its way by a bookmark; to others it says whether the data
    are what they were.
    """

    def __getitem__(self, number: int) -> Sample: ...

    @property
    def bookmark(self) -> Bookmark: ...

    def go_to(self, bookmark: Bookmark) -> str:
        """Goes on from a bookmark; says in a phrase what has changed since, if anything has.

        Raises:
            UserError: from this bookmark it cannot.
        """


class RowOrder:
    """Each epoch of a finite source in an order of its own; an endless source in its own."""

    def __init__(self, source: Source, seed: int) -> None:
        self.source, self.seed = source, seed
        self._permutations: dict[int, np.ndarray] = {}

    def __getitem__(self, number: int) -> Sample:
        length = self.source.length
        if length is None:
            return Sample(self.source, 0, number)
        epoch, position = divmod(number, length)
        if epoch not in self._permutations:
            # A batch spans two epochs at most where it is smaller than the source.
            self._permutations = {
                known: order for known, order in self._permutations.items() if known == epoch - 1
            }
            rng = np.random.default_rng((self.seed, epoch))
            self._permutations[epoch] = rng.permutation(length)
        return Sample(self.source, epoch, int(self._permutations[epoch][position]))

    @property
    def bookmark(self) -> Bookmark:
        return {"rows": self.source.length}

    def go_to(self, bookmark: Bookmark) -> str:
        before, now = bookmark.get("rows"), self.source.length
        if before == now:
            return ""
        return f"rows of the data {before} -> {now} (in another order from here on)"


class MixedOrder:
    """Several orders by weight: in each block of samples every one has its share, to the sample,
    and a block's samples are in an order of their own. Each goes through epochs of its own."""

    BLOCK = 1000

    def __init__(self, orders: Sequence[Order], weights: Sequence[float], seed: int) -> None:
        self.orders, self.seed = orders, seed
        shares = block_shares(weights, self.BLOCK)
        self._owners = np.repeat(np.arange(len(orders)), shares)
        self._shares = shares
        self._block = -1
        self._places: list[tuple[int, int]] = []  # of the block's samples: order, number within it

    def __getitem__(self, number: int) -> Sample:
        owner, own_number = self.place(number)
        return self.orders[owner][own_number]

    def place(self, number: int) -> tuple[int, int]:
        """Which order a sample is of, and its number there."""
        block, position = divmod(number, self.BLOCK)
        if block != self._block:
            owners = np.random.default_rng((self.seed, block)).permutation(self._owners)
            following = block * self._shares
            self._places = []
            for owner in owners:
                self._places.append((int(owner), int(following[owner])))
                following[owner] += 1
            self._block = block
        return self._places[position]

    @property
    def bookmark(self) -> Bookmark:
        return {"mixed": [order.bookmark for order in self.orders], "shares": self._shares.tolist()}

    def go_to(self, bookmark: Bookmark) -> str:
        marks = bookmark.get("mixed", [])
        if len(marks) != len(self.orders) or bookmark["shares"] != self._shares.tolist():
            raise UserError(
                "data.mixture has other sources or weights than when the run was saved, from which "
                "the order of the data follows; resume with those."
            )
        changes = [order.go_to(mark) for order, mark in zip(self.orders, marks, strict=True)]
        return ", ".join(change for change in changes if change)


def block_shares(weights: Sequence[float], block: int) -> np.ndarray:
    """How many of `block` samples each weight stands for: at least one, `block` in all (by largest
    remainders)."""
    exact = np.asarray(weights) / sum(weights) * block
    shares = np.maximum(1, np.floor(exact)).astype(int)
    while shares.sum() != block:
        missing = exact - shares
        if shares.sum() < block:
            shares[missing.argmax()] += 1
        else:
            shares[np.where(shares > 1, missing, np.inf).argmin()] -= 1
    return shares


class Mixture:
    """The rows of several finite sources by weight, for as long as all of them last."""

    def __init__(self, sources: Sequence[Source], weights: Sequence[float]) -> None:
        self.sources = sources
        self._order = MixedOrder([RowOrder(source, 0) for source in sources], weights, seed=0)
        self.length: int | None = None
        if any(source.length is not None for source in sources):
            number = 0
            while self._lasts(number):
                number += 1
            self.length = number

    def _lasts(self, number: int) -> bool:
        owner, row = self._order.place(number)
        length = self.sources[owner].length
        return length is None or row < length

    def __getitem__(self, row: int) -> Row:
        owner, number = self._order.place(row)
        return self.sources[owner][number]

    def texts(self, row: int) -> Texts:
        owner, number = self._order.place(row)
        return self.sources[owner].texts(number)
