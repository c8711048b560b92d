"""What the studies share: their cells and runs, the pairs and figures, what seeds decide."""

from importlib import import_module

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.command_line import UserError
from pipelines.data.sources import Row, Texts, UnreadableRow
from pipelines.evaluation.scene_accuracy import scene_set

SETTINGS = ["seed=0"]
FOUND = {"minutes": 1.5}


@pytest.fixture
def cells(tmp_path):
    """One is finished."""
    cells = import_module("study.cells").Cells(tmp_path / "cells")
    cells.run("scenes_base_0", SETTINGS, lambda: FOUND)
    return cells


@pytest.fixture
def verdicts():
    return import_module("study.verdicts")


def never():
    raise AssertionError("it is finished")


def test_a_finished_cell_is_not_run_again(cells):
    assert cells.run("scenes_base_0", SETTINGS, never)["minutes"] == 1.5


def test_a_cell_of_other_settings_is_refused(cells):
    with pytest.raises(UserError, match=r"other settings \(seed=0, seed=1\)"):
        cells.run("scenes_base_0", ["seed=1"], never)


def test_an_interrupted_cell_leaves_nothing(cells):
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cells.run("scenes_row_0", SETTINGS, interrupted)
    assert cells.finished("scenes_row_0") is None


def test_half_a_cell_is_none(cells):
    """What a process that was killed left, or another one is writing."""
    before = cells.all()
    (cells.folder / "writing.scenes_row_0.json").write_text('{"figures')
    assert cells.all() == before and len(before) == 1


def test_a_cell_is_left_to_the_process_that_is_at_it(cells):
    with cells.claimed("scenes_row_0", wait=False) as ours:
        assert ours
        assert cells.run("scenes_row_0", SETTINGS, never, wait=False) is None
    assert cells.run("scenes_row_0", SETTINGS, lambda: FOUND, wait=False)["minutes"] == 1.5


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    cells = import_module("study.cells")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be made"):
        cells.Cells(tmp_path / "file")


def test_a_page_has_its_cells_beside_it_and_says_where_they_were_run(cells, tmp_path):
    page, anew = import_module("study.page"), import_module("study.cells").Cells(tmp_path / "anew")
    page.write_with_cells(tmp_path / "page.md", "# A page\n", cells)
    assert (tmp_path / "page.md").read_text() == "# A page\n"
    anew.restore(tmp_path / "page.json")
    assert anew.all() == cells.all()
    (machine,) = page.machines(cells, left_out=["threads"])
    assert "torch" in machine and "threads" not in machine and "date" not in machine
    with pytest.raises(UserError, match="is a folder"):
        page.page_file(str(tmp_path), tmp_path / "page.md")


def test_a_run_begun_with_other_settings_is_not_gone_on_with(tmp_path):
    runs = import_module("study.runs")
    begun = []

    def main(arguments):
        begun.append(arguments)
        (tmp_path / "run" / "state").mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / "metrics.jsonl").write_text('{"step": 1, "progress": 0.5}\n')

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            runs.train(main, "a.yaml", tmp_path / "run", ["training.steps=2"])
    assert ["--resume" in arguments for arguments in begun] == [False, True]
    with pytest.raises(UserError, match="was begun with other settings"):
        runs.train(main, "a.yaml", tmp_path / "run", ["training.steps=200"])
    assert len(begun) == 2


def test_intervals_are_students(verdicts):
    low, high = verdicts.interval([1.0, 2.0, 3.0])
    # t = 4.303 at two degrees of freedom, standard error 1 / sqrt(3)
    assert (low, high) == pytest.approx((2 - 4.303 / 3**0.5, 2 + 4.303 / 3**0.5))
    assert verdicts.interval([1.0]) == (-float("inf"), float("inf"))


@pytest.mark.parametrize(
    ("gains", "margin", "expected"),
    [
        ([0.10, 0.11, 0.12], 0.0, "HOLDS"),
        ([-0.10, -0.11, -0.12], 0.0, "FAILS"),
        ([-0.10, 0.11, 0.12], 0.0, "UNDECIDED"),
        ([-0.010, -0.011, -0.012], 0.02, "HOLDS"),
        ([-0.10, -0.11, -0.12], 0.02, "FAILS"),
        ([0.1], 0.0, "UNDECIDED"),
    ],
)
def test_verdicts(verdicts, gains, margin, expected):
    assert verdicts.verdict(gains, margin) == getattr(verdicts, expected)


class Rows:
    """Rows that are all there but one."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __getitem__(self, row):
        if row == 1:
            raise UnreadableRow("damaged")
        picture = np.full((40, 50, 3), 50 * row, np.uint8)
        return Row((row,), picture, Texts({"text": [f"number {row}", f"{row} by number"]}))


def test_rows_that_cannot_be_read_are_left_out():
    read_pairs = import_module("study.pairs").read_pairs
    pairs = read_pairs(Rows(4), (32, 32))
    assert pairs.captions == ["number 0", "number 2", "number 3"]
    assert pairs.references[0] == ["number 0", "0 by number"]
    assert all(picture.shape == (32, 32, 3) for picture in pairs.pictures)
    with pytest.raises(UserError, match="1 of 2 rows"):
        read_pairs(Rows(2), (32, 32))


class BySight:
    """A judge to whom pictures are their mean colours, and texts are nothing."""

    def image_features(self, images):
        pixels = np.stack([np.asarray(image) for image in images])
        return torch.tensor(pixels.mean(axis=(1, 2)) / 255)

    def text_features(self, captions):
        return torch.ones(len(captions), 3, dtype=torch.double)


def test_drawings_are_judged_set_by_set():
    figures, pairs = import_module("study.figures"), import_module("study.pairs")
    real = pairs.scene_pairs(*(scene_set("test", 10, objects, (32, 32)) for objects in (1, 2)))
    same = [Image.fromarray(picture) for picture in real.pictures]
    black = [Image.new("RGB", (32, 32))] * len(same)
    first = figures.judged(BySight(), real, [same, black], compared=1)
    second = figures.judged(BySight(), real, [black])
    both = figures.judged(BySight(), real, [same, black])
    assert first["distance"] == pytest.approx(0, abs=1e-6) and second["distance"] > 0.1
    for name in ("distance", "r_precision"):
        assert both[name] == pytest.approx((first[name] + second[name]) / 2)
    assert first["diversity"] == both["diversity"] > 0.1 and "diversity" not in second


def test_sets_share_no_noise():
    drawn = import_module("study.figures").drawn_sets(lambda texts, seeds: list(seeds), "abc")
    assert drawn == [[0, 1, 2], [3, 4, 5]]


def test_a_strip_has_pictures_side_by_side(tmp_path):
    red, blue = (Image.new("RGB", (4, 4), colour) for colour in ("red", "blue"))
    import_module("study.strips").write_strip(tmp_path / "strip.png", [red, blue], gap=2)
    with Image.open(tmp_path / "strip.png") as strip:
        assert strip.size == (10, 4)
        middle = [strip.getpixel((x, 0)) for x in (3, 4, 6)]
    assert middle == [(255, 0, 0), (255, 255, 255), (0, 0, 255)]
