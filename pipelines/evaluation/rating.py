"""A rating sheet of what was measured: drawn pictures beside real ones and other systems'."""

import secrets
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from pipelines.command_line import UserError
from pipelines.data.transforms import read_image, to_array
from pipelines.evaluation.gallery import Shown
from pipelines.evaluation.rating_sheet import write_rating_sheet
from pipelines.evaluation.subjects import read_metadata

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
            rows = read_metadata(folder)
            self.files[name] = {row["text"]: folder / row["file_name"] for row in reversed(rows)}

    def write_sheet(self, folder: Path, rows: Sequence[Shown], with_real: bool) -> bool:
        """Writes the sheet and, beside it, its key; of the rows whose prompt every system drew.
        Returns whether there was anything to compare.

        Args:
            with_real: the rows' own pictures are those of their prompts, and one more system.
        """
        chosen = [
            (row, row.drawn)
            for row in rows
            if row.drawn is not None and all(row.prompt in files for files in self.files.values())
        ]
        if not chosen or not (with_real or self.files):
            return False
        systems = {"drawn": [Image.fromarray(drawn) for _, drawn in chosen]}
        if with_real:
            systems["real"] = [Image.fromarray(row.real) for row, _ in chosen]
        for name, files in self.files.items():
            systems[name] = [_sized(files[row.prompt], drawn) for row, drawn in chosen]
        prompts = [row.prompt for row, _ in chosen]
        # Raters must not know the seed, so it is nobody's choice.
        write_rating_sheet(
            folder / SHEET, folder / KEY, prompts, systems, seed=secrets.randbits(32)
        )
        return True


def _sized(file: Path, like: np.ndarray) -> Image.Image:
    """Of the size of ours, by which raters would know it otherwise."""
    height, width = like.shape[:2]
    return Image.fromarray(to_array(read_image(file), (height, width)))
