"""The command that tallies what raters saved."""

import json
from dataclasses import replace
from math import isclose

import numpy as np
import pytest

from pipelines.evaluation.agreement import krippendorff_alpha, nominal, ordinal
from pipelines.evaluation.rating_tally import sign_test, tally_ratings
from pipelines.evaluation.ratings import Item, Key, Ratings
from pipelines.tally_ratings import main


def key_of(prompts):
    """The sheet of two systems; "ours" is A in odd items and B in even ones."""
    orders = [{"A": "ours", "B": "theirs"}, {"A": "theirs", "B": "ours"}]
    return Key("abc", {str(n + 1): Item(text, n, orders[n % 2]) for n, text in enumerate(prompts)})


KEY = key_of(["a cat", "a dog", "一只狗"])
ANNA = {
    "1.A.clarity": 5, "1.B.clarity": 3, "1.quality": "A", "1.alignment": "=",
    "2.A.clarity": 1, "2.B.clarity": 4, "2.quality": "B", "2.alignment": "A",
    "3.A.clarity": 3, "3.quality": "B",
}  # fmt: skip
BEN = {"1.A.clarity": 4, "1.quality": "A", "1.alignment": "B"}


@pytest.fixture
def files(tmp_path):
    """The key and two raters' files; what is given replaces what they say."""

    def write(anna=ANNA, ben=BEN, **changes):
        items = {
            name: {"prompt": item.prompt, "row": item.row, "systems": item.systems}
            for name, item in KEY.items.items()
        }
        (tmp_path / "key.json").write_text(json.dumps({"sheet": "abc", "seed": 0, "items": items}))
        for name, answers in (("Anna", anna), ("Ben", ben)):
            content = {"sheet": "abc", "rater": name, "answers": answers, **changes}
            (tmp_path / f"ratings-{name}.json").write_text(json.dumps(content))
        return [
            "--key", str(tmp_path / "key.json"),
            str(tmp_path / "ratings-Anna.json"), str(tmp_path / "ratings-Ben.json"),
        ]  # fmt: skip

    return write


def refusal(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and not said.out
    return said.err


def test_two_raters_by_hand(files, tmp_path, capsys):
    main([*files(), "--output", str(tmp_path / "tally")])
    out = capsys.readouterr().out
    found = json.loads((tmp_path / "tally/ratings.json").read_text(encoding="utf-8"))
    assert (tmp_path / "tally/ratings.md").read_text(encoding="utf-8").endswith(out)
    assert found["sheet"] == "abc" and found["prompts"] == 3
    assert found["raters"] == [
        {"name": "Anna", "answers": 10, "finished": 0},
        {"name": "Ben", "answers": 3, "finished": 0},
    ]
    ours, theirs = found["scores"]["ours"], found["scores"]["theirs"]
    assert ours["clarity"]["mean"] == (5 + 4 + 3 + 4) / 4 and ours["clarity"]["ratings"] == 4
    assert theirs["clarity"]["mean"] == 2 and theirs["clarity"]["ratings"] == 2
    assert ours["texture"] is None
    quality, alignment = found["preferences"]["quality"], found["preferences"]["alignment"]
    assert quality["answers"] == 4 and quality["shares"] == {"ours": 0.75, "theirs": 0.25}
    assert quality["no_difference"] == 0
    pair = {"first": "ours", "second": "theirs", "first_preferred": 2, "second_preferred": 1}
    assert quality["pairs"] == [{**pair, "p": 1}]  # the first prompt counts once, for both raters
    assert alignment["shares"] == {"ours": 0, "theirs": 2 / 3}
    assert isclose(alignment["no_difference"], 1 / 3)
    assert alignment["pairs"] == [{**pair, "first_preferred": 0, "second_preferred": 2, "p": 0.5}]
    assert "| ours | 4.00 [" in out and "| no difference |  |  |  | 0.000 | 0.333 |" in out
    assert "| ours : theirs | fits the text best | 0 : 2 | 0.5 |" in out
    assert "| Anna | 10 | 0 |" in out and "alpha" in out


def test_one_rater_and_one_prompt(files, capsys):
    arguments = files(anna={"2.A.relevance": 2})
    main(arguments[:3])
    out = capsys.readouterr().out
    assert "| theirs | – | – | 2.00 | – | – |" in out and "alpha" not in out


def test_a_finished_prompt_is_one_without_an_open_question():
    first = {name: choices[0] for name, choices in KEY.questions().items() if name[0] == "1"}
    some = tally_ratings(KEY, [Ratings("Anna", {**first, "2.quality": "A"})])
    assert len(first) == 8
    assert (some.raters[0].answers, some.raters[0].finished) == (9, 1)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sheet": "xyz"}, "rates the sheet 'xyz' and the key is that of 'abc'"),
        ({"rater": "Anna"}, "are both of the rater 'Anna'"),
        ({"rater": "  "}, "does not say whose it is"),
        ({"rater": 3}, "is damaged"),
        ({"answers": []}, "is damaged"),
        ({"answers": {}}, "there is no answer in it"),
        ({"ben": {"4.A.clarity": 1}}, "answers '4.A.clarity', which the sheet does not ask"),
        ({"ben": {"1.C.clarity": 1}}, "answers '1.C.clarity', which"),
        ({"ben": {"1.A.quality": "A"}}, "answers '1.A.quality', which"),
        ({"ben": {"1.A.clarity": 6}}, "with 6, which is none of 1, 2, 3, 4, 5"),
        ({"ben": {"1.A.clarity": True}}, "with True"),
        ({"ben": {"1.A.clarity": 4.0}}, "with 4.0"),
        ({"ben": {"1.A.clarity": "4"}}, "with '4'"),
        ({"ben": {"1.A.clarity": [4]}}, "with [4]"),
        ({"ben": {"1.quality": "C"}}, "with 'C', which is none of A, B, ="),
        ({"ben": {"1.quality": None}}, "with None"),
    ],
)
def test_files_of_ratings_are_checked(files, tmp_path, capsys, changes, sentence):
    output = tmp_path / "tally"
    assert sentence in refusal(capsys, [*files(**changes), "--output", str(output)])
    assert not output.exists()


def test_the_same_rater_is_known_in_other_letters(files, tmp_path, capsys):
    arguments = files()
    again = {"sheet": "abc", "rater": " ANNA ", "answers": {}}
    (tmp_path / "ratings-Ben.json").write_text(json.dumps(again))
    assert "both of the rater 'ANNA'" in refusal(capsys, arguments)


@pytest.mark.parametrize("place", [1, 2])
@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"sheet": "abc", "rat', "is damaged: it is no JSON"),
        (b"\xff\xfe", "is damaged: it is no JSON"),
        (b"[" * 100_000, "is damaged: it is no JSON"),
        (b"[]", "is damaged"),
        (b'{"sheet": "abc", "items": {"1": {"prompt": 3}}}', "is damaged"),
        (None, "cannot be read (No such file"),
    ],
)
def test_damaged_files_are_named(files, tmp_path, capsys, place, content, sentence):
    arguments = files()
    path = tmp_path / "other.json"
    if content is not None:
        path.write_bytes(content)
    arguments[place] = str(path)
    error = refusal(capsys, arguments)
    assert sentence in error and "other.json" in error


def test_intervals_cover_the_truth_and_narrow_with_prompts():
    """Prompts whose ratings share most of their noise: 95% of intervals hold the true mean."""
    rng = np.random.default_rng(1)
    held, widths = 0, {}
    for prompts in (30, 120):
        key = key_of([f"prompt {n}" for n in range(prompts)])
        for _ in range(20):
            # Each prompt is 2 or 4 for both of its raters: a mean of 3, a deviation of 1.
            drawn = rng.choice([2, 4], prompts).tolist()
            answers = {
                f"{name}.{'AB'[item.row % 2]}.clarity": drawn[item.row]
                for name, item in key.items.items()
            }
            mean = tally_ratings(key, [Ratings("Anna", answers), Ratings("Ben", answers)])
            clarity = mean.scores["ours"]["clarity"]
            held += clarity.low <= 3 <= clarity.high
            widths[prompts] = clarity.high - clarity.low
        expected = 2 * 1.96 / np.sqrt(prompts)
        assert abs(widths[prompts] / expected - 1) < 0.15
    assert 35 <= held <= 40


def test_figures_are_the_same_every_time_and_whatever_the_order():
    rated = [Ratings("Anna", ANNA), Ratings("Ben", BEN)]
    assert tally_ratings(KEY, rated) == tally_ratings(KEY, rated)
    swapped = tally_ratings(KEY, rated[::-1])
    assert replace(swapped, raters=swapped.raters[::-1]) == tally_ratings(KEY, rated)


def test_pictures_of_one_prompt_are_resampled_together():
    key = key_of(["the same"] * 4)
    answers = {f"{n}.A.clarity": n for n in range(1, 5)} | {f"{n}.quality": "A" for n in (1, 3)}
    tally = tally_ratings(key, [Ratings("Anna", answers)])
    assert tally.scores["ours"]["clarity"].low is None
    assert tally.preferences["quality"].pairs[0].first_preferred == 1


def test_three_systems_are_compared_in_pairs():
    order = {"A": "one", "B": "two", "C": "three"}
    key = Key("abc", {str(n): Item(f"prompt {n}", n, order) for n in range(10)})
    answers = {f"{n}.quality": "AAAAAABC=="[n] for n in range(10)}
    quality = tally_ratings(key, [Ratings("Anna", answers)]).preferences["quality"]
    assert quality.shares == {"one": 0.6, "two": 0.1, "three": 0.1}
    assert quality.no_difference == 0.2
    found = {(pair.first, pair.second): pair for pair in quality.pairs}
    assert found.keys() == {("one", "three"), ("one", "two"), ("three", "two")}
    assert found["one", "two"].p == 2 * (1 + 7) / 2**7
    assert found["three", "two"].p == 1


@pytest.mark.parametrize(
    ("wins", "losses", "p"),
    # From tables of the binomial distribution.
    [(0, 0, 1), (1, 0, 1), (5, 5, 1), (5, 0, 0.0625), (8, 2, 0.109375), (2, 8, 0.109375)],
)
def test_the_sign_test(wins, losses, p):
    assert sign_test(wins, losses) == p


def test_the_sign_test_of_many():
    assert isclose(sign_test(5000, 5000), 1)
    assert isclose(sign_test(60, 40), 0.05688793364098078)  # scipy.stats.binomtest(60, 100)
    assert 0 < sign_test(300, 700) < 1e-36


# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), sections C and D: four
# observers, twelve units, some without an answer.
OBSERVERS = (
    (1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None),
    (1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3),
    (None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None),
    (1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None),
)


def test_alpha_of_the_published_example():
    units = [[value for value in unit if value] for unit in zip(*OBSERVERS, strict=True)]
    assert round(krippendorff_alpha(units, nominal), 3) == 0.743
    assert round(krippendorff_alpha(units, ordinal), 3) == 0.815


def test_alpha_at_its_ends():
    assert krippendorff_alpha([[1, 1], [5, 5], [3, 3]], ordinal) == 1
    assert krippendorff_alpha([["A", "B"], ["B", "A"]], nominal) < 0
    rng = np.random.default_rng(0)
    assert abs(krippendorff_alpha(rng.integers(1, 6, (4000, 2)).tolist(), ordinal)) < 0.05
    for nothing in ([], [[1], [2]], [[3, 3], [3, 3]], [[3, 3], [1]]):
        assert krippendorff_alpha(nothing, ordinal) is None
