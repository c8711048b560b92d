"""Which files of a folder are pictures; by itself, because whoever describes pictures does not need
the libraries that read data."""

from pathlib import Path

from pipelines.training.storage import is_being_written

# fmt: off
ENDINGS = (
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".ico", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg",
    ".jpg", ".mpo", ".pbm", ".pcx", ".pgm", ".png", ".pnm", ".ppm", ".psd", ".qoi", ".tga", ".tif",
    ".tiff", ".webp",
)
# fmt: on
"""Of pictures that Pillow reads by itself. It knows more: PDF, which it only writes, and films and
measured data, of which it only tells what they are."""


def pictures_in(folder: Path) -> list[Path]:
    """Every file under a folder that by its ending is a picture, in the order of their names; but
    for those that are being written."""
    return sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in ENDINGS and not is_being_written(file) and not file.is_dir()
    )
