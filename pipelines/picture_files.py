"""Drawn pictures as files that say themselves what they show.

A PNG's texts are, of these, what is known; a row of `metadata.jsonl` is made of them:

    prompt       what was drawn (`text` in the row)
    seed
    settings     everything else, as JSON
    checkpoint   the fingerprint of the weights
    Software     drawscribe
"""

import json
from collections.abc import Mapping
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


def png_info(said: Mapping[str, Any]) -> PngInfo:
    """The texts of a PNG of which this is said: `text`, `seed` and `checkpoint` (any may be
    missing), and settings."""
    settings = {k: v for k, v in said.items() if k not in ("text", "seed", "checkpoint")}
    texts = {"settings": json.dumps(settings, ensure_ascii=False)}
    for name, key in (("text", "prompt"), ("seed", "seed"), ("checkpoint", "checkpoint")):
        if name in said:
            texts[key] = str(said[name])
    texts["Software"] = SOFTWARE
    info = PngInfo()
    for key, text in texts.items():
        # Half of a surrogate pair, which a command line can bring along, has no place in UTF-8.
        info.add_itxt(key, text.encode("utf-8", "replace").decode())
    return info


def save_picture(image: Image.Image, path: Path, said: Mapping[str, Any]) -> None:
    """Writes a PNG that is whole or not there, with what is said of it, as `png_info` takes it.

    Raises:
        UserError: it cannot be written.
    """
    info = png_info(said)
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
