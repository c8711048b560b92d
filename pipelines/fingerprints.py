"""Short names of contents: the first digits of a SHA-256."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

DIGITS = 16
OF_A_MODEL = (".safetensors", ".json", ".txt")
"""Weights, configurations and vocabularies; not the page that describes them."""


def folder_fingerprint(folder: Path) -> str:
    """Names the model in a folder (a checkpoint, or one of Hugging Face) by all that it holds.

    Every byte is read, several files at once: one to three seconds for each GB of a file.
    """
    files = sorted(path for path in folder.rglob("*") if _of_a_model(path.relative_to(folder)))
    with ThreadPoolExecutor() as threads:
        digests = threads.map(_digest, files)
        names = [file.relative_to(folder).as_posix() for file in files]
        return texts_fingerprint([f"{n} {d}" for n, d in zip(names, digests, strict=True)])


def file_fingerprint(file: str | Path) -> str:
    return _digest(Path(file))[:DIGITS]


def texts_fingerprint(texts: Sequence[str]) -> str:
    """Of a list of texts, their order and borders included."""
    digest = hashlib.sha256()
    for text in texts:
        content = text.encode("utf-8", "surrogatepass")
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()[:DIGITS]


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _of_a_model(name: Path) -> bool:
    hidden = any(part.startswith(".") for part in name.parts)
    return name.suffix in OF_A_MODEL and not hidden
