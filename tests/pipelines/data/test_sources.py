import io
import json
import os
from dataclasses import replace
from itertools import chain
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from pipelines.command_line import UserError
from pipelines.data.opening import open_source, open_training_data, texts_for_vocabulary
from pipelines.data.scenes import parse_caption
from pipelines.data.settings import PICTURES_ALONE, DataSettings
from pipelines.data.sources import UnreadableRow
from pipelines.data.transforms import to_array

COLOURS = ["red", "green", "blue", "white"]
EMOJI = Path(__file__).parents[4] / "shared" / "data" / "emoji"


def picture(colour: str) -> Image.Image:
    return Image.new("RGB", (12, 10), colour)


def png(colour: str) -> bytes:
    file = io.BytesIO()
    picture(colour).save(file, "PNG")
    return file.getvalue()


def write_parquet(path: Path, **columns: list) -> Path:
    cells = [{"bytes": png(colour), "path": None} for colour in COLOURS]
    columns = {"image": cells, "text": [f"a {c} field" for c in COLOURS], **columns}
    datasets.Dataset.from_dict(columns).to_parquet(path)
    return path


def open_training_sources(settings, seed=0):
    order, validation = open_training_data(settings, seed=seed)
    return order.source, validation


def assert_rows(source, colours=COLOURS, texts=None):
    assert source.length == len(colours)
    for n, colour in enumerate(colours):
        row = source[n]
        wanted = np.asarray(picture(colour).resize((4, 4)))
        assert np.array_equal(to_array(row.image, (4, 4)), wanted)
        assert row.texts == source.texts(n)
        assert row.captions == (texts[n] if texts else [f"a {colour} field"])


def test_scenes_have_pictures_of_the_size_asked_for_and_captions_that_are_true():
    settings = DataSettings(size=(32, 48), text_column=["text", "text_zh"], max_objects=2)
    source = open_source(settings)
    assert source.length is None
    row = source[10**9]
    assert row.image.shape == (32, 48, 3) and row.image.dtype == np.uint8
    english, chinese = (parse_caption(text) for text in row.captions)
    assert english is not None and chinese is not None
    assert {item.shape for item in english.objects} == {item.shape for item in chinese.objects}
    assert row.texts == source.texts(10**9) == source[10**9].texts
    assert row.captions[0].isascii() and not row.captions[1].isascii()


def test_scenes_of_splits_and_seeds_differ_and_need_no_captions():
    settings = DataSettings()
    train, validation = open_training_sources(settings)
    other = open_source(settings, seed=1)
    pictures = [source[3].image for source in (train, validation, other)]
    assert len({image.tobytes() for image in pictures}) == 3
    assert open_source(settings, wanted=PICTURES_ALONE)[3].captions == []
    with pytest.raises(UserError, match="split is 'tset'"):
        open_source(settings, "tset")
    with pytest.raises(UserError, match="no column 'caption'"):
        open_source(DataSettings(text_column="caption"))


def test_parquet_file_and_folder_with_splits(tmp_path):
    write_parquet(tmp_path / "train.parquet")
    write_parquet(tmp_path / "test.parquet", text=["1", "2", "3", "4"])
    (tmp_path / "README.md").write_text("what this is")
    settings = DataSettings(source=str(tmp_path))
    assert_rows(open_source(settings))
    assert_rows(open_source(settings, "test"), texts=[["1"], ["2"], ["3"], ["4"]])
    assert_rows(open_source(DataSettings(source=str(tmp_path / "train.parquet"))))
    with pytest.raises(UserError, match="no split 'dev'; it has train, test"):
        open_source(settings, "dev")


def test_a_file_that_changed_is_read_anew(tmp_path):
    settings = DataSettings(source=str(write_parquet(tmp_path / "a.parquet", text=list("abcd"))))
    assert open_source(settings)[0].captions == ["a"]
    write_parquet(tmp_path / "a.parquet", text=list("efgh"))
    assert open_source(settings)[0].captions == ["e"]


def test_arrow_file_and_saved_dataset(tmp_path):
    table = datasets.load_dataset(
        "parquet", data_files=str(write_parquet(tmp_path / "a.parquet")), split="train"
    )
    table.save_to_disk(tmp_path / "saved")
    assert_rows(open_source(DataSettings(source=str(tmp_path / "saved"))))
    (file,) = (tmp_path / "saved").glob("*.arrow")
    assert_rows(open_source(DataSettings(source=str(file))))


def test_several_columns_and_several_captions_in_one(tmp_path):
    path = write_parquet(
        tmp_path / "a.parquet",
        text=[["one", "two"], ["three"], ["four", "", " "], ["five"]],
        text_zh=["一", "三", None, "五"],
    )
    settings = DataSettings(source=str(path), text_column=["text", "text_zh"])
    texts = [["one", "two", "一"], ["three", "三"], ["four"], ["five", "五"]]
    assert_rows(open_source(settings), texts=texts)
    assert list(texts_for_vocabulary(settings)) == list(chain(*texts))


def test_image_folder_with_metadata(tmp_path):
    for n, colour in enumerate(COLOURS):
        picture(colour).save(tmp_path / f"{n:05d}.png")
    lines = [
        json.dumps({"file_name": f"{n:05d}.png", "text": f"a {colour} field", "seed": n})
        for n, colour in enumerate(COLOURS)
    ]
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    settings = DataSettings(source=str(tmp_path))
    assert_rows(open_source(settings))
    with pytest.raises(UserError, match="no split 'test'"):
        open_source(settings, "test")
    with pytest.raises(UserError, match="no column 'caption'"):
        open_source(DataSettings(source=str(tmp_path), text_column="caption"))
    (tmp_path / "metadata.jsonl").write_text('{"text": "no file"}')
    with pytest.raises(UserError, match=r"metadata\.jsonl, line 1, is not a JSON object with a fi"):
        open_source(settings)


def write_coco(folder: Path, pictures: str = "val2014", **changes) -> Path:
    """Three pictures, the second without captions."""
    (folder / "annotations").mkdir(parents=True)
    (folder / pictures).mkdir()
    for n in range(3):
        picture(COLOURS[n]).save(folder / pictures / f"{n}.png")
    captions = [(2, "blue"), (0, "red"), (2, "azure")]
    content = {
        "info": {},
        "images": [{"id": n, "file_name": f"{n}.png", "width": 12} for n in range(3)],
        "annotations": [{"id": 9, "image_id": image, "caption": text} for image, text in captions],
    }
    file = folder / "annotations" / "captions_val2014.json"
    file.write_text(json.dumps(content | changes))
    return file


def test_captions_as_coco_has_them(tmp_path):
    settings = DataSettings(source=str(write_coco(tmp_path)))
    assert_rows(open_source(settings), ["red", "blue"], [["red"], ["blue", "azure"]])
    assert_rows(open_source(settings, wanted=PICTURES_ALONE), COLOURS[:3], [[]] * 3)
    elsewhere = str(write_coco(tmp_path / "b", pictures="elsewhere"))
    with pytest.raises(
        UserError, match=r"0\.png' is missing\); name their folder in data\.image_fo"
    ):
        open_source(DataSettings(source=elsewhere))
    folder = str(tmp_path / "b" / "elsewhere")
    assert open_source(DataSettings(source=elsewhere, image_folder=folder)).length == 2
    for n, (changes, words) in enumerate(
        (
            ({"images": 3}, "not a JSON of captions as COCO has it"),
            ({"images": [{"id": 0}]}, "KeyError 'file_name'"),
            ({"annotations": []}, "no pictures with captions"),
        )
    ):
        file = write_coco(tmp_path / str(n), **changes)
        with pytest.raises(UserError, match=words):
            open_source(DataSettings(source=str(file)))


def test_captions_that_are_null_or_not_utf_8(tmp_path):
    for n, colour in enumerate(COLOURS):
        picture(colour).save(tmp_path / f"{n}.png")
        (tmp_path / f"{n}.txt").write_text(f"a {colour} field")
    (tmp_path / "1.txt").write_bytes("caf\u00e9".encode("latin-1"))
    source = open_source(DataSettings(source=str(tmp_path)))
    with pytest.raises(UnreadableRow, match="row 1 has a .txt file that is not in UTF-8"):
        source.texts(1)
    assert source[2].captions == [f"a {COLOURS[2]} field"]
    metadata = tmp_path / "metadata.jsonl"
    metadata.write_text(json.dumps({"file_name": "0.png", "text": ["a dog", None]}))
    assert open_source(DataSettings(source=str(tmp_path)))[0].captions == ["a dog"]
    metadata.write_bytes('{"file_name": "0.png", "text": "caf\u00e9"}'.encode("latin-1"))
    with pytest.raises(UserError, match=r"metadata\.jsonl is not a text in UTF-8"):
        open_source(DataSettings(source=str(tmp_path)))


def test_a_picture_whose_name_is_not_utf_8_is_an_unreadable_row(tmp_path):
    for name in (b"a", b"caf\xe9"):
        file = tmp_path / os.fsdecode(name + b".png")
        picture("red").save(file)
        file.with_suffix(".txt").write_text("a red field")
    source = open_source(DataSettings(source=str(tmp_path)))
    assert source[0].captions == ["a red field"]
    with pytest.raises(UnreadableRow, match=r"caf\\udce9\.png"):
        source[1]


def test_films_documents_and_folders_are_no_pictures_of_an_image_folder(tmp_path):
    for name in ("film.mpg", "page.pdf", "a.png", "writing.b.png"):
        picture("red").save(tmp_path / name, "PNG")
    (tmp_path / "folder.png").mkdir()
    assert open_source(DataSettings(source=str(tmp_path)), wanted=PICTURES_ALONE).length == 1


def test_image_folder_with_text_files_and_a_folder_per_split(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        for n, colour in enumerate(COLOURS):
            picture(colour).save(tmp_path / split / f"{n}.bmp")
            (tmp_path / split / f"{n}.txt").write_text(f"{split} {colour}\n{n}\n", "utf-8")
    settings = DataSettings(source=str(tmp_path))
    for split in ("train", "test"):
        texts = [[f"{split} {colour}", str(n)] for n, colour in enumerate(COLOURS)]
        assert_rows(open_source(settings, split), texts=texts)
    # As Windows' editor writes it, and with what Unicode takes for the end of a line.
    (tmp_path / "train" / "0.txt").write_bytes("\ufeffone\u2028line\r\ntwo".encode())
    assert open_source(settings)[0].captions == ["one\u2028line", "two"]


def test_pictures_without_captions_suffice_where_no_text_is_needed(tmp_path):
    for n, colour in enumerate(COLOURS):
        picture(colour).save(tmp_path / f"{n}.png")
    settings = DataSettings(source=str(tmp_path))
    assert_rows(open_source(settings, wanted=PICTURES_ALONE), texts=[[]] * 4)
    with pytest.raises(UserError, match="has pictures but no captions"):
        open_source(settings)


def test_bad_rows_are_unreadable_and_the_others_are_not(tmp_path):
    cells = [{"bytes": png(colour), "path": None} for colour in COLOURS]
    cells[0] = {"bytes": b"not a picture", "path": None}
    cells[1] = None
    path = write_parquet(tmp_path / "a.parquet", image=cells, text=["a", "b", None, "d"])
    settings = DataSettings(source=str(path))
    source = open_source(settings)
    for row, reason in ((0, "is not an image"), (1, "no picture"), (2, "no caption")):
        with pytest.raises(UnreadableRow, match=f"row {row}.*{reason}"):
            source[row]
    assert source[3].captions == ["d"]
    assert list(texts_for_vocabulary(settings)) == ["a", "b", "d"]


def test_one_table_has_no_validation_split(tmp_path):
    path = write_parquet(tmp_path / "a.parquet")
    table = datasets.load_dataset("parquet", data_files=str(path), split="train")
    table.save_to_disk(tmp_path / "saved")
    for source in (path, tmp_path / "saved"):
        settings = DataSettings(source=str(source), validation_split="validation")
        with pytest.raises(UserError, match="one table without splits"):
            open_training_sources(settings)


def test_rows_kept_for_validation_are_not_trained_on(tmp_path):
    numbers = [str(n) for n in range(40)]
    cells = [{"bytes": png("red"), "path": None}] * 40
    path = write_parquet(tmp_path / "a.parquet", image=cells, text=numbers)
    train, validation = open_training_sources(DataSettings(source=str(path)))
    assert (train.length, validation.length) == (36, 4)
    texts = [source[n].captions[0] for source in (train, validation) for n in range(source.length)]
    assert sorted(texts) == sorted(numbers)
    again = open_training_sources(DataSettings(source=str(path)), seed=5)[1]
    assert [again[n].captions for n in range(4)] == [validation[n].captions for n in range(4)]
    train, validation = open_training_sources(DataSettings(source=str(path), validation_rows=1))
    assert (train.length, validation.length) == (39, 1)


def test_validation_split_and_a_source_too_small_to_divide(tmp_path):
    write_parquet(tmp_path / "train.parquet")
    write_parquet(tmp_path / "test.parquet", text=["1", "2", "3", "4"])
    settings = DataSettings(source=str(tmp_path), validation_split="test")
    train, validation = open_training_sources(settings)
    assert_rows(train)
    assert validation[0].captions == ["1"]
    train, validation = open_training_sources(DataSettings(source=str(tmp_path)))
    assert train.length == validation.length == 4


@pytest.mark.parametrize("validation_split", [None, "test"])
def test_small_pictures_are_decoded_once_wherever_their_center_is_taken(tmp_path, validation_split):
    cells = [{"bytes": png("red"), "path": None}] * 20
    for split in ("train", "test"):
        write_parquet(tmp_path / f"{split}.parquet", image=cells, text=["a"] * 20)
    settings = DataSettings(source=str(tmp_path), validation_split=validation_split)
    for random_crop, kept in ((None, (True, True)), (1.5, (False, True))):
        opened = open_training_sources(replace(settings, random_crop=random_crop))
        assert tuple(source[0] is source[0] for source in opened) == kept


def test_what_is_no_source_is_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_parquet(tmp_path / "a.parquet", number=[1, 2, 3, 4])
    (tmp_path / "notes.md").write_text("text")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no more")
    (tmp_path / "empty").mkdir()
    for settings, sentence in (
        (DataSettings(source="absent"), "absent does not exist"),
        (DataSettings(source="empty/absent"), "empty/absent does not exist"),
        (DataSettings(source="notes.md"), "neither a folder nor a parquet"),
        (DataSettings(source="broken.parquet"), "broken.parquet cannot be read"),
        (DataSettings(source="empty"), "holds no pictures"),
        (DataSettings(source="a.parquet", text_column="caption"), "'caption'; it has image, text"),
        (DataSettings(source="a.parquet", image_column="picture"), "no column 'picture'"),
        (DataSettings(source="a.parquet", text_column="number"), "'number' .* not hold texts"),
        (DataSettings(source="a.parquet", image_column="number"), "'number' .* not hold pictures"),
    ):
        with pytest.raises(UserError, match=sentence) as error:
            open_source(settings)
        assert "\n" not in str(error.value)


@pytest.mark.skipif(not EMOJI.is_dir(), reason="the emoji data is not beside the repository")
def test_emoji():
    settings = DataSettings(source=str(EMOJI), text_column=["text", "text_zh"])
    train, test = open_source(settings), open_source(settings, "test")
    assert (train.length, test.length) == (3128, 274)
    assert train[0].captions == ["boy: medium skin tone", "男孩: 中等肤色"]
    assert to_array(test[273].image, (64, 64)).shape == (64, 64, 3)
