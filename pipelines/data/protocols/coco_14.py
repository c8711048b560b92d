"""COCO of 2014: 30,000 captions of the validation set, drawn by lot once and for all.

Source: https://cocodataset.org (train2014.zip, val2014.zip, annotations_trainval2014.zip; captions
under CC BY 4.0, the pictures under their Flickr licences).

    ROOT/train2014/COCO_train2014_000000000009.jpg     or ROOT/images/train2014
    ROOT/val2014/COCO_val2014_000000000042.jpg
    ROOT/annotations/captions_train2014.json           images: id, file_name
    ROOT/annotations/captions_val2014.json             annotations: id, image_id, caption

Papers draw pictures of 30,000 captions of the validation set (XMC-GAN, 2101.04702, ERNIE-ViLG,
2112.15283, and most others), each of captions of its own. Here they are the same for everybody:
`test` has, of the pictures with captions, the 30,000 whose SHA-256 of "coco_14 picture ID" is
least, each with the caption whose SHA-256 of "coco_14 caption ID" is least first (that one is
drawn) and its others after it (right ones, too, where captions are scored). `validation` has the
pictures that remain, `train` the training set.
"""

import hashlib
from pathlib import Path
from typing import Any

from pipelines.command_line import UserError
from pipelines.data.protocols.originals import find, read_json, reading, tidy
from pipelines.data.protocols.prepared import PreparedRow, Splits

TEST_ROWS = 30_000
ROWS = {"train": 82_783, "validation": 10_504, "test": TEST_ROWS}


def read(root: Path) -> Splits:
    """Raises:
    UserError: the files are not as above, or too few for the protocol.
    """
    train, validation = (_captioned(root, name) for name in ("train2014", "val2014"))
    if len(validation) < TEST_ROWS:
        raise UserError(
            f"captions_val2014.json in {root} has {len(validation):,} pictures with captions, of "
            f"which the protocol draws {TEST_ROWS:,}; give the whole file."
        )
    chosen = set(sorted(validation, key=lambda image: _lot("picture", image))[:TEST_ROWS])
    return {
        "train": list(train.values()),
        "validation": [row for image, row in validation.items() if image not in chosen],
        "test": [row for image, row in validation.items() if image in chosen],
    }


def _captioned(root: Path, name: str) -> dict[int, PreparedRow]:
    """The pictures with captions, by their number, ascending."""
    file = find(root, f"annotations/captions_{name}.json", f"captions_{name}.json")
    folder = find(root, name, f"images/{name}")
    with reading(file, "a JSON of captions as COCO has it"):
        content: Any = read_json(file)
        names = {int(image["id"]): str(image["file_name"]) for image in content["images"]}
        captions: dict[int, list[tuple[bytes, str]]] = {image: [] for image in names}
        for annotation in content["annotations"]:
            lot = _lot("caption", int(annotation["id"]))
            captions[int(annotation["image_id"])] += [
                (lot, text) for text in tidy([annotation["caption"]])
            ]
    return {
        image: PreparedRow(folder / names[image], {"text": [text for _, text in sorted(found)]})
        for image, found in sorted(captions.items())
        if found
    }


def _lot(kind: str, number: int) -> bytes:
    """No library's random numbers, which change with its versions."""
    return hashlib.sha256(f"coco_14 {kind} {number}".encode()).digest()
