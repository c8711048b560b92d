"""Contact sheets: what stands where, in which font."""

import numpy as np
from PIL import Image, ImageFont

from pipelines.checking.check import Shown
from pipelines.checking.contact_sheet import (
    COLUMNS,
    GAP,
    LEADING,
    LINES,
    draw_contact_sheet,
    in_lines,
)
from pipelines.checking.fonts import font_for

PRIVATE = "\ue123"
"""A character that no font has but by chance."""


def shown(number: int, *captions: str) -> Shown:
    pixels = np.full((48, 72, 3), 10 * number, dtype=np.uint8)
    return Shown(f"row {number}", pixels, list(captions))


def test_pictures_in_rows_with_their_captions_below(tmp_path):
    rows = [shown(number, "a caption" * (number != 2)) for number in range(COLUMNS + 1)]
    assert draw_contact_sheet(tmp_path / "sheet.png", rows) == 0
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    height, width = 96 + (LINES + 1) * LEADING + GAP, 144 + GAP
    assert sheet.shape == (2 * height, COLUMNS * width + GAP, 3)
    for number in range(COLUMNS + 1):
        top, left = number // COLUMNS * height + GAP, number % COLUMNS * width + GAP
        assert (sheet[top : top + 96, left : left + 144] == 10 * number).all()
        below = sheet[top + 96 : top + 96 + LEADING * (LINES + 1), left : left + 144]
        assert (below[:LEADING] < 255).any()  # the row's name
        assert (below[LEADING:] < 255).any() == (number != 2)  # its caption


def test_captions_that_no_font_writes_are_counted_and_not_drawn_as_boxes(tmp_path):
    rows = [shown(0, "a word", PRIVATE), shown(1, PRIVATE)]
    assert draw_contact_sheet(tmp_path / "sheet.png", rows) == 2
    draw_contact_sheet(
        tmp_path / "same.png", [shown(0, "a word"), shown(1, "(no font here has these characters)")]
    )
    assert (tmp_path / "sheet.png").read_bytes() == (tmp_path / "same.png").read_bytes()


def test_a_font_with_every_character():
    assert font_for("plain words, äöü, Ωж").endswith("DejaVuSans.ttf")
    assert font_for(f"words {PRIVATE}") is None


def test_lines_break_at_spaces_and_end_in_dots():
    font = ImageFont.truetype(font_for("a"), 11)
    lines = in_lines("one two three four five six", font, 60, 9)
    assert " ".join(lines) == "one two three four five six" and len(lines) > 2
    assert all(font.getlength(line) <= 60 for line in lines)
    assert "".join(in_lines("x" * 50, font, 60, 99)) == "x" * 50
    cut = in_lines("one two three four five six seven", font, 60, 2)
    assert len(cut) == 2 and cut[-1].endswith("…") and font.getlength(cut[-1]) <= 60
    assert in_lines("", font, 60, 2) == []
    assert in_lines("W", font, 1, 2) == ["W"]
