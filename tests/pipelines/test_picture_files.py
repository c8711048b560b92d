import numpy as np
import pytest
from PIL import Image

from pipelines.command_line import UserError
from pipelines.picture_files import read_said, save_picture

SAID = {
    "text": "大红色圆形在小蓝色正方形上方, “é”\n\u2028and a new line",
    "seed": 2**63 - 1,
    "temperature": 0.1 + 0.2,
    "complete": None,
    "attributes": ["large", "红"],
    "checkpoint": "0123456789abcdef",
}


def test_a_picture_says_what_was_said_of_it(tmp_path):
    path = tmp_path / "00000.png"
    image = Image.effect_noise((32, 24), 50).convert("RGB")
    save_picture(image, path, SAID)
    assert read_said(path) == SAID and list(read_said(path)) == list(SAID)
    with Image.open(path) as written:
        assert np.array_equal(np.asarray(written), np.asarray(image))
        assert written.text["prompt"] == SAID["text"] and written.text["Software"] == "drawscribe"
    assert [file.name for file in tmp_path.iterdir()] == ["00000.png"]


def test_what_was_not_said_stays_out(tmp_path):
    said = {"seeds": [0, 1], "way": 1 / 3, "checkpoint": ""}
    save_picture(Image.new("RGB", (4, 4)), tmp_path / "a.png", said)
    assert read_said(tmp_path / "a.png") == said
    save_picture(Image.new("RGB", (4, 4)), tmp_path / "a.png", {})
    assert Image.open(tmp_path / "a.png").text == {"settings": "{}", "Software": "drawscribe"}


def test_half_of_a_surrogate_pair(tmp_path):
    save_picture(Image.new("RGB", (4, 4)), tmp_path / "a.png", {**SAID, "text": "a\ud800b"})
    assert read_said(tmp_path / "a.png")["text"] == "a?b"


def test_pictures_of_others(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "plain.png")
    (tmp_path / "text.png").write_text("no picture")
    for name in ("plain.png", "text.png"):
        with pytest.raises(UserError, match=f"{name} does not say how it was drawn"):
            read_said(tmp_path / name)


def test_a_place_that_cannot_be_written(tmp_path):
    with pytest.raises(UserError, match="nowhere/a.png cannot be written"):
        save_picture(Image.new("RGB", (4, 4)), tmp_path / "nowhere" / "a.png", SAID)
