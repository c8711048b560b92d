"""The weights in files of others, read without running anything that is in them."""

import json
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from pipelines.command_line import UserError, in_short

Weights = dict[str, Tensor]


class _Inert:
    """Stands for whatever a pickle names that is no tensor (a callback of a trainer, its settings):
    it can be made and filled, and does nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> "_Inert":
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


def read_pickled(file: Path) -> dict[str, Any]:
    """What `torch.save` wrote, by torch's reader of tensors alone; the rest of it is left empty.

    Raises:
        UserError: it is no such file, or is built in a way that this reader does not follow.
    """
    if not file.is_file():
        raise UserError(f"{file} is not a file; name the checkpoint with the weights.")
    if not zipfile.is_zipfile(file):
        raise UserError(
            f"{file} is no file of torch.save, or cut short, or older than torch 1.6; download it "
            "again, or save its state_dict once more with a newer torch, or as safetensors."
        )
    try:
        strangers: list[Any] = [(_Inert, name) for name in get_unsafe_globals_in_checkpoint(file)]
        with safe_globals(strangers):
            found = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # whatever a damaged file makes the library raise
        # torch advises first to run what is in the file, or to write to its authors.
        said = str(error).rpartition("trusted source.")[2].rpartition("WeightsUnpickler error:")[2]
        reason = " ".join(said.partition("Check the documentation")[0].split())
        raise UserError(
            f"the tensors in {file} cannot be read without running what else is in it "
            f"({reason[:200]}); save its state_dict alone, or as safetensors."
        ) from error
    if not isinstance(found, dict):
        raise UserError(f"{file} holds no named weights; name the checkpoint of a tokenizer.")
    return found


def state_dict_in(file: Path, names: Iterable[str]) -> Weights:
    """The named tensors of a training checkpoint: those under the first of `names` where it has
    any, else its own.

    Raises:
        UserError: it cannot be read, or has none.
    """
    if file.suffix == ".safetensors":
        return read_safetensors(file)
    found = read_pickled(file)
    inner = next((found[n] for n in names if isinstance(found.get(n), dict) and found[n]), found)
    weights = {
        name: value
        for name, value in inner.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }
    if not weights:
        raise UserError(f"{file} holds no named weights where they are kept; --kind says whose.")
    return weights


def read_safetensors(file: Path, wanted: Callable[[str], bool] = lambda name: True) -> Weights:
    """The tensors whose names are wanted.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        with safe_open(file, "pt") as opened:
            names = filter(wanted, opened.keys())
            return {name: opened.get_tensor(name) for name in names}
    except Exception as error:  # safetensors raises a class of its own for a damaged file
        raise UserError(f"{file} cannot be read as safetensors ({in_short(error)}).") from error


def read_folder(
    folder: Path, stem: str, wanted: Callable[[str], bool] = lambda name: True
) -> Weights:
    """The wanted tensors of a model's folder: `stem`.safetensors, its shards, or `stem`.bin.

    Raises:
        UserError: there is none of these, or one cannot be read.
    """
    index = folder / f"{stem}.safetensors.index.json"
    if index.is_file():
        weights: Weights = {}
        for shard in _shards(index, wanted):
            weights |= read_safetensors(folder / shard, wanted)
        return weights
    if (folder / f"{stem}.safetensors").is_file():
        return read_safetensors(folder / f"{stem}.safetensors", wanted)
    # transformers names its pickles otherwise than its safetensors.
    for pickled in (f"{stem}.bin", f"pytorch_{stem}.bin"):
        if (folder / pickled).is_file():
            found = state_dict_in(folder / pickled, ())
            return {name: tensor for name, tensor in found.items() if wanted(name)}
    raise UserError(f"{folder} holds no {stem}.safetensors; name the folder of a saved model.")


def _shards(index: Path, wanted: Callable[[str], bool]) -> list[str]:
    """The names of the files beside an index that have wanted tensors.

    Raises:
        UserError: it names files elsewhere, or none.
    """
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(
        isinstance(place, str) and Path(place).name == place for place in places.values()
    ):
        raise UserError(f"{index} names no files beside it; copy the whole folder again.")
    return sorted({place for name, place in places.items() if wanted(name)})


def read_json(file: Path) -> dict[str, Any]:
    """Raises:
    UserError: it is missing, or no JSON object.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read ({in_short(error)}).") from error
    if not isinstance(found, dict):
        raise UserError(f"{file} is no JSON object.")
    return found
