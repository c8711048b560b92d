"""Rows that the study measures its arms on."""

from importlib import import_module

import numpy as np
import pytest

from pipelines.command_line import UserError
from pipelines.data.sources import Row, Texts, UnreadableRow


class Rows:
    """Rows that are all there but one."""

    length = 5

    def __getitem__(self, row):
        if row == 1:
            raise UnreadableRow("damaged")
        picture = np.full((40, 50, 3), 50 * row, np.uint8)
        return Row((row,), picture, Texts({"text": [f"number {row}", f"{row} by number"]}))


def test_rows_that_cannot_be_read_are_counted_and_left_out():
    read_pairs = import_module("reproduction_study.pairs").read_pairs
    pairs = read_pairs(Rows(), (32, 32), most=3)
    assert pairs.captions == ["number 0", "number 2", "number 3"] and pairs.unreadable == 1
    assert pairs.references[0] == ["number 0", "0 by number"]
    assert all(picture.shape == (32, 32, 3) for picture in pairs.pictures)
    with pytest.raises(UserError, match="1 of 1 rows"):
        read_pairs(Rows(), (32, 32), most=1)
