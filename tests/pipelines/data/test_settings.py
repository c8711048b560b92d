import pytest

from pipelines.data.settings import DataSettings, parse_data


def test_one_size_or_two_and_one_column_or_several():
    settings = DataSettings(size=32, text_column="caption")
    assert settings.height_width == (32, 32) and settings.text_columns == ["caption"]
    settings = DataSettings(size=(32, 64), text_column=["text", "text_zh"])
    assert settings.height_width == (32, 64) and settings.text_columns == ["text", "text_zh"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("source", ""),
        ("text_column", []),
        ("text_column", ""),
        ("size", 0),
        ("size", (64, -1)),
        ("min_objects", 3),
        ("max_objects", 5),
        ("object_weights", [1.0]),
        ("object_weights", [1.0, 0.0]),
        ("validation_rows", 0),
        ("workers", -1),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_name(field, value):
    with pytest.raises(ValueError, match=field):
        DataSettings(**{field: value})


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
