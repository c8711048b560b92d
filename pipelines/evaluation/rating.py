"""A rating sheet of what was measured: drawn pictures beside real ones and other systems'."""

import secrets
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from pipelines.command_line import UserError, in_short
from pipelines.data.transforms import read_image, to_array
from pipelines.evaluation.gallery import Shown
from pipelines.evaluation.other_systems import read_metadata
from pipelines.evaluation.rating_sheet import check_systems, write_rating_sheet

SHEET, KEY = "rating", "rating_key.json"


class Beside:
    """Other systems' pictures, by the prompts that they were drawn of.

    Args:
        folders: as `generate_images.py` writes them.

    Raises:
        UserError: one of them is none, or two have the same name.
    """

    def __init__(self, folders: Sequence[str]) -> None:
        self.files: dict[str, dict[str, Path]] = {}
        for folder in map(Path, folders):
            name = folder.resolve().name
            if name in (*self.files, "drawn", "real"):
                raise UserError(
                    f"--beside {folder} is a system called {name}, as another one; rename the "
                    "folder."
                )
            pictures = read_metadata(folder)
            for file, _ in pictures:
                check_picture(file)  # now, and not when everything is measured
            self.files[name] = {text: file for file, text in reversed(pictures)}
        if folders:
            check_systems(["drawn", "real", *self.files])

    def write_sheet(self, folder: Path, rows: Sequence[Shown]) -> str:
        """Writes the sheet and, beside it, its key; of the rows whose prompt every system drew,
        with their own pictures, where these are of the prompts, as one more system. Returns what
        became of it, in a sentence.
        """
        chosen = [
            (row, row.drawn)
            for row in rows
            if row.drawn is not None and all(row.prompt in files for files in self.files.values())
        ]
        real = [row.real for row, _ in chosen if row.real is not None]
        if not chosen or not (real or self.files):
            return "No rating sheet: no prompt has pictures of two systems."
        systems = {"drawn": [Image.fromarray(drawn) for _, drawn in chosen]}
        if real:
            systems["real"] = list(map(Image.fromarray, real))
        for name, files in self.files.items():
            systems[name] = [_sized(files[row.prompt], drawn) for row, drawn in chosen]
        prompts = [row.prompt for row, _ in chosen]
        # Raters must not know the seed, so it is nobody's choice.
        write_rating_sheet(
            folder / SHEET, folder / KEY, prompts, systems, seed=secrets.randbits(32)
        )
        left = f" (the other systems lack {len(rows) - len(chosen)} more)" * (
            len(rows) > len(chosen)
        )
        return f"A rating sheet of {len(chosen)} prompts{left} is in {folder / SHEET}."


def check_picture(file: Path) -> None:
    """Raises:
    UserError: it is no picture, by its head.
    """
    try:
        with Image.open(file) as picture:
            picture.verify()
    except Exception as error:  # whatever a damaged file makes the library raise
        raise UserError(f"{file} cannot be read ({in_short(error)}); draw it again.") from error


def _sized(file: Path, like: np.ndarray) -> Image.Image:
    """Of the size of ours, by which raters would know it otherwise."""
    height, width = like.shape[:2]
    return Image.fromarray(to_array(read_image(file), (height, width)))
