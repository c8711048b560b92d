"""Drawn pictures as files that say themselves what they show.

A PNG's texts are what `metadata.jsonl` has in the picture's row, which is made of them:

    prompt       what was drawn (`text` in the row)
    seed
    settings     everything else, as JSON
    checkpoint   the fingerprint of the weights
    Software     drawscribe
"""

import json
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pipelines.command_line import JSON_ERRORS, UserError, in_short
from pipelines.restarting import telling_what_cannot_be_written
from pipelines.training.storage import replace_file

SOFTWARE = "drawscribe"


def picture_name(number: int) -> str:
    """Of the picture's file."""
    return f"{number:05d}.png"


def save_picture(image: Image.Image, path: Path, said: dict[str, Any]) -> None:
    """Writes a PNG that is whole or not there, with what is said of it: `text` and `seed` (either
    may be missing), `checkpoint`, and settings.

    Raises:
        UserError: it cannot be written.
    """
    settings = {k: v for k, v in said.items() if k not in ("text", "seed", "checkpoint")}
    texts = {"settings": json.dumps(settings, ensure_ascii=False)}
    if "text" in said:
        texts["prompt"] = said["text"]
    if "seed" in said:
        texts["seed"] = str(said["seed"])
    texts |= {"checkpoint": said["checkpoint"], "Software": SOFTWARE}
    info = PngInfo()
    for key, text in texts.items():
        # Half of a surrogate pair, which a command line can bring along, has no place in UTF-8.
        info.add_itxt(key, text.encode("utf-8", "replace").decode())
    with telling_what_cannot_be_written(path):
        replace_file(path, lambda file: image.save(file, pnginfo=info))


def read_said(path: Path) -> dict[str, Any]:
    """What `save_picture` was told, without decoding the picture.

    Raises:
        UserError: it did not write this file.
    """
    try:
        with Image.open(path) as image:
            texts = image.info
            said: dict[str, Any] = {}
            if "prompt" in texts:
                said["text"] = str(texts["prompt"])
            if "seed" in texts:
                said["seed"] = int(texts["seed"])
            settings = json.loads(texts["settings"])
            return {**said, **settings, "checkpoint": str(texts["checkpoint"])}
    except (OSError, *JSON_ERRORS) as error:
        raise UserError(
            f"{path} does not say how it was drawn ({in_short(error)}); remove it and start the "
            "same command again, which draws it anew."
        ) from error
