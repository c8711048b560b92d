"""Attributes of pictures that the data give: from wherever they are kept to the batch."""

import io
import json
import tarfile

import datasets
import pytest
import torch
from PIL import Image

from pipelines.command_line import UserError
from pipelines.data.attributes import Attributes
from pipelines.data.loader import BatchLoader
from pipelines.data.opening import (
    open_source,
    open_training_data,
    texts_for_vocabulary,
    texts_of_first_rows,
)
from pipelines.data.settings import DataSettings, MixtureEntry, Wanted
from pipelines.data.sources import UnreadableRow
from pipelines.data.text_batches import TextReader
from pipelines.data.text_tokenizer import TextCodec, TextTokenizerSettings, train_text_tokenizer

GIVEN = Wanted(attributes=True)
CAPTIONS_OF = ["a dog", "a red fly", None, "a cat"]
CELLS = [["big", "red"], "red; small", "no caption", None]
ATTRIBUTES_OF = [["big", "red"], ["red", "small"], ["no caption"], []]
KNOWN = Attributes(("red", "big"))


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (10, 10)).save(file, "PNG")
    return file.getvalue()


def write_table(folder):
    cells = [cell if isinstance(cell, list) or cell is None else [cell] for cell in CELLS]
    pictures = [{"bytes": png(), "path": None}] * 4
    columns = {"image": pictures, "text": CAPTIONS_OF, "traits": cells}
    datasets.Dataset.from_dict(columns).to_parquet(folder / "train.parquet")


def write_folder(folder):
    rows = []
    for row, (caption, cell) in enumerate(zip(CAPTIONS_OF, CELLS, strict=True)):
        (folder / f"{row}.png").write_bytes(png())
        rows.append(json.dumps({"file_name": f"{row}.png", "text": caption, "traits": cell}))
    (folder / "metadata.jsonl").write_text("\n".join(rows))


def write_tar(folder):
    with tarfile.open(folder / "0.tar", "w") as tar:
        for row, (caption, cell) in enumerate(zip(CAPTIONS_OF, CELLS, strict=True)):
            fields = json.dumps({"traits": cell}).encode()
            files = {"png": png(), "json": fields, "txt": (caption or "").encode()}
            for ending, content in files.items():
                entry = tarfile.TarInfo(f"{row:03d}.{ending}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))


def settings_of(folder, **options) -> DataSettings:
    return DataSettings(source=str(folder), size=8, attribute_column="traits", **options)


@pytest.mark.parametrize("write", [write_table, write_folder, write_tar])
def test_attributes_are_read_from_tables_folders_and_tars(tmp_path, write):
    write(tmp_path)
    settings = settings_of(tmp_path)
    assert settings.gives_attributes
    given = open_source(settings, wanted=GIVEN)
    for row in (0, 1, 3):
        assert given[row].attributes == ATTRIBUTES_OF[row]
        assert given[row].captions == [CAPTIONS_OF[row]]
    with pytest.raises(UnreadableRow, match="row 2 has no caption"):
        given[2]
    assert open_source(settings)[0].attributes == []
    found = [texts.attributes for texts in texts_of_first_rows(settings, GIVEN, 0)]
    assert found == [ATTRIBUTES_OF[row] for row in (0, 1, 3)]
    assert list(texts_for_vocabulary(settings, GIVEN)) == [CAPTIONS_OF[row] for row in (0, 1, 3)]


def test_a_stream_gives_the_same_attributes(tmp_path):
    write_tar(tmp_path)
    settings = settings_of(tmp_path, streaming=True, validation_rows=1)
    order, validation = open_training_data(settings, GIVEN)
    assert validation[0].attributes == ATTRIBUTES_OF[0]
    samples = [order[number] for number in range(3)]
    read = [s.source[s.row].attributes for s in samples if s.source.rows[s.row][1] != 2]
    assert sorted(read) == sorted([ATTRIBUTES_OF[1], ATTRIBUTES_OF[3]])


def codec() -> TextCodec:
    return TextCodec(train_text_tokenizer(["a red dog, a fly, a cat"], TextTokenizerSettings()))


def load(settings: DataSettings, wanted: Wanted, known: Attributes = KNOWN) -> BatchLoader:
    order, validation = open_training_data(settings, wanted)
    texts = TextReader(codec(), 16, wanted, attributes=known)
    return BatchLoader(order, validation, 8, 3, texts=texts)


def test_batches_have_the_given_attributes_or_those_of_the_caption(tmp_path):
    write_folder(tmp_path)
    settings = settings_of(tmp_path, validation_split="train")
    (batch,) = load(settings, GIVEN).validation_batches(1)
    assert batch["attributes"].tolist() == [[1, 1], [1, 0], [0, 0]]
    (batch,) = load(settings, Wanted()).validation_batches(1)
    assert batch["attributes"].tolist() == [[0, 0], [1, 0], [0, 0]]


def test_scenes_have_attributes_of_every_object():
    settings = DataSettings(attribute_column="attributes", max_objects=2, min_objects=2)
    source = open_source(settings, wanted=GIVEN)
    chinese = open_source(
        DataSettings(attribute_column="attributes_zh", text_column="text_zh", min_objects=2),
        wanted=GIVEN,
    )
    for number in range(20):
        row = source[number]
        assert 4 <= len(row.attributes) <= 6
        for phrase in row.attributes:  # English captions name them, and relations besides
            assert f" {phrase} " in f" {row.captions[0]} "
        assert all(phrase in chinese[number].captions[0] for phrase in chinese[number].attributes)
    with pytest.raises(UserError, match="has no attributes 'traits'; it has attributes and"):
        open_source(DataSettings(attribute_column="traits"), wanted=GIVEN)


def test_every_source_of_a_mixture_needs_them(tmp_path):
    write_folder(tmp_path)
    entries = [MixtureEntry(str(tmp_path), attribute_column="traits"), MixtureEntry("scenes")]
    settings = DataSettings(size=32, mixture=entries)
    assert settings.gives_attributes and not DataSettings().gives_attributes
    with pytest.raises(UserError, match="data source scenes names no column of the attributes"):
        open_training_data(settings, GIVEN)
    entries[1].attribute_column = "attributes"
    order, _ = open_training_data(settings, GIVEN)
    row = next(s.source[s.row] for s in map(order.__getitem__, range(9)) if s.source.length is None)
    assert "small" in row.attributes or "large" in row.attributes


def test_a_column_that_is_not_there_is_refused(tmp_path):
    write_table(tmp_path)
    settings = DataSettings(source=str(tmp_path), attribute_column="trait")
    with pytest.raises(UserError, match="has no column 'trait'; .*data.attribute_column choose"):
        open_source(settings, wanted=GIVEN)
    with pytest.raises(ValueError, match="attribute_column is empty"):
        DataSettings(attribute_column="")


def test_one_column_may_be_both(tmp_path):
    write_folder(tmp_path)
    settings = DataSettings(source=str(tmp_path), size=8, attribute_column="text")
    assert open_source(settings, wanted=GIVEN)[1].attributes == ["a red fly"]


def test_a_bookmark_knows_the_attributes(tmp_path):
    write_folder(tmp_path)
    settings = settings_of(tmp_path)
    loader = load(settings, GIVEN)
    loader.step(0)
    bookmark = json.loads(json.dumps(loader.bookmark))
    assert bookmark["attributes"] == ["red", "big"] and "rows" in bookmark
    assert load(settings, GIVEN).go_to(bookmark) == ""
    with pytest.raises(UserError, match="number 1 on red, big, and now .* big, red;"):
        load(settings, GIVEN, Attributes(("big", "red"))).go_to(bookmark)
    assert torch.equal(
        load(settings, GIVEN).step(0)[0]["attributes"], loader.step(0)[0]["attributes"]
    )
