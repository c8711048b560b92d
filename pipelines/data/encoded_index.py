"""How a folder of ids (see `encoded.py`) was made, and whose ids they are."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from pipelines.command_line import UserError, in_short
from pipelines.data.settings import DataSettings, TextColumns
from pipelines.data.transforms import CENTERED, Cropping
from vq import VQGAN

INDEX = "encoded.json"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class EncodedIndex:
    """How a folder of ids was made.

    tokenizer: the fingerprint of what turns pixels into ids.
    size, grid: (height, width) of the pictures and of their ids.
    crops: of each picture, the first in its center, the others at random as `random_crop` and
        `random_flip` (of `DataSettings`) say, from `seed`.
    text_columns, question_columns: the captions, and the questions with their answers, that are
        kept.
    """

    tokenizer: str
    size: tuple[int, int]
    grid: tuple[int, int]
    crops: int
    random_crop: float | None
    random_flip: bool
    seed: int
    source: str
    text_columns: tuple[str, ...]
    question_columns: tuple[tuple[str, str], ...] = ()
    format_version: int = FORMAT_VERSION

    @property
    def cropping(self) -> Cropping:
        """Of all crops but the first."""
        return Cropping(self.random_crop, self.random_flip)

    @property
    def columns(self) -> TextColumns:
        return TextColumns(self.text_columns, self.question_columns)

    def write(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    def refuse_other_ids(self, tokenizer: str, data: DataSettings) -> None:
        """Raises:
        UserError: they are not what a run with this tokenizer and these settings computes.
        """
        folder, size = data.source, data.height_width
        if self.tokenizer != tokenizer:
            raise UserError(
                f"data source {folder} holds ids of another tokenizer than the run's; train with "
                "the tokenizer that made them, or encode the pictures again (encode_images.py)."
            )
        if self.size != size:
            raise UserError(
                f"data source {folder} holds ids of pictures of {self.size[0]} x {self.size[1]} "
                f"pixels, and data.size is {size[0]} x {size[1]}; give it the same."
            )
        if data.cropping != CENTERED:
            raise UserError(
                f"data source {folder} holds ids of {self.crops} crop{'s' * (self.crops > 1)} of "
                "each picture, chosen when they were encoded; set data.random_crop=null and "
                "data.random_flip=false."
            )


def read_index(folder: Path) -> EncodedIndex | None:
    """The index of a folder of ids; None where it is no such folder.

    Raises:
        UserError: it is damaged, or of another version.
    """
    file = folder / INDEX
    if not file.is_file():
        return None
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        version = stored["format_version"]
        if version != FORMAT_VERSION:
            raise UserError(
                f"{file} has format {version}, and this version reads {FORMAT_VERSION}; encode the "
                "pictures again (encode_images.py)."
            )
        # Folders from before there were questions have none.
        stored = {"question_columns": [], **stored}
        stored["question_columns"] = tuple((q, a) for q, a in stored["question_columns"])
        names = [field.name for field in fields(EncodedIndex)]
        lists = {name: tuple(stored[name]) for name in ("size", "grid", "text_columns")}
        return EncodedIndex(**{name: stored[name] for name in names} | lists)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{file} is damaged ({in_short(error)}); encode the pictures again (encode_images.py)."
        ) from error


def tokenizer_fingerprint(tokenizer: VQGAN) -> str:
    """Names what turns pixels into ids: configuration, encoder and codebook, without the decoder,
    which may be trained on."""
    digest = hashlib.sha256(json.dumps(asdict(tokenizer.config), sort_keys=True).encode())
    idle = {f"quantizer.{name}" for name in tokenizer.quantizer.TRAINING_BUFFERS}
    for name, tensor in sorted(tokenizer.state_dict().items()):
        if not name.startswith("decoder.") and name not in idle:
            array = tensor.detach().cpu().contiguous().numpy()
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()


AcceptIds = Callable[[EncodedIndex, DataSettings], None]
"""Raises UserError where the ids of a source are not what is wanted."""


def refuse_ids(index: EncodedIndex, data: DataSettings) -> None:
    """For whoever needs pictures."""
    raise UserError(
        f"data source {data.source} holds ids that encode_images.py computed, and the pictures "
        "themselves are needed here; name their source."
    )
