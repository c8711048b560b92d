"""Localized Narratives on COCO (LN-COCO, 1912.03098): what people said while they pointed.

Source: https://google.github.io/localized-narratives (CC BY 4.0); the pictures of COCO 2017 from
https://cocodataset.org.

    ROOT/train2017/000000000009.jpg           or ROOT/images/train2017
    ROOT/val2017/000000000139.jpg
    ROOT/coco_train_captions.jsonl            or the full files with traces and timings,
    ROOT/coco_val_captions.jsonl              coco_train_localized_narratives-00000-of-00004.jsonl
                                              and so on, coco_val_localized_narratives.jsonl;
                                              these may lie in ROOT/annotations as well

A line is one narrative: a JSON object with `image_id` and `caption`. As XMC-GAN counts them
(2101.04702), 134,272 train and 8,573, of the validation pictures, are measured on: a row each.
Where several people described a picture, the others' narratives come after the row's own, which is
the one that is drawn.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from pipelines.command_line import UserError
from pipelines.data.protocols.originals import coco_pictures, reading, tidy
from pipelines.data.protocols.prepared import PreparedRow, Splits

ROWS = {"train": 134_272, "test": 8_573}


def read(root: Path) -> Splits:
    """Raises:
    UserError: the files are not as above.
    """
    return {"train": _narrated(root, "train"), "test": _narrated(root, "val")}


def _narrated(root: Path, name: str) -> list[PreparedRow]:
    narratives: list[tuple[int, str]] = []
    for file in _files(root, name):
        with reading(file, "JSON lines of image_id and caption"):
            narratives += _narratives(file)
    of_picture: dict[int, list[str]] = defaultdict(list)
    for image, text in narratives:
        of_picture[image].append(text)
    picture = coco_pictures(root, f"{name}2017")
    return [
        PreparedRow(picture(image), {"text": list(dict.fromkeys([text, *of_picture[image]]))})
        for image, text in narratives
    ]


def _narratives(file: Path) -> Iterator[tuple[int, str]]:
    """Line by line: with traces and timings the files have gigabytes."""
    with file.open(encoding="utf-8") as lines:
        for line in filter(str.strip, lines):
            found = json.loads(line)
            for text in tidy([found["caption"]]):
                yield int(found["image_id"]), text


def _files(root: Path, name: str) -> list[Path]:
    """Captions alone, or all shards of the full files."""
    whole = (f"coco_{name}_captions.jsonl", f"coco_{name}_localized_narratives.jsonl")
    for folder in (root, root / "annotations"):
        for file in whole:
            if (folder / file).is_file():
                return [folder / file]
        shards = sorted(folder.glob(f"coco_{name}_localized_narratives-*-of-*.jsonl"))
        if shards:
            _refuse_incomplete(shards)
            return shards
    raise UserError(
        f"{root} has no {whole[0]} and no coco_{name}_localized_narratives-….jsonl; "
        "docs/benchmarks.md says where to download them."
    )


def _refuse_incomplete(shards: list[Path]) -> None:
    match = re.search(r"-of-(\d+)$", shards[0].stem)
    if match is None or int(match[1]) != len(shards):
        raise UserError(
            f"there are {len(shards)} files beside {shards[0]}, whose names count others; "
            "download all of them."
        )
