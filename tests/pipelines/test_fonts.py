"""Which font writes what, and where lines end."""

from PIL import ImageFont

from pipelines.fonts import font_for, in_lines, writable

PRIVATE = "\ue123"
"""A character that no font has but by chance."""


def test_a_font_with_every_character():
    assert font_for("plain words, äöü, Ωж").endswith("DejaVuSans.ttf")
    assert font_for(f"words {PRIVATE}") is None


def test_what_no_font_has_gives_way_and_the_rest_is_written():
    assert writable("plain\nwords") == ("plain words", font_for("a"))
    assert writable(f"café {PRIVATE}{PRIVATE} x") == ("café \ufffd x", font_for("é"))
    assert writable(PRIVATE) == ("(no font here has these characters)", font_for("a"))
    assert writable("") == ("", font_for("a"))


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
