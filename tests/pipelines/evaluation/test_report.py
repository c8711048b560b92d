"""Grids of pictures with their texts."""

import numpy as np
from PIL import Image

from pipelines.evaluation.report import Drawn, draw_grid

PRIVATE = "\ue123"
"""A character that no font has but by chance."""


def drawn(tmp_path, prompt, caption=""):
    picture = Image.new("RGB", (8, 8), "white")
    draw_grid(tmp_path / "grid.png", [Drawn(prompt, picture, caption)] * 2, columns=2)
    return np.asarray(Image.open(tmp_path / "grid.png").convert("L"))


def test_texts_stay_within_their_columns(tmp_path):
    """The widest letters, above and below; where pictures are white the texts alone are dark."""
    for texts in (("W" * 60, ""), ("", "W" * 60)):
        grid = drawn(tmp_path, *texts)
        middle = grid.shape[1] // 2
        assert (grid < 128).any() and (grid[:, middle - 4 : middle + 4] == 255).all()


def test_characters_that_no_font_has_are_not_drawn_as_boxes(tmp_path):
    said = drawn(tmp_path, "(no font here has these characters)", "a \ufffd word")
    assert (drawn(tmp_path, PRIVATE, f"a {PRIVATE} word") == said).all()
