"""Trees of tensors as safetensors and JSON, and folders that are whole or not there."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

DISK_ERRORS = (OSError, SafetensorError)
"""What a full disk raises, or one that cannot be written for another reason."""
WRITING = ".writing"
BEING_WRITTEN = "writing."
"""What the names of files begin with until they are whole."""
FILE_BYTES = 4 * 2**30
"""How large a file of tensors grows, and how much of them is held while it is written."""


def pack(tree: Any) -> tuple[Any, dict[str, Tensor]]:
    """Splits nested dicts and lists into a JSON document and its tensors by name."""
    tensors: dict[str, Tensor] = {}

    def walk(node: Any, path: str) -> Any:
        if isinstance(node, Tensor):
            tensors[path] = node
            return {"$tensor": path}
        if isinstance(node, dict):
            # JSON keys are strings; an optimizer numbers its parameters.
            return {"$items": [[key, walk(value, f"{path}/{key}")] for key, value in node.items()]}
        if isinstance(node, list | tuple):
            return [walk(value, f"{path}/{index}") for index, value in enumerate(node)]
        return node

    return walk(tree, ""), tensors


def unpack(document: Any, tensors: dict[str, Tensor]) -> Any:
    """The inverse of `pack`; tuples come back as lists."""
    if isinstance(document, dict):
        if "$tensor" in document:
            return tensors[document["$tensor"]]
        return {key: unpack(value, tensors) for key, value in document["$items"]}
    if isinstance(document, list):
        return [unpack(value, tensors) for value in document]
    return document


def write_tensors(path: Path, tensors: Iterable[tuple[str, Tensor]], writing: bool = True) -> None:
    """Writes `path`.safetensors, and what goes beyond `FILE_BYTES` to `path`.1.safetensors, ….

    No more than that is ever held, so that tensors may be made (gathered from all processes, say)
    as they are asked for. A process that is not `writing` only asks for them.
    """
    remaining = iter(tensors)
    try:
        if writing:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_tensors(path, remaining)
    finally:
        for _ in remaining:  # where writing failed, too: other processes are taking part
            pass


def _write_tensors(path: Path, tensors: Iterator[tuple[str, Tensor]]) -> None:
    held: dict[str, Tensor] = {}
    files = size = 0
    for name, tensor in tensors:
        if held and size + tensor.nbytes > FILE_BYTES:
            save_file(held, _numbered(path, files))
            held, files, size = {}, files + 1, 0
        # Plain copies, because safetensors refuses tensors that share memory (tied weights) or are
        # laid out in another order (channels last).
        held[name] = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        size += tensor.nbytes
    save_file(held, _numbered(path, files))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """What `write_tensors` wrote, on the CPU; read from the disk only where it is used.

    Raises:
        FileNotFoundError: nothing was written there.
    """
    tensors, files = load_file(_numbered(path, 0)), 1
    while _numbered(path, files).is_file():
        tensors |= load_file(_numbered(path, files))
        files += 1
    return tensors


def _numbered(path: Path, file: int) -> Path:
    return path.with_name(f"{path.name}.{file}.safetensors" if file else f"{path.name}.safetensors")


def write_tree(path: Path, tree: Any) -> None:
    """Writes `path`.json and `path`.safetensors."""
    document, tensors = pack(tree)
    write_tensors(path, tensors.items())
    path.with_name(path.name + ".json").write_text(json.dumps(document))


def read_tree(path: Path) -> Any:
    document = json.loads(path.with_name(path.name + ".json").read_text())
    return unpack(document, read_tensors(path))


def reach_disk(folder: Path) -> None:
    """Returns once everything under `folder` is on the disk and not in some cache."""
    for path in [*folder.rglob("*"), folder]:
        _reach_disk(path)


def saved_steps(states: Path) -> list[int]:
    """The steps of the whole states in `states`, ascending."""
    names = [p.name for p in states.iterdir()] if states.is_dir() else []
    return sorted(int(m.group(1)) for n in names if (m := re.fullmatch(r"step_(\d+)", n)))


def replace_file(path: Path, write: Callable[[Path], Any]) -> None:
    """Lets `write` write a file under another name, which then takes the place of `path`: a kill
    leaves the old one or the new one, never half of one. The ending of the name stays."""
    writing = path.with_name(BEING_WRITTEN + path.name)
    write(writing)
    _reach_disk(writing)
    os.replace(writing, path)


def is_being_written(path: Path) -> bool:
    """Whether `replace_file` is at it, or was when it was killed."""
    return path.name.startswith(BEING_WRITTEN)


def begin(folder: Path) -> Path:
    """An empty folder to write into; `commit` gives it the name `folder`."""
    writing = folder.with_name(folder.name + WRITING)
    shutil.rmtree(writing, ignore_errors=True)
    writing.mkdir(parents=True)
    return writing


def commit(writing: Path) -> None:
    """Gives a completely written folder its name, once it is on the disk."""
    reach_disk(writing)
    writing.rename(writing.with_name(writing.name.removesuffix(WRITING)))
    reach_disk_of_parent(writing)


def reach_disk_of_parent(path: Path) -> None:
    """Returns once the name of `path` is on the disk."""
    _reach_disk(path.parent)


def _reach_disk(path: Path) -> None:
    windows = os.name == "nt"
    if windows and path.is_dir():
        return  # cannot be opened there
    descriptor = os.open(path, os.O_RDWR if windows else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def prune(states: Path, keep: int, best_step: int | None) -> None:
    """Removes all but the last `keep` states and the best one, and unfinished leftovers."""
    steps = saved_steps(states)
    for step in steps[:-keep]:
        if step != best_step:
            folder = states / f"step_{step}"
            # Renamed first: half a state must not bear a state's name.
            doomed = folder.rename(folder.with_name(folder.name + ".removing"))
            shutil.rmtree(doomed)
    for path in states.iterdir():
        if path.name.endswith((WRITING, ".removing")):
            shutil.rmtree(path)
