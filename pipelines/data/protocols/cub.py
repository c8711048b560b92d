"""CUB-200-2011: birds, with ten captions each; 150 classes are trained on, 50 others measured on.

Source: https://www.vision.caltech.edu/datasets/cub_200_2011 (CUB_200_2011.tgz; for research without
profit), and the captions and lists of `described_classes`.

    ROOT/CUB_200_2011/images/001.Black_footed_Albatross/Black_Footed_Albatross_0001_796111.jpg
    ROOT/CUB_200_2011/images.txt  attributes/image_attribute_labels.txt
    ROOT/attributes.txt
    ROOT/cvpr2016_cub/trainvalclasses.txt  testclasses.txt  text_c10/…

The split is that of Reed et al. (1605.05396), StackGAN, AttnGAN and what follows them. CUB's own
`train_test_split.txt` divides the pictures of every class and is another one. `label` is the name
of CUB's folder. `attributes` are those of CUB's 312 that one annotator saw in the picture, for a
GAN's memory of them (Adma-GAN, 2209.14046): "has_bill_shape::curved_(up_or_down)" is "curved bill
shape". They are left out where their three files are not there.
"""

import re
from pathlib import Path

from pipelines.data.protocols.described_classes import class_number, described
from pipelines.data.protocols.originals import find, read_lines, reading
from pipelines.data.protocols.prepared import PreparedRow, Splits

ROWS = {"train": 8_855, "test": 2_933}


def read(root: Path) -> Splits:
    """Raises:
    UserError: the files are not as above.
    """
    images = find(root, "CUB_200_2011/images", "images")
    files = {_place(file.parent.name, file.stem): file for file in images.glob("[0-9]*/[!.]*.jpg")}
    attributes = _attributes(root)
    splits: Splits = {"train": [], "test": []}
    for one in described(find(root, "cvpr2016_cub")):
        if one.captions:
            expected = images / one.class_name / f"{one.picture}.jpg"
            file = files.get(_place(one.class_name, one.picture), expected)
            cells: dict[str, str | list[str]] = {"text": one.captions, "label": file.parent.name}
            if attributes is not None:
                cells["attributes"] = attributes.get(f"{file.parent.name}/{file.name}", [])
            splits[one.split].append(PreparedRow(file, cells))
    return splits


def _attributes(root: Path) -> dict[str, list[str]] | None:
    """Of each picture, by its place in `images`; None where they were not unpacked.

    Raises:
        UserError: the files are not as CUB's.
    """
    folder = next((one for one in (root / "CUB_200_2011", root) if one.is_dir()), root)
    names, labels = "attributes.txt", folder / "attributes/image_attribute_labels.txt"
    phrases = next((f for f in (root / names, folder / "attributes" / names) if f.is_file()), None)
    if phrases is None or not labels.is_file() or not (folder / "images.txt").is_file():
        return None
    with reading(folder / "images.txt", "CUB's list of pictures"):
        pictures = dict(line.split() for line in read_lines(folder / "images.txt"))
    with reading(phrases, "CUB's list of attributes"):
        said = {number: _phrase(name) for number, name in map(str.split, read_lines(phrases))}
    found: dict[str, list[str]] = {place: [] for place in pictures.values()}
    with reading(labels, "CUB's attributes of pictures"), labels.open(encoding="utf-8") as lines:
        for line in lines:  # millions; some have a column too many at the end
            picture, attribute, present = line.split(maxsplit=3)[:3]
            if present == "1":
                found[pictures[picture]].append(said[attribute])
    return found


def _phrase(name: str) -> str:
    """The value and then what it is of, as in Adma-GAN's phrases."""
    of, value = name.removeprefix("has_").split("::")
    return re.sub(r"_?\(.*\)", "", value).replace("_", " ") + " " + of.replace("_", " ")


def _place(class_name: str, picture: str) -> tuple[int, str]:
    """The number of the class and the numbers at the end of the picture's name, which the captions'
    files share with it where the bird is spelt otherwise."""
    numbers = re.search(r"\d+_\d+$", picture)
    return class_number(class_name), numbers[0] if numbers else picture
