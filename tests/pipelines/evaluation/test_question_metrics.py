import pytest

from pipelines.evaluation.figures import Missing
from pipelines.evaluation.question_metrics import ExactMatch


def test_answers_by_kind():
    match = ExactMatch()
    match.update(
        [" Red", "two  apples"], [["red"], ["2 apples", "Two apples"]], ["colour", "count"]
    )
    match.update(["blue", ""], [["green"], ["yes"]], ["colour", "yes/no"])
    figures = match.figures()
    assert figures == {"all": 0.5, "colour": 0.5, "count": 1, "yes/no": 0}
    assert next(iter(figures)) == "all"


def test_answers_without_kinds_and_no_answers():
    match = ExactMatch()
    assert isinstance(match.figures()["all"], Missing)
    match.update(["红色"], [["红色"]])
    assert match.figures() == {"all": 1}


def test_a_kind_of_the_name_all_counts_once():
    match = ExactMatch()
    match.update(["a"], [["a"]], ["all"])
    assert match.figures() == {"all": 1} and match.asked["all"] == 1


def test_lists_of_other_lengths():
    with pytest.raises(ValueError):
        ExactMatch().update(["a"], [])
