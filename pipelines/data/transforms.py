"""Pictures as files and arrays hold them <-> pixels: float32 [3, height, width] in [-1, 1]."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from pipelines.command_line import UserError, in_short

Picture = Image.Image | np.ndarray

# Keeps the choice of a crop independent of what else is drawn from the same seed and row.
CROP_STREAM = 0xC409


def read_image(source: str | Path | bytes) -> Image.Image:
    """Decodes a file (or its bytes) to an upright RGB picture; of an animation, the first frame.

    Raises:
        UserError: the file does not exist, is not an image, is damaged, or is too large to decode.
    """
    name = "the image" if isinstance(source, bytes) else str(source)
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            return to_rgb(image)
    except FileNotFoundError:
        raise UserError(f"{name} does not exist; give the path of an image.") from None
    except IsADirectoryError:
        raise UserError(f"{name} is a folder; give the path of an image.") from None
    except UnidentifiedImageError:
        raise UserError(f"{name} is not an image that can be decoded.") from None
    except Image.DecompressionBombError:
        raise UserError(f"{name} has too many pixels to decode; make it smaller.") from None
    except Exception as error:  # whatever a damaged file makes a decoder raise
        raise UserError(f"{name} cannot be decoded ({in_short(error)}).") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow mode -> upright RGB with 8 bits a channel, transparency laid on white."""
    image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _to_8_bits(image)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image.convert("RGB")


def _to_8_bits(image: Image.Image) -> Image.Image:
    """16-bit grey ("I" is how some formats hold it), and floats, in [0, 1] unless larger."""
    values = np.asarray(image).astype(np.float32)
    largest = 65535.0 if image.mode != "F" else 1.0 if values.max() <= 1 else 255.0
    values = values * (255 / largest)
    return Image.fromarray(np.clip(np.round(values), 0, 255).astype(np.uint8))


@dataclass(frozen=True)
class Crop:
    """Which part of a picture is taken.

    Args:
        enlargement: how many times larger than need be the picture is made before a part of the
            wanted size is cut out of it; from 1 on.
        across, down: where, from 0 (left, top) to 1 (right, bottom).
        mirrored: left and right exchanged.
    """

    enlargement: float = 1.0
    across: float = 0.5
    down: float = 0.5
    mirrored: bool = False


CENTER = Crop()


@dataclass(frozen=True)
class Cropping:
    """How the part of a picture that is read is chosen: the center, or by lot (see
    `DataSettings`)."""

    random_crop: float | None = None
    random_flip: bool = False

    def choose(self, seed: int, epoch: int, place: tuple[int, ...]) -> Crop:
        """A function of its arguments."""
        if self.random_crop is None and not self.random_flip:
            return CENTER
        rng = np.random.default_rng((seed, epoch, *place, CROP_STREAM))
        enlarged, across, down, flipped = rng.random(4)
        mirrored = self.random_flip and bool(flipped < 0.5)
        if self.random_crop is None:
            return Crop(mirrored=mirrored)
        return Crop(1 + (self.random_crop - 1) * enlarged, across, down, mirrored)


CENTERED = Cropping()


def to_array(image: Picture, size: tuple[int, int], crop: Crop = CENTER) -> np.ndarray:
    """Short side resized (antialiased), cropped: uint8 [height, width, 3] of `size`.

    An array (uint8 [h, w, 3]) that has the size already is returned as it is, for its center.
    """
    height, width = size
    if isinstance(image, np.ndarray):
        if image.shape == (height, width, 3) and crop == CENTER:
            return image
        image = Image.fromarray(image)
    image = to_rgb(image)
    if image.size != (width, height) or crop != CENTER:
        # How many of its pixels make one of ours.
        scale = min(image.width / width, image.height / height) / crop.enlargement
        left = (image.width - scale * width) * crop.across
        top = (image.height - scale * height) * crop.down
        box = (left, top, left + scale * width, top + scale * height)
        image = image.resize((width, height), Image.Resampling.BICUBIC, box=box)
    if crop.mirrored:
        image = ImageOps.mirror(image)
    return np.asarray(image)


def arrays_to_pixels(arrays: np.ndarray) -> Tensor:
    """uint8 [..., height, width, 3] -> float32 [..., 3, height, width] in [-1, 1]."""
    channels_first = rearrange(torch.from_numpy(arrays), "... h w c -> ... c h w")
    return channels_first.to(torch.float32, memory_format=torch.contiguous_format) / 127.5 - 1


def to_pixels(image: Picture, size: int | tuple[int, int]) -> Tensor:
    """A picture -> float32 [3, height, width] in [-1, 1]; `size` is (height, width) or both."""
    height_width = (size, size) if isinstance(size, int) else size
    return arrays_to_pixels(to_array(image, height_width).copy())


def to_image(pixels: Tensor) -> Image.Image:
    """Pixels [3, height, width] in [-1, 1] (clamped) -> picture."""
    levels = ((pixels.detach().float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return Image.fromarray(rearrange(levels, "c h w -> h w c").cpu().numpy())
