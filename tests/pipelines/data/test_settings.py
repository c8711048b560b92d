import pytest

from pipelines.data.settings import DataSettings, MixtureEntry, TextColumns, Wanted, parse_data


def test_one_size_or_two_and_one_column_or_several():
    settings = DataSettings(size=32, text_column="caption")
    assert settings.height_width == (32, 32)
    assert settings.text_columns(Wanted()) == TextColumns(("caption",))
    settings = DataSettings(size=(32, 64), text_column=["text", "text_zh"])
    assert settings.height_width == (32, 64)
    assert settings.text_columns(Wanted()) == TextColumns(("text", "text_zh"))


def test_questions_go_with_their_answers_where_they_are_wanted():
    settings = DataSettings(question_column=["q", "question"], answer_column=["a", "answer"])
    pairs = (("q", "a"), ("question", "answer"))
    assert settings.text_columns(Wanted(True, True)) == TextColumns(("text",), pairs)
    assert settings.text_columns(Wanted(False, True)).names == ("q", "a", "question", "answer")
    assert DataSettings(text_column=[]).text_columns(Wanted()) == TextColumns()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("source", ""),
        ("text_column", ""),
        ("question_column", []),
        ("answer_column", ["answer", ""]),
        ("size", 0),
        ("size", (64, -1)),
        ("min_objects", 3),
        ("max_objects", 5),
        ("object_weights", [1.0]),
        ("object_weights", [1.0, 0.0]),
        ("validation_rows", 0),
        ("workers", -1),
        ("shuffle_window", 0),
        ("random_crop", 0.5),
        ("random_crop", 9.0),
        ("mixture", [MixtureEntry("scenes")]),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_name(field, value):
    with pytest.raises(ValueError, match=field):
        DataSettings(**{field: value})


def test_a_mixture_names_only_what_differs():
    entries = [MixtureEntry("a", 2.0), MixtureEntry("b", text_column="zh", split="all")]
    settings = DataSettings(mixture=entries, text_column="caption", size=32)
    one, other = settings.sources()
    assert (one.source, one.text_column, one.split, one.size) == ("a", "caption", "train", 32)
    assert (other.source, other.text_column, other.split) == ("b", "zh", "all")
    assert settings.weights == [2.0, 1.0]
    assert DataSettings().sources() == [DataSettings()] and DataSettings().weights == [1.0]
    with pytest.raises(ValueError, match="weight is 0"):
        MixtureEntry("a", 0)


@pytest.mark.parametrize(
    ("data", "parsed"),
    [
        ("scenes", ("scenes", None)),
        ("scenes:test", ("scenes", "test")),
        ("owner/name:train", ("owner/name", "train")),
        ("data/emoji", ("data/emoji", None)),
        ("data/test.parquet:held_out", ("data/test.parquet", "held_out")),
        (r"C:\pictures", (r"C:\pictures", None)),
        ("C:/pictures:test", ("C:/pictures", "test")),
        ("a:b/c", ("a:b/c", None)),
    ],
)
def test_data_and_its_split(data, parsed):
    assert parse_data(data) == parsed
