"""Which of the installed fonts writes a text."""

from functools import cache
from pathlib import Path

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

from pipelines.evaluation.report import CHINESE_FONTS

FIRST = ("DejaVu Sans", *CHINESE_FONTS)
"""The first comes with matplotlib."""


def font_for(text: str) -> str | None:
    """The file of a font that has every character, None where no single one has."""
    needed = {ord(character) for character in text if not character.isspace()}
    return next((file for file in _files() if needed <= _characters(file)), None)


@cache
def _files() -> tuple[str, ...]:
    """Of upright fonts of usual weight and width, the best known ones first."""
    upright = {
        font.name: font.fname
        for font in font_manager.fontManager.ttflist
        if (font.style, font.stretch) == ("normal", "normal")
        and font.weight in (400, "normal", "regular")
        and _writes(font)
    }
    names = [*(name for name in FIRST if name in upright), *sorted(upright)]
    return tuple(upright[name] for name in dict.fromkeys(names))


def _writes(font: font_manager.FontEntry) -> bool:
    """Not so matplotlib's others, which are for formulas, and those that draw boxes for all."""
    own = Path(font.fname).is_relative_to(matplotlib.get_data_path())
    last_resort = font.name.replace(" ", "").lower().startswith("lastresort")
    return font.name in FIRST or not (own or last_resort)


@cache
def _characters(file: str) -> frozenset[int]:
    try:
        return frozenset(FT2Font(file).get_charmap())
    except (OSError, RuntimeError):  # of a damaged file, or a kind that it does not read
        return frozenset()
