"""Which unreadable rows stop a run."""

from pipelines.checking.quantiles import quantile
from pipelines.checking.reading import PartCounts, ReadingFigures
from pipelines.checking.rows import Part, TableRows, Unreadable
from pipelines.data.sources import Subset


def counts(rows: int, unreadable: set[int], weight: float = 1.0, role="training") -> PartCounts:
    source = Subset(None, range(rows))  # never read
    found = PartCounts(Part(role, "pictures", "train", weight, True, TableRows(source)))
    for row in range(rows):
        found.add(Unreadable((row,), f"cannot be decoded ({row})") if row in unreadable else row)
    return found


def test_a_stretch_that_reading_cannot_leave():
    assert counts(2000, set(range(300, 399))).lost_stretch() is None
    assert counts(2000, set(range(300, 400))).lost_stretch().place == (300,)
    # After the last row comes the first.
    around = set(range(1950, 2000)) | set(range(50))
    assert counts(2000, around).lost_stretch().place == (1950,)
    assert counts(2000, around - {7}).lost_stretch() is None
    assert counts(4, {0, 1, 2, 3}).lost_stretch().place == (0,)
    assert counts(4, {0, 1, 3}).lost_stretch() is None
    assert counts(0, set()).lost_stretch() is None


def test_shares_are_those_of_samples():
    few, many = counts(1000, set(range(0, 200, 2))), counts(10, {0, 5})
    assert list(ReadingFigures([few]).problems()) == []  # a tenth, and not more
    assert ReadingFigures([few, many]).share == (0.1 + 0.2) / 2
    (problem,) = ReadingFigures([few, many]).problems()
    assert problem.startswith("102 of 1010 rows cannot be read (row 0 cannot be decoded (0); ")
    many.part.__dict__["weight"] = 0.0
    assert list(ReadingFigures([few, many]).problems()) == []


def test_rows_that_are_validated_on_are_not_trained_on():
    training, validation = counts(100, set()), counts(10, {1, 2, 3}, role="validation")
    assert list(ReadingFigures([training, validation]).problems()) == []
    validation = counts(10, set(range(10)), role="validation")
    (problem,) = ReadingFigures([training, validation]).problems()
    assert problem.startswith("none of 10 rows from row 0 on can be read")


def test_kinds_of_what_is_wrong():
    kinds = ReadingFigures([counts(20, {3, 7})]).kinds()
    assert kinds == {"cannot be decoded": ["row 3", "row 7"]}


def test_quantiles_of_counts():
    lengths = {3: 1, 5: 2, 9: 1}
    assert [quantile(lengths, share) for share in (0, 0.25, 0.5, 0.75, 0.76, 1)] == [
        3,
        3,
        5,
        5,
        9,
        9,
    ]
    assert quantile({}, 0.5) is None
