import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from pipelines.command_line import UserError
from pipelines.data.transforms import Crop, read_image, to_array, to_image, to_pixels

RED = torch.tensor([1.0, -1.0, -1.0])
WHITE = torch.ones(3)


def saved(image: Image.Image, file_format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def corner_and_center(image: Image.Image, size: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    pixels = to_pixels(image, size)
    assert pixels.shape == (3, size, size) and pixels.dtype == torch.float32
    return pixels[:, 0, 0], pixels[:, size // 2, size // 2]


def test_pixels_and_pictures_round_trip():
    levels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    pixels = to_pixels(levels, (5, 7))
    assert pixels.min() >= -1 and pixels.max() <= 1
    assert np.array_equal(np.asarray(to_image(pixels)), levels)
    assert np.array_equal(np.asarray(to_image(pixels * 0 + 3)), np.full((5, 7, 3), 255))


@pytest.mark.parametrize(("width", "height"), [(40, 20), (20, 40), (30, 900), (1, 1), (17, 13)])
def test_center_of_any_size_is_kept(width, height):
    image = Image.new("RGB", (width, height), "blue")
    middle = (width * 3 // 8, height * 3 // 8, -(-width * 5 // 8), -(-height * 5 // 8))
    image.paste("red", middle)
    assert to_pixels(image, (8, 8))[:, 3:5, 3:5].sub(RED[:, None, None]).abs().max() < 0.1


def test_short_side_is_resized_then_center_cropped():
    image = Image.new("RGB", (32, 16), "blue")  # of 32 columns the middle 16 remain
    image.paste("red", (8, 0, 24, 16))
    assert torch.equal(to_pixels(image, 16), RED[:, None, None].expand(3, 16, 16))
    wide = to_pixels(image, (8, 16))
    assert wide[2, 0, 0] == 1 and wide[0, 0, 8] == 1  # both columns of blue are still there


@pytest.mark.parametrize(("width", "height"), [(40, 20), (31, 57), (300, 211), (8, 9)])
def test_the_center_is_pillows(width, height):
    image = Image.effect_noise((width, height), 90).convert("RGB")
    fitted = ImageOps.fit(image, (12, 8), Image.Resampling.BICUBIC)
    difference = np.asarray(fitted).astype(int) - to_array(image, (8, 12))
    assert abs(difference).max() <= 1


def test_crops():
    levels = np.zeros((16, 32, 3), np.uint8)
    levels[:8, :16, 0], levels[8:, 16:, 1] = 255, 255  # red at the upper left, green at the right
    corner = to_array(levels, (8, 16), Crop(2.0, 0.0, 0.0))
    assert (corner[..., 0] == 255).all() and (corner[..., 1] == 0).all()
    corner = to_array(Image.fromarray(levels), (8, 16), Crop(2.0, 1.0, 1.0))
    assert (corner[..., 1] == 255).all()
    left = to_array(levels, (16, 16), Crop(across=0.0))
    assert left[0, 0].tolist() == [255, 0, 0] and not left[..., 1].any()
    mirrored = to_array(levels, (16, 32), Crop(mirrored=True))
    assert np.array_equal(mirrored, levels[:, ::-1])


def test_shrinking_is_antialiased():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert to_pixels(stripes, 8).abs().max() < 0.05


def test_grey_palette_cmyk():
    for mode in ("1", "L", "P", "CMYK", "YCbCr", "HSV"):
        image = Image.new("RGB", (8, 8), "white").convert(mode)
        assert torch.equal(corner_and_center(image)[0], WHITE), mode
    palette = read_image(saved(Image.new("RGB", (8, 8), "red").convert("P"), "PNG"))
    assert torch.equal(corner_and_center(palette)[1], RED)
    cmyk = read_image(saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=100))
    assert torch.allclose(corner_and_center(cmyk)[1], RED, atol=0.05)


def test_transparency_is_laid_on_white():
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (4, 4, 8, 8))
    for picture in (image, read_image(saved(image, "PNG")), read_image(saved(image, "GIF"))):
        corner, center = corner_and_center(picture)
        assert torch.equal(corner, WHITE) and torch.equal(center, RED)
    half = Image.new("LA", (8, 8), (0, 128))
    assert torch.allclose(corner_and_center(half)[0], torch.zeros(3), atol=0.01)
    keyed = Image.new("RGB", (8, 8), (9, 9, 9))
    assert torch.equal(
        corner_and_center(read_image(saved(keyed, "PNG", transparency=(9, 9, 9))))[0], WHITE
    )


def test_16_bits_keep_their_brightness():
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    wanted = torch.from_numpy(ramp.astype(np.float32)) / 32767.5 - 1
    for file_format in ("PNG", "TIFF"):
        image = read_image(saved(Image.fromarray(ramp), file_format))
        assert torch.allclose(to_pixels(image, 8)[0], wanted, atol=0.01), file_format
    floats = Image.fromarray(ramp.astype(np.float32) / 65535)
    assert torch.allclose(to_pixels(floats, 8)[1], wanted, atol=0.01)


def test_first_frame_of_an_animation():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
    for file_format in ("GIF", "WEBP"):
        options = {"lossless": True} if file_format == "WEBP" else {}
        data = saved(frames[0], file_format, save_all=True, append_images=frames[1:], **options)
        assert torch.equal(corner_and_center(read_image(data))[0], RED), file_format


def test_exif_rotation_is_applied(tmp_path):
    image = Image.new("RGB", (16, 16), "blue")
    image.paste("red", (0, 0, 16, 8))  # red above; orientation 6 turns that to the right
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.png", exif=exif)
    pixels = to_pixels(read_image(tmp_path / "turned.png"), 16)
    assert torch.equal(pixels[:, 0, 15], RED) and torch.equal(pixels[:, 15, 15], RED)
    assert pixels[2, 0, 0] == 1


def test_what_is_not_an_image_is_refused_by_name(tmp_path, monkeypatch):
    path = tmp_path / "notes.png"
    path.write_text("not a picture")
    with pytest.raises(UserError, match=r"notes\.png is not an image"):
        read_image(path)
    with pytest.raises(UserError, match=r"absent\.png does not exist"):
        read_image(tmp_path / "absent.png")
    with pytest.raises(UserError, match="is a folder"):
        read_image(tmp_path)
    whole = saved(Image.effect_noise((64, 64), 80), "PNG")
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"notes\.png cannot be decoded"):
        read_image(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UserError, match="too many pixels"):
        read_image(whole)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"])
def test_damage_of_any_kind_is_a_user_error(file_format):
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (24, 20, 3), dtype=np.uint8))
    whole = np.frombuffer(saved(image, file_format), np.uint8)
    refused = 0
    for _ in range(100):
        damaged = whole.copy()
        damaged[rng.integers(0, 64, 3)] = rng.integers(0, 256, 3)
        try:
            read_image(damaged[: rng.integers(64, len(damaged))].tobytes())
        except UserError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 50
