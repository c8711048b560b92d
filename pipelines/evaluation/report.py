"""What a person looks at after a run: pictures, their prompts and captions, and a short page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

import matplotlib

matplotlib.use("Agg")  # no screen is needed to write files
from matplotlib import pyplot as plt
from PIL import Image


@dataclass(frozen=True)
class Drawn:
    """A prompt, the picture drawn of it, and the caption read back from that picture."""

    prompt: str
    image: Image.Image
    caption: str


def draw_grid(path: Path, drawn: Sequence[Drawn], columns: int = 6) -> None:
    """Writes a PNG: each picture with its prompt above and its caption below."""
    rows = -(-len(drawn) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(2.3 * columns, 3.1 * rows), squeeze=False, layout="constrained"
    )
    for place in axes.flat:
        place.set_axis_off()
    for place, item in zip(axes.flat, drawn, strict=False):
        place.imshow(item.image, interpolation="nearest")
        place.set_title(fill(item.prompt, 28), fontsize=8)
        place.text(
            0.5,
            -0.04,
            fill(item.caption, 28),
            transform=place.transAxes,
            ha="center",
            va="top",
            fontsize=8,
            color="tab:green" if item.caption == item.prompt else "tab:gray",
        )
    figure.savefig(path, dpi=110)
    plt.close(figure)


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table; the first row is its head."""
    head, *body = [f"| {' | '.join(row)} |" for row in rows]
    rule = f"|{' --- |' * len(rows[0])}"
    return "\n".join([head, rule, *body])
