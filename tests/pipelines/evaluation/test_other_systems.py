"""Other systems' pictures and captions."""

import json

import numpy as np
import pytest
from PIL import Image

from pipelines.command_line import UserError
from pipelines.data.sources import Texts, UnreadableRow
from pipelines.evaluation.other_systems import CaptionsSubject, PicturesSubject
from pipelines.evaluation.rows import Block

FILES = ["val2014/COCO_val2014_000000000139.jpg", "val2014/COCO_val2014_000000000285.jpg"]
COLOURS = ("red", "blue", "green")


def block_of(rows, places):
    nothing = [[]] * len(rows)
    blank = [np.zeros((8, 8, 3), np.uint8)] * len(rows)
    return Block(0, list(rows), list(places), blank, nothing, nothing, [""] * len(rows))


def write(path, rows, as_list=True):
    text = (
        json.dumps(rows)
        if as_list
        else "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    )
    path.write_text(text)
    return CaptionsSubject(path)


def said(subject, files=FILES):
    places = range(len(files))
    subject.suit(files, places)
    return subject.make(block_of(places, places)).said


@pytest.mark.parametrize("as_list", [True, False])
def test_captions_belong_to_pictures_by_name_number_or_order(tmp_path, as_list):
    def found(rows, files=FILES):
        return said(write(tmp_path / "captions.json", rows, as_list), files)

    by_id = [{"image_id": 285, "caption": "b"}, {"image_id": 139, "caption": "a"}]
    assert found(by_id) == ["a", "b"]
    by_name = [
        {"image": f"some/where/{FILES[1]}", "caption": "b"},
        {"file_name": "COCO_val2014_000000000139.jpg", "caption": "a"},
    ]
    assert found(by_name) == ["a", "b"]
    by_name_as_id = [
        {"image_id": "COCO_val2014_000000000285", "caption": "b"},
        {"image_id": "139", "caption": "a"},
    ]
    assert found(by_name_as_id) == ["a", "b"]
    in_order = [{"caption": "a"}, {"caption": "b"}]
    assert found(in_order) == ["a", "b"]
    # Data without names leave the order.
    assert found(by_id, ["", ""]) == ["b", "a"]
    # Of several captions of a picture the first counts.
    assert found([*by_id, {"image_id": 139, "caption": "c"}]) == ["a", "b"]
    # Unicode's ends of lines are none of JSON's.
    assert found([{"caption": "a\u2028b"}, {"caption": "c"}]) == ["a\u2028b", "c"]
    # A picture may have several rows.
    assert found(by_id, [*FILES, FILES[0]]) == ["a", "b", "a"]
    # Number 0 is a number, and a picture without one has none.
    zero = [{"image_id": 0, "caption": "a"}, {"image_id": "x", "caption": "b"}]
    assert found(zero, ["0.png", "x.png"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("rows", "files", "words"),
    [
        ([{"image_id": 7, "caption": "a"}], FILES, "a caption of 7, and the data have no such"),
        ([{"image": "a/x.png", "caption": "a"}], FILES, "a caption of x.png, and the data have no"),
        ([{"caption": "a"}], ["", ""], "has 1 captions and the data 2 rows without names"),
        ([{"image_id": 139, "caption": "a"}], FILES, "has no caption of .*285.jpg"),
        (
            [{"image_id": 139, "caption": "a"}, {"caption": "b"}],
            FILES,
            "captions with image_id and captions without, such as 'b'",
        ),
        ([{"image": "1.jpg", "caption": "a"}], ["a/1.jpg", "b/1.jpg"], "several pictures of that"),
        ([{"image_id": 1, "caption": "a"}], ["train_1.jpg", "val_1.jpg"], "several pictures of"),
        ([{"image_id": 0, "caption": "a"}], ["0.png", "x.png"], "has no caption of x.png"),
    ],
)
def test_captions_that_do_not_match_the_data_are_refused(tmp_path, rows, files, words):
    with pytest.raises(UserError, match=words):
        said(write(tmp_path / "captions.json", rows), files)


@pytest.mark.parametrize("text", ["", "[]", "{", '[{"image_id": 1}]', "[1]", '{"caption": 3}'])
def test_files_without_captions_are_refused(tmp_path, text):
    file = tmp_path / "captions.json"
    file.write_text(text)
    with pytest.raises(UserError, match="captions.json cannot be read"):
        CaptionsSubject(file)


class Captioned:
    """Rows of the data: row n has these captions."""

    def __init__(self, *captions):
        self.captions, self.length = captions, len(captions)

    def texts(self, row):
        if not self.captions[row]:
            raise UnreadableRow("it has no caption")
        return Texts({"text": self.captions[row]})


@pytest.fixture
def drawn(tmp_path):
    """Pictures of three prompts."""
    rows = []
    for number, colour in enumerate(COLOURS):
        Image.new("RGB", (20, 10), colour).save(tmp_path / f"{number}.png")
        rows.append(json.dumps({"file_name": f"{number}.png", "text": f"a {colour}  field"}))
    (tmp_path / "metadata.jsonl").write_text("\n".join(rows))
    return tmp_path


def test_pictures_stand_beside_the_rows_whose_captions_they_were_drawn_of(drawn):
    subject = PicturesSubject(drawn, Image.open)
    data = Captioned(["a green field"], [], ["x", "a red field"], ["y"], ["a blue field"])
    rows = subject.suit(data, 10)
    assert sorted(rows) == [0, 2, 4] and subject.paired
    made = subject.make(block_of(range(3), rows))
    row_of = {"red": 2, "blue": 4, "green": 0}
    for row, prompt, picture in zip(rows, made.prompts, made.drawn, strict=True):
        colour = prompt.split()[1]
        assert (
            row == row_of[colour]
            and picture.tobytes()[:3] == Image.new("RGB", (1, 1), colour).tobytes()
        )
    assert made.paired
    # By lot, no more than are asked for, and each still beside its own row.
    assert subject.suit(data, 2) == rows[:2]
    assert subject.make(block_of(range(2), rows[:2])).prompts == made.prompts[:2]


def test_pictures_of_other_prompts_are_a_set(drawn):
    subject = PicturesSubject(drawn, Image.open)
    rows = subject.suit(Captioned(["x"], ["y"]), 10)
    assert sorted(rows) == [0, 1] and not subject.paired  # as many of the one as of the other
    made = subject.make(block_of(range(2), rows))
    assert len(made.drawn) == 2 and not made.paired
    some = Captioned(["x"], ["a red field"])
    with pytest.raises(UserError, match="has 1 pictures of captions .* and 2 of other prompts"):
        subject.suit(some, 10)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("", "it names no pictures"),
        ('{"file_name": "0.png"}', "metadata.jsonl cannot be read .*'text'"),
        ('{"file_name": "0.png", "text": ["a", "b"]}', "is \\['a', 'b'\\] and not a prompt"),
        ('{"file_name": "0.png", "text": null}', "is None and not a prompt"),
        ('{"file_name": 3, "text": "a"}', "metadata.jsonl cannot be read"),
        ('{"file_name": "7.png", "text": "a"}', "names 7.png, which is not there"),
        ("[" * 100_000, "metadata.jsonl cannot be read"),
    ],
)
def test_folders_without_such_metadata_are_refused(drawn, lines, words):
    (drawn / "metadata.jsonl").write_text(lines)
    with pytest.raises(UserError, match=words):
        PicturesSubject(drawn, Image.open)
