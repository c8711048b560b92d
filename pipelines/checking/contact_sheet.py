"""Pictures as a model sees them, each with its row and its caption, in one PNG."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from pipelines.checking.check import Shown
from pipelines.checking.fonts import font_for
from pipelines.training.storage import replace_file

COLUMNS = 8
LEAST_WIDTH = 144
"""Of a picture on the sheet: smaller ones are shown enlarged, pixel by pixel."""
TYPE, LINES, GAP = 11, 3, 8
LEADING = TYPE + 3
UNWRITABLE = "(no font here has these characters)"


def draw_contact_sheet(path: Path, shown: Sequence[Shown]) -> int:
    """Writes the sheet; returns how many captions no installed font can write."""
    height, width = shown[0].pixels.shape[:2]
    times = -(-LEAST_WIDTH // width)
    picture = (width * times, height * times)
    cell = (picture[0] + GAP, picture[1] + (LINES + 1) * LEADING + GAP)
    rows = -(-len(shown) // COLUMNS)
    sheet = Image.new("RGB", (min(len(shown), COLUMNS) * cell[0] + GAP, rows * cell[1]), "white")
    draw = ImageDraw.Draw(sheet)
    unwritten, default = 0, font_for(UNWRITABLE) or ""
    for number, one in enumerate(shown):
        left, top = number % COLUMNS * cell[0] + GAP, number // COLUMNS * cell[1] + GAP
        image = Image.fromarray(one.pixels).resize(picture, Image.Resampling.NEAREST)
        sheet.paste(image, (left, top))
        below = top + picture[1]
        written = [caption for caption in one.captions if font_for(caption)]
        unwritten += len(one.captions) - len(written)
        caption = " ".join(" / ".join(written).split())
        if one.captions and not written:
            caption = UNWRITABLE
        for text, colour, most in ((one.name, "grey", 1), (caption, "black", LINES)):
            font = ImageFont.truetype(font_for(text) or default, TYPE)
            for line in in_lines(text, font, picture[0], most):
                draw.text((left, below), line, font=font, fill=colour)
                below += LEADING
    replace_file(path, sheet.save)
    return unwritten


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
