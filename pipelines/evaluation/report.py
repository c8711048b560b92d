"""What a person looks at after a run: pictures, their prompts and captions, and a short page."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no screen is needed to write files
from matplotlib import pyplot as plt
from matplotlib.font_manager import FontProperties
from PIL import Image, ImageFont

from pipelines.fonts import in_lines, writable
from pipelines.markdown_tables import table
from pipelines.training.storage import replace_file
from unified_transformer import SamplingSettings


@dataclass(frozen=True)
class Drawn:
    """A prompt, the picture drawn of it, and the caption read back from that picture.

    `shows_prompt`: whether the picture shows what the prompt says; `caption_right`: whether the
    caption says what the picture shows; None where nobody can tell.
    """

    prompt: str
    image: Image.Image
    caption: str
    shows_prompt: bool | None = None
    caption_right: bool | None = None


COLOURS = {True: "tab:green", False: "tab:red", None: "black"}


WIDTH, HEIGHT = 2.3, 3.1
"""Of a picture with its texts, in inches."""
TYPE, LINES = 8, 5
"""In points, and the most of a text."""


def draw_grid(path: Path, drawn: Sequence[Drawn], columns: int = 6) -> None:
    """Writes a PNG: each picture with its prompt above and its caption below, green where they are
    known to be right, red where they are known to be wrong."""
    rows = max(1, -(-len(drawn) // columns))  # nothing to show is an empty row
    figure, axes = plt.subplots(
        rows, columns, figsize=(WIDTH * columns, HEIGHT * rows), squeeze=False, layout="constrained"
    )
    for place in axes.flat:
        place.set_axis_off()
    for place, item in zip(axes.flat, drawn, strict=False):
        place.imshow(item.image, interpolation="nearest")
        prompt, font = _in_lines(item.prompt)
        place.set_title(
            prompt, fontproperties=font, color=COLOURS[item.shows_prompt], parse_math=False
        )
        caption, font = _in_lines(item.caption)
        place.text(
            0.5,
            -0.04,
            caption,
            transform=place.transAxes,
            ha="center",
            va="top",
            fontproperties=font,
            color=COLOURS[item.caption_right],
            parse_math=False,
        )
    replace_file(path, lambda file: figure.savefig(file, dpi=110))
    plt.close(figure)


def _in_lines(text: str) -> tuple[str, FontProperties]:
    """As it has room above or below a picture, and what writes it."""
    written, file = writable(text)
    # Measured ten times larger, as pixels are coarse.
    font, width = ImageFont.truetype(file, 10 * TYPE), int(10 * 72 * 0.9 * WIDTH)
    return "\n".join(in_lines(written, font, width, LINES)), FontProperties(fname=file, size=TYPE)


def write_report(folder: Path, page: str, figures: dict[str, Any], name: str = "report") -> None:
    """Writes `NAME.json` and `NAME.md`, each whole or not at all."""
    texts = {f"{name}.json": json.dumps(figures, indent=2) + "\n", f"{name}.md": page}
    for file, text in texts.items():
        replace_file(folder / file, partial(Path.write_text, data=text, encoding="utf-8"))


def sampling_in_words(sampling: SamplingSettings) -> str:
    """The settings pictures were drawn with, for a page."""
    return ", ".join(f"{name} {value}" for name, value in asdict(sampling).items())


def texts_of(drawn: Sequence[Drawn]) -> str:
    """What stands above and below the pictures of a grid, as a table."""
    return table([("picture", "read back"), *((item.prompt, item.caption) for item in drawn)])
