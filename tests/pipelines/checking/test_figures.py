"""What is counted of rows, and which of them are shown."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from pipelines.checking.check import SHOWN, Lottery
from pipelines.checking.picture_figures import Duplicates, PictureFigures
from pipelines.checking.rows import Part, Seen, SeenPicture, TableRows, _look_at
from pipelines.checking.text_figures import TextFigures
from pipelines.data.sources import Subset, Texts

ROWS = 10 * SHOWN


def picture(width: int, height: int) -> SeenPicture:
    """The levels of all such pictures are the same, in rows of `width`."""
    levels = np.arange(width * height * 3, dtype=np.uint8).reshape(height, width, 3)
    return _look_at(levels, (4, 4))


@pytest.fixture
def part():
    source = Subset(None, range(ROWS))  # never read
    return Part("training", "pictures", "train", 1.0, True, TableRows(source))


def test_rows_are_shown_by_lot_of_all(part):
    one = picture(4, 4)
    numbers = []
    for seed in range(5):
        lottery = Lottery(np.random.default_rng(seed))
        for row in range(ROWS):
            lottery.offer(part, Seen((row,), Texts(), one))
        shown = [int(found.name.removeprefix("row ")) for found in lottery.shown]
        assert len(shown) == SHOWN and shown == sorted(set(shown))
        numbers += shown
    # As many of each quarter; 80 of 320 are expected, and 8 more or less are usual.
    assert all(50 < count < 110 for count in Counter(4 * n // ROWS for n in numbers).values())
    assert len({4 * n // ROWS for n in numbers}) == 4


def test_pictures_of_another_shape_are_others(part):
    duplicates = Duplicates([part])
    for number, (width, height) in enumerate([(6, 4), (4, 6), (6, 4)]):
        duplicates.add(0, Seen((number,), Texts(), picture(width, height)))
    assert list(duplicates.names()) == [["row 0", "row 2"]]


def test_a_third_of_the_area_is_much():
    for size, cropped in (((40, 27), 0), ((40, 26), 1), ((27, 40), 0), ((26, 40), 1)):
        figures = PictureFigures((4, 4))
        figures.add(picture(*size))
        assert figures.cropped == cropped, size


def test_lengths_of_texts():
    codec = SimpleNamespace(vocabulary_size=7)
    figures = TextFigures(codec, 64, Counter({5: 18, 9: 1, 30: 1})).figures()
    assert figures["tokens"] == {"median": 5, "95_percent_within": 9, "longest": 30}
    assert figures["unknown_token_share"] == 0
