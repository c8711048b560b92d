"""Which of the installed fonts writes a text, and how much of it in a line."""

from functools import cache
from itertools import groupby
from pathlib import Path

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from PIL import ImageFont

FIRST = (
    "DejaVu Sans",  # comes with matplotlib
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",  # under this name matplotlib knows the collection of all languages
    "PingFang SC",
    "Microsoft YaHei",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
)
MISSING = "\ufffd"
"""Stands for characters that a font lacks."""
UNWRITABLE = "(no font here has these characters)"


def font_for(text: str) -> str | None:
    """The file of a font that has every character, None where no single one has."""
    needed = _needed(text)
    return next((file for file in _files() if needed <= _characters(file)), None)


def writable(text: str) -> tuple[str, str]:
    """The text in one line as a font can write it, and the font's file: of all installed ones that
    which has the most of its characters."""
    text, needed = " ".join(text.split()), _needed(text)
    file = font_for(text) or max(_files(), key=lambda one: len(needed & _characters(one)))
    known = _characters(file)
    if needed and not needed & known:
        return UNWRITABLE, _files()[0]
    parts = groupby(text, lambda letter: letter == " " or ord(letter) in known)
    return "".join("".join(part) if writes else MISSING for writes, part in parts), file


def _needed(text: str) -> set[int]:
    return {ord(character) for character in text if not character.isspace()}


def in_lines(text: str, font: ImageFont.FreeTypeFont, width: int, most: int) -> list[str]:
    """The text in at most so many lines of `width` pixels, broken at spaces where there are any;
    what has no room gives way to dots."""
    lines: list[str] = []
    while text and len(lines) < most:
        line = _that_fits(text, font, width)
        rest = text[len(line) :]
        if rest and len(lines) == most - 1:
            return [*lines, _that_fits(text, font, width - font.getlength("…")) + "…"]
        if rest and not rest.startswith(" ") and " " in line:
            line = line[: line.rindex(" ")]
        lines.append(line)
        text = text[len(line) :].lstrip()
    return lines


def _that_fits(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """Its longest beginning, of a character at least."""
    end = 1
    while end < len(text) and font.getlength(text[: end + 1]) <= width:
        end += 1
    return text[:end]


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
