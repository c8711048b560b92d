"""Rating sheets of what was measured, beside other systems."""

import json

import numpy as np
import pytest
from PIL import Image

from pipelines.command_line import UserError
from pipelines.evaluation.gallery import Shown
from pipelines.evaluation.rating import Beside

PROMPTS = ["a red star", "a blue star", "a green star"]


def shown(row, drawn=True, paired=True):
    real, made = (np.full((32, 48, 3), level, np.uint8) for level in (10 * row, 100 + row))
    return Shown(
        row,
        real if paired else None,
        [PROMPTS[row]],
        prompt=PROMPTS[row],
        drawn=made if drawn else None,
    )


def folder_of(path, prompts):
    path.mkdir()
    rows = []
    for number, prompt in enumerate(prompts):
        Image.new("RGB", (96, 64), (0, 0, number)).save(path / f"{number}.png")
        rows.append(json.dumps({"file_name": f"{number}.png", "text": prompt}))
    (path / "metadata.jsonl").write_text("\n".join(rows))
    return str(path)


def systems_of(folder):
    key = json.loads((folder / "rating_key.json").read_text())
    return {item["prompt"]: set(item["systems"].values()) for item in key["items"].values()}


def test_drawn_pictures_stand_beside_real_ones_and_other_systems(tmp_path):
    other = folder_of(tmp_path / "theirs_xyz", [*PROMPTS[:2], "something else"])
    (tmp_path / "report").mkdir()
    rows = [shown(0), shown(1), shown(2)]
    said = Beside([other]).write_sheet(tmp_path / "report", rows)
    assert "of 2 prompts (the other systems lack 1 more)" in said
    # The third prompt was not drawn by all.
    expected = {prompt: {"drawn", "real", "theirs_xyz"} for prompt in PROMPTS[:2]}
    assert systems_of(tmp_path / "report") == expected
    pictures = list((tmp_path / "report" / "rating" / "pictures").iterdir())
    assert {Image.open(file).size for file in pictures} == {(48, 32)} and len(pictures) == 6
    assert "theirs_xyz" not in (tmp_path / "report" / "rating" / "sheet.html").read_text()


def test_there_is_no_sheet_of_one_system_alone(tmp_path):
    other = folder_of(tmp_path / "theirs", ["something else"])
    for folders, row in (
        ([], shown(0, paired=False)),
        ([], shown(0, drawn=False)),
        ([other], shown(0)),
    ):
        said = Beside(folders).write_sheet(tmp_path / "report", [row])
        assert said == "No rating sheet: no prompt has pictures of two systems."
    assert [file.name for file in tmp_path.iterdir()] == ["theirs"]


def test_systems_are_told_apart_by_their_folders_names(tmp_path):
    one = folder_of(tmp_path / "one", PROMPTS)
    (tmp_path / "deeper").mkdir()
    again = folder_of(tmp_path / "deeper" / "one", PROMPTS)
    with pytest.raises(UserError, match="is a system called one, as another one"):
        Beside([one, again])
    with pytest.raises(UserError, match="called drawn"):
        Beside([folder_of(tmp_path / "drawn", PROMPTS)])
    with pytest.raises(UserError, match="metadata.jsonl cannot be read"):
        Beside([str(tmp_path)])


def test_what_cannot_be_rated_is_refused_before_anything_is_measured(tmp_path):
    broken = folder_of(tmp_path / "broken", PROMPTS)
    (tmp_path / "broken" / "1.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match="1.png cannot be read"):
        Beside([broken])
    (tmp_path / "broken" / "1.png").unlink()
    with pytest.raises(UserError, match="names 1.png, which is not there"):
        Beside([broken])
    with pytest.raises(UserError, match="'---'; give it a name with a letter"):
        Beside([folder_of(tmp_path / "---", PROMPTS)])
    many = [folder_of(tmp_path / f"system {n}", PROMPTS) for n in range(25)]
    with pytest.raises(UserError, match="27 systems cannot be compared"):
        Beside(many)
