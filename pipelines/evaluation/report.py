"""What a person looks at after a run: pictures, their prompts and captions, and a short page."""

import json
import logging
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no screen is needed to write files
from matplotlib import font_manager
from matplotlib import pyplot as plt
from PIL import Image

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


# Whichever of them is installed writes Chinese, which the default font lacks.
CHINESE_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",  # under this name matplotlib knows the collection of all languages
    "PingFang SC",
    "Microsoft YaHei",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
)


def draw_grid(path: Path, drawn: Sequence[Drawn], columns: int = 6) -> None:
    """Writes a PNG: each picture with its prompt above and its caption below, green where they are
    known to be right, red where they are known to be wrong."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    fonts = ["DejaVu Sans", *(font for font in CHINESE_FONTS if font in installed)]
    log = logging.getLogger("matplotlib.font_manager")
    before = log.level
    with plt.rc_context({"font.family": fonts}), warnings.catch_warnings():
        # Without such a font boxes stand for the characters; the page has the texts.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        log.setLevel(logging.ERROR)  # of another weight than wanted it will do
        _draw_grid(path, drawn, columns)
        log.setLevel(before)


def _draw_grid(path: Path, drawn: Sequence[Drawn], columns: int) -> None:
    rows = max(1, -(-len(drawn) // columns))  # nothing to show is an empty row
    figure, axes = plt.subplots(
        rows, columns, figsize=(2.3 * columns, 3.1 * rows), squeeze=False, layout="constrained"
    )
    for place in axes.flat:
        place.set_axis_off()
    for place, item in zip(axes.flat, drawn, strict=False):
        place.imshow(item.image, interpolation="nearest")
        place.set_title(
            fill(item.prompt, 28),
            fontsize=8,
            color=COLOURS[item.shows_prompt],
            parse_math=False,
        )
        place.text(
            0.5,
            -0.04,
            fill(item.caption, 28),
            transform=place.transAxes,
            ha="center",
            va="top",
            fontsize=8,
            color=COLOURS[item.caption_right],
            parse_math=False,
        )
    replace_file(path, lambda file: figure.savefig(file, dpi=110))
    plt.close(figure)


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
