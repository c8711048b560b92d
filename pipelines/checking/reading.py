"""How many rows can be read, and whether a run stops for want of them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pipelines.checking.rows import Part, Unreadable
from pipelines.data.batches import (
    MAX_UNREADABLE_SHARE,
    NEIGHBOURS_TO_TRY,
    ROWS_TO_NAME,
    ReadingCounts,
)

RISKY_SHARE = MAX_UNREADABLE_SHARE / 2
"""By chance, a run may meet more of them than a tenth."""


@dataclass
class PartCounts:
    """Rows of one part in the order of a run's neighbours."""

    part: Part
    rows: int = 0
    unreadable: list[tuple[int, Unreadable]] = field(default_factory=list)

    def add(self, row: object) -> None:
        if isinstance(row, Unreadable):
            self.unreadable.append((self.rows, row))
        self.rows += 1

    @property
    def share(self) -> float:
        """Of rows that cannot be read."""
        return len(self.unreadable) / self.rows if self.rows else 0.0

    def said(self, row: Unreadable) -> str:
        """The row's name and what is wrong with it."""
        return f"{self.part.name(row.place)} {row.reason}"

    def lost_stretch(self) -> Unreadable | None:
        """The first of so many rows one after the other that reading gives up there; after the last
        row comes the first."""
        numbers = [number for number, _ in self.unreadable]
        around = numbers + [number + self.rows for number in numbers]
        for n in range(len(numbers)):
            end = n + min(NEIGHBOURS_TO_TRY, self.rows) - 1
            if end < len(around) and around[end] - around[n] == end - n:
                return self.unreadable[n][1]
        return None


@dataclass
class ReadingFigures:
    """Of all parts."""

    parts: list[PartCounts]

    def rows(self, role: str) -> int:
        return sum(one.rows for one in self.parts if one.part.role == role)

    @property
    def unreadable(self) -> int:
        return sum(len(one.unreadable) for one in self.parts)

    @property
    def share(self) -> float:
        """Of a run's samples that cannot be read."""
        training = [one for one in self.parts if one.part.role == "training"]
        weight = sum(one.part.weight for one in training)
        return sum(one.share * one.part.weight for one in training) / weight

    def said(self) -> Iterator[str]:
        """Every row that cannot be read, and why."""
        for one in self.parts:
            for _, row in one.unreadable:
                yield one.said(row)

    def kinds(self) -> dict[str, list[str]]:
        """The rows' names by what is wrong, the most frequent first."""
        found: dict[str, list[str]] = {}
        for one in self.parts:
            for _, row in one.unreadable:
                found.setdefault(_kind(row.reason), []).append(one.part.name(row.place))
        return dict(sorted(found.items(), key=lambda kind: -len(kind[1])))

    def problems(self) -> Iterator[str]:
        """Why a run would stop, in its own words."""
        if self.share > MAX_UNREADABLE_SHARE:
            training = ReadingFigures([p for p in self.parts if p.part.role == "training"])
            reasons = dict.fromkeys(training.said())
            counts = ReadingCounts(self.rows("training"), training.unreadable, reasons=reasons)
            yield f"{counts.unreadable_rows()}, more than a tenth; mend or remove them."
            return
        for one in self.parts:
            if (first := one.lost_stretch()) is not None:
                yield (
                    f"none of {min(NEIGHBOURS_TO_TRY, one.rows)} rows from "
                    f"{one.part.name(first.place)} on can be read ({one.said(first)}); mend or "
                    "remove them."
                )

    def figures(self) -> dict[str, Any]:
        """For a report."""
        return {
            "training": self.rows("training"),
            "validation": self.rows("validation"),
            "unreadable": self.unreadable,
            "reasons": [
                {"reason": kind, "rows": len(rows), "first": rows[:ROWS_TO_NAME]}
                for kind, rows in self.kinds().items()
            ],
        }


def _kind(reason: str) -> str:
    """Without what differs from row to row: what a decoder says, and numbers."""
    said = re.sub(r"(cannot be decoded) \(.*\)", r"\1", reason)
    return re.sub(r"(?<!UTF-)\b\d+\b", "…", said)
