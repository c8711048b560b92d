"""Sizes of pictures against the size of training, and which of them are the same."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pipelines.checking.quantiles import quantile
from pipelines.checking.rows import Part, Place, Seen, SeenPicture

MUCH_LOST = 1 / 3
"""Of a picture's area, outside of its center."""


@dataclass
class PictureFigures:
    """Of pictures that are seen one by one.

    size: (height, width) that they are brought to.
    enlarged: how many are smaller.
    cropped: of how many the center leaves out more than a third.
    plain: how many are of one colour throughout.
    """

    size: tuple[int, int]
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    enlarged: int = 0
    cropped: int = 0
    plain: int = 0

    @property
    def pictures(self) -> int:
        return self.sizes.total()

    def add(self, picture: SeenPicture) -> None:
        height, width = self.size
        self.sizes[picture.width, picture.height] += 1
        scale = min(picture.width / width, picture.height / height)
        self.enlarged += scale < 1
        kept = scale**2 * width * height / (picture.width * picture.height)
        self.cropped += kept < 1 - MUCH_LOST
        self.plain += bool((picture.pixels == picture.pixels[0, 0]).all())

    def figures(self) -> dict[str, Any]:
        """For a report; sizes are width and height."""

        def at(share: float) -> tuple[int, int] | None:
            return quantile(self.sizes, share, lambda size: (size[0] * size[1], size))

        return {
            "pictures": self.pictures,
            "size_of_training": {"height": self.size[0], "width": self.size[1]},
            "width_and_height": {"smallest": at(0), "median": at(0.5), "largest": at(1)},
            "enlarged": self.enlarged,
            "cropped_by_a_third": self.cropped,
            "of_one_colour": self.plain,
        }


class Member(NamedTuple):
    """A row among those of the same picture."""

    part: int
    place: Place
    captions: int  # their hash


@dataclass
class Duplicates:
    """Which rows have the same picture, pixel by pixel as it is stored."""

    parts: list[Part]
    _first: dict[bytes, Member] = field(default_factory=dict)
    _groups: dict[bytes, list[Member]] = field(default_factory=dict)

    def add(self, part: int, row: Seen) -> None:
        assert row.picture is not None
        member = Member(part, row.place, hash(tuple(sorted(row.texts.all_captions))))
        first = self._first.setdefault(row.picture.digest, member)
        if first is not member:
            self._groups.setdefault(row.picture.digest, [first]).append(member)

    @property
    def superfluous(self) -> int:
        """Rows whose picture an earlier one has."""
        return sum(len(group) - 1 for group in self._groups.values())

    @property
    def otherwise_captioned(self) -> int:
        """Pictures that several rows have with different captions."""
        groups = self._groups.values()
        return sum(len({member.captions for member in group}) > 1 for group in groups)

    @property
    def in_both_roles(self) -> int:
        """Pictures that are trained on and validated on."""
        return sum(len(roles) > 1 for roles in map(self._roles, self._groups.values()))

    def _roles(self, group: list[Member]) -> set[str]:
        return {self.parts[member.part].role for member in group}

    def names(self) -> Iterator[list[str]]:
        """The rows of each group, by name."""
        for group in self._groups.values():
            yield [self.parts[member.part].name(member.place) for member in group]

    def figures(self) -> dict[str, Any]:
        """For a report."""
        return {
            "superfluous_rows": self.superfluous,
            "pictures": len(self._groups),
            "with_different_captions": self.otherwise_captioned,
            "in_training_and_validation": self.in_both_roles,
        }
