"""Rows dealt in blocks."""

from dataclasses import replace

import numpy as np
import pytest

from pipelines.command_line import UserError
from pipelines.data.sources import QuestionAnswer, Row, Texts, UnreadableRow
from pipelines.evaluation.rows import Rows, by_lot


class Numbered:
    """Row n is a picture of level n; one in ten cannot be read."""

    def __init__(self, length, broken=True):
        self.length, self.broken = length, broken

    def __getitem__(self, row):
        if self.broken and row % 10 == 3:
            raise UnreadableRow("damaged")
        picture = np.full((8, 12, 3), row % 256, np.uint8)
        texts = Texts({"text": [f"row {row}"]}, {"q": [QuestionAnswer("q", str(row))]})
        return Row((row,), picture, texts)

    def texts(self, row):
        return Texts({"label": [f"class {row % 2}"]})


@pytest.mark.parametrize("processes", [1, 2, 5])
def test_processes_share_the_blocks_and_a_block_is_the_same_in_any(processes):
    shares = [Rows(Numbered(250), (4, 4), by_lot(250, 230)) for _ in range(processes)]
    blocks = [b for rank, rows in enumerate(shares) for b in rows.blocks(rank, processes)]
    blocks.sort(key=lambda block: block.number)
    assert [block.number for block in blocks] == [0, 1, 2]
    places = [place for block in blocks for place in block.places]
    # A lot draws 230 of 250, one in ten of which is damaged.
    assert len(places) + sum(rows.unreadable for rows in shares) == 230
    assert len(set(places)) == len(places) and places != sorted(places)
    alone = list(Rows(Numbered(250), (4, 4), by_lot(250, 230)).blocks(0, 1))
    assert [block.rows for block in blocks] == [block.rows for block in alone]
    assert blocks[2].places == alone[2].places
    for block in blocks:
        for place, picture, captions, asked in zip(
            block.places, block.pictures, block.captions, block.questions, strict=True
        ):
            assert picture.shape == (4, 4, 3) and picture[0, 0, 0] == place
            assert captions == [f"row {place}"] and asked[0].answer == str(place)
        assert block.prompts == [captions[0] for captions in block.captions]


def test_endless_data_give_their_first_rows():
    (block,) = Rows(Numbered(None, broken=False), (4, 4), by_lot(None, 7)).blocks(0, 1)
    assert block.places == list(range(7)) and block.labels == [""] * 7


def test_labels_are_read_beside():
    source = Numbered(20, broken=False)
    (block,) = Rows(source, (4, 4), by_lot(20, 20), labels=source).blocks(0, 1)
    assert block.labels == [f"class {place % 2}" for place in block.places]


def test_a_single_row_cannot_be_measured():
    with pytest.raises(UserError, match="there are 1 rows"):
        Rows(Numbered(1), (4, 4), by_lot(1, 100))


def test_rows_without_a_caption_are_left_out_where_captions_are_needed():
    class Silent(Numbered):
        def __getitem__(self, row):
            found = super().__getitem__(row)
            return found if row % 2 else replace(found, texts=Texts())

    rows = Rows(Silent(6, broken=False), (4, 4), range(6))
    (block,) = rows.blocks(0, 1)
    assert block.places == [1, 3, 5] and rows.unreadable == 3
    (block,) = Rows(Silent(6, broken=False), (4, 4), range(6), captions=False).blocks(0, 1)
    assert len(block.places) == 6
