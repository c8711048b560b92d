"""Pictures as a model sees them, each with its row and its caption, in one PNG."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from pipelines.checking.check import Shown
from pipelines.fonts import font_for, in_lines, writable
from pipelines.training.storage import replace_file

COLUMNS = 8
LEAST_WIDTH = 144
"""Of a picture on the sheet: smaller ones are shown enlarged, pixel by pixel."""
TYPE, LINES, GAP = 11, 3, 8
LEADING = TYPE + 3


def draw_contact_sheet(path: Path, shown: Sequence[Shown]) -> int:
    """Writes the sheet; returns how many captions have what no installed font can write."""
    height, width = shown[0].pixels.shape[:2]
    times = -(-LEAST_WIDTH // width)
    picture = (width * times, height * times)
    cell = (picture[0] + GAP, picture[1] + (LINES + 1) * LEADING + GAP)
    rows = -(-len(shown) // COLUMNS)
    sheet = Image.new("RGB", (min(len(shown), COLUMNS) * cell[0] + GAP, rows * cell[1]), "white")
    draw = ImageDraw.Draw(sheet)
    unwritten = 0
    for number, one in enumerate(shown):
        left, top = number % COLUMNS * cell[0] + GAP, number // COLUMNS * cell[1] + GAP
        image = Image.fromarray(one.pixels).resize(picture, Image.Resampling.NEAREST)
        sheet.paste(image, (left, top))
        below = top + picture[1]
        unwritten += sum(font_for(caption) is None for caption in one.captions)
        captions = " / ".join(one.captions)
        for text, colour, most in ((one.name, "grey", 1), (captions, "black", LINES)):
            written, file = writable(text)
            font = ImageFont.truetype(file, TYPE)
            for line in in_lines(written, font, picture[0], most):
                draw.text((left, below), line, font=font, fill=colour)
                below += LEADING
    replace_file(path, sheet.save)
    return unwritten
