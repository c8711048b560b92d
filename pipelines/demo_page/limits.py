"""What a visitor may ask for; everything else is refused by a sentence."""

import io
import random
import re
from pathlib import Path

from PIL import Image

from pipelines.command_line import UserError
from pipelines.data.transforms import read_image

LOOPBACK = ("127.0.0.1", "localhost")
"""Hosts where only this machine's visitors come in."""
LONGEST_TEXT = 1000
"""Characters of a prompt or question. What the model has room for is less, and counted in tokens,
which takes long for a text without end."""
MOST_MEGABYTES = 10
MOST_PIXELS = 25_000_000
"""Of an uploaded picture; a larger one takes hundreds of megabytes to decode."""
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""Of uploads. Pillow reads others through programs of their own."""
MOST_CANDIDATES = 8
"""That a picture may be the best of."""
MOST_CAPTIONS = 5
MOST_WAITING = 32
"""Visitors in the queue."""


def checked_text(text: str | None, name: str) -> str:
    """A prompt or question (`name`) without space around it.

    Raises:
        UserError: it is longer than any that a model has room for.
    """
    text = (text or "").strip()
    if len(text) > LONGEST_TEXT:
        raise UserError(
            f"the {name} has {len(text)} characters; shorten it to {LONGEST_TEXT} or fewer."
        )
    return text


def checked_number(value: float | None, name: str, most: int) -> int:
    """A whole number from 1 to `most`.

    Raises:
        UserError: it is none.
    """
    if value is None or value not in range(1, most + 1):
        raise UserError(f"{name} is {value}; choose a whole number from 1 to {most}.")
    return int(value)


def checked_seed(text: str | None) -> int:
    """The seed that was given, or one by lot where none was.

    Raises:
        UserError: it is no whole number.
    """
    text = (text or "").strip()
    if not text:
        return random.SystemRandom().randrange(2**31)
    if not re.fullmatch(r"-?[0-9]{1,20}", text):
        raise UserError(f"seed is {text[:30]!r}; give a whole number from 0 on, or none.")
    return int(text)


def read_upload(path: str | Path | None) -> Image.Image:
    """The picture that was uploaded to `path`.

    Raises:
        UserError: there is none, it is too large, or it cannot be decoded.
    """
    if path is None:
        raise UserError("there is no picture; choose one first.")
    try:
        data = Path(path).read_bytes()
    except OSError:  # uploads do not stay for ever
        raise UserError("the picture is not here any more; choose it again.") from None
    if len(data) > MOST_MEGABYTES * 2**20:
        raise UserError(f"the picture has more than {MOST_MEGABYTES} MB; choose a smaller one.")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as header:
            width, height = header.size
    except Image.DecompressionBombError:
        raise UserError("the picture has too many pixels; choose a smaller one.") from None
    except Exception:  # whatever a damaged file makes a decoder raise
        raise UserError(
            f"the file is not a picture that can be read; choose one of {', '.join(FORMATS)}."
        ) from None
    if width * height > MOST_PIXELS:
        raise UserError(
            f"the picture has {width} x {height} pixels, more than the "
            f"{MOST_PIXELS // 1_000_000} million that this page reads; choose a smaller one."
        )
    return read_image(data)
