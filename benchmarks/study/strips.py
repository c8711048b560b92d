"""Pictures side by side, kept as one file."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from pipelines.training.storage import replace_file


def write_strip(path: Path, images: Sequence[Image.Image], gap: int = 0) -> None:
    """A PNG.

    Args:
        images: squares of one size.
        gap: white pixels between them.
    """
    side = images[0].height
    strip = Image.new("RGB", ((side + gap) * len(images) - gap, side), "white")
    for place, image in enumerate(images):
        strip.paste(image, ((side + gap) * place, 0))
    replace_file(path, lambda file: strip.save(file, format="png"))
