"""AIC-ICC (AI Challenger 2017, 1711.06475): Chinese captions of photographs of people, five each.

Source: https://github.com/AIChallenger/AI_Challenger_2017, on registration and for research
(ai_challenger_caption_train_20170902.zip, ai_challenger_caption_validation_20170910.zip).

    ROOT/ai_challenger_caption_train_20170902/caption_train_annotations_20170902.json
    ROOT/ai_challenger_caption_train_20170902/caption_train_images_20170902/HASH.jpg
    ROOT/ai_challenger_caption_validation_20170910/caption_validation_annotations_20170910.json
    ROOT/ai_challenger_caption_validation_20170910/caption_validation_images_20170910/HASH.jpg

The JSON is a list of objects with `image_id` (the picture's file) and `caption` (a list). The
captions of its test sets were not published, so that papers measure on the validation set: it is
`test` here.
"""

from pathlib import Path

from pipelines.data.protocols.originals import find, read_json, reading, tidy
from pipelines.data.protocols.prepared import PreparedRow, Splits

ROWS = {"train": 210_000, "test": 30_000}


def read(root: Path) -> Splits:
    """Raises:
    UserError: the files are not as above.
    """
    return {
        "train": _captioned(root, "train", "20170902"),
        "test": _captioned(root, "validation", "20170910"),
    }


def _captioned(root: Path, name: str, date: str) -> list[PreparedRow]:
    folder = find(root, f"ai_challenger_caption_{name}_{date}")
    file = find(folder, f"caption_{name}_annotations_{date}.json")
    images = find(folder, f"caption_{name}_images_{date}")
    with reading(file, "a JSON list of image_id and caption"):
        found = [(str(one["image_id"]), tidy(one["caption"])) for one in read_json(file)]
    return [PreparedRow(images / image, {"text_zh": texts}) for image, texts in found if texts]
