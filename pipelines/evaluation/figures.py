"""What a metric comes to: a number, or why there is none."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Missing:
    """There is no number, and none is put in its place.

    Args:
        reason: one sentence: what lacks, and what to install or which option names it.
    """

    reason: str


Figure = float | Missing
Figures = dict[str, Figure | int | str]
"""By name, with what belongs beside them."""


def in_words(figure: Figure, digits: int = 3) -> str:
    """A figure for people, with so many digits after the point."""
    if isinstance(figure, Missing):
        return f"not measured: {figure.reason}"
    return f"{figure:.{digits}f}"
