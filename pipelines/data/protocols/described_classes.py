"""The captions that Reed et al. collected for CUB and Oxford-102 (1605.05395), and their classes.

Source: https://github.com/reedscot/cvpr2016 (README: "birds", "flowers").

    FOLDER/trainvalclasses.txt     names of classes, a line each: those that are trained on
    FOLDER/testclasses.txt         and those that are measured on, others (zero-shot)
    FOLDER/text_c10/CLASS/PICTURE.txt     ten captions, a line each

The features and encoded captions beside them (`.t7`) are not read. The names of classes may differ
a little between the lists, the folders and CUB's own ("Brewer", "Brewers"), so that only the number
in each name counts. AttnGAN's copy of these captions keeps its split in pickles, which nothing here
opens.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.command_line import UserError
from pipelines.data.protocols.originals import find, read_lines, tidy

LISTS = {"train": "trainvalclasses.txt", "test": "testclasses.txt"}


@dataclass(frozen=True)
class Described:
    """The captions of one picture, whose file is called `picture`.jpg, more or less."""

    split: str
    class_name: str
    picture: str
    captions: list[str]


def described(folder: Path) -> Iterator[Described]:
    """Those of all classes, by split and class.

    Raises:
        UserError: the files are not as above, or the splits share a class.
    """
    lists = {split: read_lines(find(folder, file)) for split, file in LISTS.items()}
    numbers = {split: {class_number(name) for name in names} for split, names in lists.items()}
    if shared := numbers["train"] & numbers["test"]:
        raise UserError(
            f"{LISTS['train']} and {LISTS['test']} of {folder} both name class {min(shared)}, but "
            "what is measured on must not be trained on; download them again."
        )
    texts = find(folder, "text_c10")
    folders = {class_number(one.name): one for one in texts.iterdir() if one.is_dir()}
    for split, names in lists.items():
        for name in names:
            captions = folders.get(class_number(name))
            if captions is None:
                raise UserError(f"{texts} has no folder of the class {name}; unpack all of it.")
            for file in sorted(captions.glob("[!.]*.txt")):
                yield Described(split, name, file.stem, _captions(file))


def class_number(name: str) -> int:
    """`001.Black_footed_Albatross` and `class_00001` -> 1.

    Raises:
        UserError: there is no number in it.
    """
    match = re.search(r"\d+", name)
    if match is None:
        raise UserError(f"{name!r} is not the name of a class with a number, such as class_00001.")
    return int(match[0])


def _captions(file: Path) -> list[str]:
    # Some have characters that were lost before they were published (U+FFFD).
    text = file.read_text(encoding="utf-8", errors="replace").replace("\ufffd", " ")
    return tidy(text.split("\n"))
