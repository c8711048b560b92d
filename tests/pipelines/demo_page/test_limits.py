"""What a visitor gets wrong is refused by a sentence."""

import pytest
from PIL import Image

from pipelines.command_line import UserError
from pipelines.demo_page import limits
from pipelines.demo_page.limits import checked_number, checked_seed, checked_text, read_upload


def test_a_picture_is_read(tmp_path):
    path = tmp_path / "upload.png"
    Image.new("RGBA", (30, 20), (255, 0, 0, 0)).save(path)
    picture = read_upload(path)
    assert picture.size == (30, 20) and picture.getpixel((0, 0)) == (255, 255, 255)


def test_what_is_no_picture_is_refused(tmp_path):
    with pytest.raises(UserError, match="there is no picture"):
        read_upload(None)
    path = tmp_path / "upload.png"
    for missing in (path, tmp_path):
        with pytest.raises(UserError, match="not here any more"):
            read_upload(missing)
    for data in (b"", b"a text", b"<svg/>", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"):
        path.write_bytes(data)
        with pytest.raises(UserError, match="not a picture that can be read"):
            read_upload(path)
    Image.effect_noise((64, 64), 50).save(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="cannot be decoded"):
        read_upload(path)


def test_large_pictures_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    path = tmp_path / "upload.png"
    Image.new("1", (300, 200)).save(path)
    monkeypatch.setattr(limits, "read_image", None)
    monkeypatch.setattr(limits, "MOST_PIXELS", 59_999)
    with pytest.raises(UserError, match="300 x 200 pixels"):
        read_upload(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UserError, match="too many pixels"):
        read_upload(path)
    monkeypatch.setattr(limits, "MOST_MEGABYTES", 0)
    with pytest.raises(UserError, match="more than 0 MB"):
        read_upload(path)


def test_texts_and_numbers():
    assert (
        checked_text(" a red circle\n", "prompt") == "a red circle" and checked_text(None, "") == ""
    )
    with pytest.raises(UserError, match="the question has 1001 characters"):
        checked_text("a" * 1001, "question")
    assert checked_number(3.0, "it", 3) == 3
    for value in (None, 0, 4, 1.5, float("nan"), float("inf")):
        with pytest.raises(UserError, match="it is .* from 1 to 3"):
            checked_number(value, "it", 3)


def test_seeds():
    assert checked_seed(" 12 ") == 12 and checked_seed("-1") == -1  # which the pipeline refuses
    assert checked_seed("") != checked_seed(None)
    for text in ("1.5", "one", "1e3", "٣", "9" * 5000):
        with pytest.raises(UserError, match="whole number"):
            checked_seed(text)
