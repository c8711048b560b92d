"""Rows kept to look at."""

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.data.sources import QuestionAnswer
from pipelines.data.transforms import arrays_to_pixels
from pipelines.evaluation import gallery
from pipelines.evaluation.gallery import Gallery
from pipelines.evaluation.rows import Block
from pipelines.evaluation.subjects import Made, Reconstructed


def block_of(rows, errors, fits):
    """Grey pictures, reconstructed with an error of so many levels."""
    pictures = [np.full((8, 8, 3), 100, np.uint8) for _ in rows]
    again = [np.full((8, 8, 3), 100 + error, np.uint8) for error in errors]
    count = len(rows)
    asked = [[QuestionAnswer("q", "a")]] * count
    block = Block(
        0, list(rows), list(rows), pictures, [[f"row {r}"] for r in rows], asked, [""] * count
    )
    made = Made(
        Reconstructed(torch.zeros(count, 1, 1), arrays_to_pixels(np.stack(again))),
        drawn=[Image.fromarray(picture) for picture in again],
        prompts=[f"prompt {r}" for r in rows],
        fits=fits,
        said=[f"said {r}" for r in rows],
        answers=[["b"]] * count,
    )
    return block, made


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(gallery, "EXTREMES", 2)


def test_the_first_rows_and_the_extremes_stay(small):
    kept = Gallery(most=3)
    kept.update(*block_of([10, 11, 12, 13], [1, 50, 3, 20], [-1.0, -2.0, -3.0, -4.0]))
    kept.update(*block_of([0, 1], [2, 90], [-0.5, -9.0]))
    assert [row.row for row in kept.first] == [0, 1, 10]
    found = {name: [row.row for row in rows] for name, rows in kept.extremes.items()}
    assert found == {
        "best reconstructed": [10, 0],
        "worst reconstructed": [1, 11],
        "best drawn": [0, 10],
        "worst drawn": [1, 13],
    }
    row = kept.first[2]
    assert row.given == ["row 10"] and row.prompt == "prompt 10" and row.said == "said 10"
    assert row.answers == [("q", "a", "b")]
    assert (row.reconstructed == 101).all() and (row.real == 100).all()


def test_rows_of_several_processes_come_together(small):
    parts = [Gallery(2), Gallery(2)]
    parts[0].update(*block_of([0, 2], [5, 6], [-1.0, -2.0]))
    parts[1].update(*block_of([1, 3], [4, 7], [-3.0, -0.5]))

    class Both:
        def gather(self, value):
            return parts

    found = parts[0].of_all(Both())
    assert [row.row for row in found.first] == [0, 1]
    assert [row.row for row in found.extremes["best drawn"]] == [3, 0]
    assert [row.row for row in found.extremes["worst reconstructed"]] == [3, 2]


def test_what_a_subject_does_not_do_has_no_extremes():
    kept = Gallery()
    block, made = block_of([0, 1], [1, 2], None)
    kept.update(block, Made(said=made.said))
    assert kept.extremes["best drawn"] == kept.extremes["best reconstructed"] == []
    assert kept.first[0].drawn is None and kept.first[0].said == "said 0"


def test_pictures_of_other_prompts_stand_alone():
    kept = Gallery()
    block, made = block_of([0, 1], [1, 2], [0.5, 0.6])
    kept.update(block, Made(drawn=made.drawn, prompts=made.prompts, paired=False))
    (row, _) = kept.first
    assert row.real is None and row.given == [] and row.prompt == "prompt 0"
