"""COCO-CN (1805.08661): Chinese captions, written by people, of 20,341 pictures of COCO.

Source: https://github.com/li-xirong/coco-cn (coco-cn-version1805v1.1.tar.gz, on request there, and
on the Hugging Face hub as AIMClab-RUC/COCO-CN); the pictures of COCO 2014 from
https://cocodataset.org.

    ROOT/train2014/COCO_train2014_000000000009.jpg     or ROOT/images/train2014
    ROOT/val2014/COCO_val2014_000000000042.jpg
    ROOT/coco-cn-version1805v1.1/coco-cn_train.txt     COCO_val2014_000000000042, a line each;
                                 coco-cn_val.txt  coco-cn_test.txt, or all of them in ROOT
                                 imageid.human-written-caption.txt          ID#0 <tab> a caption
                                 imageid.manually-translated-caption.txt    the same, of `test`

`text_zh` are the captions that people wrote of the pictures, `text_zh_translated` those that people
translated from English, five a picture, which only `test` has.
"""

from collections import defaultdict
from pathlib import Path

from pipelines.data.protocols.originals import coco_pictures, find, read_lines, reading, tidy
from pipelines.data.protocols.prepared import PreparedRow, Splits

RELEASE = "coco-cn-version1805v1.1"
LISTS = {"train": "train", "validation": "val", "test": "test"}
ROWS = {"train": 18_341, "validation": 1_000, "test": 1_000}


def read(root: Path) -> Splits:
    """Raises:
    UserError: the files are not as above.
    """
    folder = find(root, f"{RELEASE}/coco-cn_train.txt", "coco-cn_train.txt").parent
    written = _captions(find(folder, "imageid.human-written-caption.txt"))
    translated = _captions(find(folder, "imageid.manually-translated-caption.txt"))
    pictures = {name: coco_pictures(root, name) for name in ("train2014", "val2014")}
    splits: Splits = {}
    for split, name in LISTS.items():
        file = find(folder, f"coco-cn_{name}.txt")
        splits[split] = []
        for image in read_lines(file):
            cells = {"text_zh": written.get(image, [])}
            if split == "test":
                cells["text_zh_translated"] = translated.get(image, [])
            with reading(file, "a list of names such as COCO_train2014_000000000009"):
                _, of, number = image.split("_")
                picture = pictures[of](int(number))
            if any(cells.values()):
                splits[split].append(PreparedRow(picture, cells))
    return splits


def _captions(file: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for line in read_lines(file):
        with reading(file, "lines of ID#0, a tab and a caption"):
            place, caption = line.split("\t", 1)
            found[place.split("#")[0]] += tidy([caption])
    return found
