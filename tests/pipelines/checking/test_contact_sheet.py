"""Contact sheets: what stands where, in which font."""

import numpy as np
from PIL import Image

from pipelines.checking.check import Shown
from pipelines.checking.contact_sheet import (
    COLUMNS,
    GAP,
    LEADING,
    LINES,
    draw_contact_sheet,
)

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


def test_captions_with_what_no_font_writes_are_counted_and_written_without_it(tmp_path):
    rows = [shown(0, "a word", f"café {PRIVATE}{PRIVATE}, red"), shown(1, PRIVATE)]
    assert draw_contact_sheet(tmp_path / "sheet.png", rows) == 2
    same = [shown(0, "a word", "café \ufffd, red"), shown(1, "(no font here has these characters)")]
    assert draw_contact_sheet(tmp_path / "same.png", same) == 0
    assert (tmp_path / "sheet.png").read_bytes() == (tmp_path / "same.png").read_bytes()
