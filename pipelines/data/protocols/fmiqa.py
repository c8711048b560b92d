"""FM-IQA (1505.05612): questions about pictures of COCO, and answers, in Chinese.

Source: http://research.baidu.com/Public/uploads/5ac9e10bdd572.gz (a tar of FM-CH-QA.json; project
page http://idl.baidu.com/FM-IQA.html); the pictures of COCO 2014 from https://cocodataset.org.

    ROOT/train2014/COCO_train2014_000000000009.jpg     or ROOT/images/train2014
    ROOT/val2014/COCO_val2014_000000000042.jpg
    ROOT/FM-CH-QA.json       or FM-IQA.json, as some call it

The JSON has `train` and `val`, lists of objects with `image_id` (COCO's number), `Question` and
`Answer`. A row is one question. Papers have people judge the answers to questions of `val`: it is
`test` here.
"""

from pathlib import Path

from pipelines.data.protocols.originals import coco_pictures, find, read_json, reading, tidy
from pipelines.data.protocols.prepared import PreparedRow, Splits

ROWS = {"train": 164_735, "test": 75_206}


def read(root: Path) -> Splits:
    """Raises:
    UserError: the files are not as above.
    """
    file = find(root, "FM-CH-QA.json", "FM-IQA.json")
    return {"train": _asked(root, file, "train"), "test": _asked(root, file, "val")}


def _asked(root: Path, file: Path, name: str) -> list[PreparedRow]:
    picture = coco_pictures(root, f"{name}2014")
    rows = []
    with reading(file, "a JSON of train and val with image_id, Question and Answer"):
        for one in read_json(file)[name]:
            texts = tidy([one["Question"], one["Answer"]])
            if len(texts) == 2:  # both say something
                cells = {"question": texts[0], "answer": texts[1]}
                rows.append(PreparedRow(picture(int(one["image_id"])), cells))
    return rows
