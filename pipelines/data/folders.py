"""Pictures in files of their own, with texts beside them -> `datasets` tables of their paths."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import datasets

from pipelines.command_line import JSON_ERRORS, UserError
from pipelines.data.columns import WHY_NO_TEXT, question_answers, says_something
from pipelines.data.picture_listing import pictures_in
from pipelines.data.settings import TextColumns
from pipelines.data.sources import QuestionAnswer, UnreadableRow


def read_pictures(
    folder: Path, split: str, columns: TextColumns, image_column: str
) -> datasets.Dataset:
    """A folder of pictures, or of one such folder per split.

    Texts are the columns of `metadata.jsonl` (`file_name` names the picture); without one, captions
    are the lines of the `.txt` file beside each picture.

    Raises:
        UserError: there are no such pictures, or no captions.
    """
    if (folder / split).is_dir():
        folder = folder / split
    elif split != "train":
        raise UserError(f"data source {folder} has no split {split!r} (a folder of that name).")
    metadata, reasons = folder / "metadata.jsonl", None
    if metadata.is_file():
        rows = _read_metadata(metadata)
        paths = [str(folder / row["file_name"]) for row in rows]
        known = {name for row in rows for name in row}
        plain = [c for c in (*columns.captions, *columns.attributes) if c in known]
        texts = {c: [_as_list(row.get(c)) for row in rows] for c in plain}
        for question, answer in columns.questions:
            if question in known and answer in known:
                pairs = [_pairs(row.get(question), row.get(answer)) for row in rows]
                texts[question] = [[pair.question for pair in of_row] for of_row in pairs]
                texts[answer] = [[pair.answer for pair in of_row] for of_row in pairs]
    else:
        pictures = pictures_in(folder)
        paths = [str(picture) for picture in pictures]
        texts = {}
        for caption in columns.captions[:1]:
            beside = [_lines_beside(picture) for picture in pictures]
            texts[caption] = [lines for lines, _ in beside]
            reasons = [reason for _, reason in beside]
            if paths and all(reasons):
                raise UserError(
                    f"data source {folder} has pictures but no captions ({pictures[0].name} "
                    f"{reasons[0]}); write metadata.jsonl (file_name, text) or a .txt file beside "
                    "each picture."
                )
    if not paths:
        raise UserError(
            f"data source {folder} holds no pictures, and no parquet, arrow or tar files."
        )
    return _table(image_column, paths, texts, reasons)


def read_coco(
    file: Path, image_folder: str | None, captions: tuple[str, ...], image_column: str
) -> datasets.Dataset:
    """A JSON of captions as COCO has it: `images` (`id`, `file_name`) and `annotations`
    (`image_id`, `caption`). Pictures without captions are left out where captions are needed.

    Raises:
        UserError: it is none, or the pictures are not found.
    """
    if len(captions) > 1:
        raise UserError(f"data source {file} has one caption column; name only one in text_column.")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        names = {image["id"]: _name(image["file_name"]) for image in content["images"]}
        of_image: dict[Any, list[str]] = defaultdict(list)
        for annotation in content["annotations"]:
            of_image[annotation["image_id"]] += _as_list(annotation["caption"])
    except (OSError, *JSON_ERRORS) as error:
        raise UserError(
            f"data source {file} is not a JSON of captions as COCO has it (images with id and "
            f"file_name, annotations with image_id and caption): {type(error).__name__} {error}."
        ) from error
    kept = [image for image in names if image in of_image or not captions]
    if not kept:
        raise UserError(f"data source {file} has no pictures with captions.")
    folder = _coco_pictures(file, image_folder, names[kept[0]])
    texts = {column: [of_image[image] for image in kept] for column in captions}
    return _table(image_column, [str(folder / names[image]) for image in kept], texts)


def _coco_pictures(file: Path, image_folder: str | None, first: str) -> Path:
    """The folder that has the first picture."""
    beside = [file.parent, file.parent.parent / file.stem.removeprefix("captions_")]
    candidates = [Path(image_folder).expanduser()] if image_folder else beside
    for candidate in candidates:
        if (candidate / first).is_file():
            return candidate
    looked = " or ".join(map(str, candidates))
    raise UserError(
        f"the pictures of {file} are not in {looked} ({first!r} is missing); name their folder in "
        "data.image_folder."
    )


def _table(
    image_column: str, paths: list[str], texts: dict[str, list], reasons: list[str] | None = None
) -> datasets.Dataset:
    """reasons: why a row has no texts, empty where it has some."""
    # A name that is not in UTF-8 has no place in a table. Under the one that it gets there is no
    # file: the row is unreadable, named and counted.
    paths = [path.encode("utf-8", "backslashreplace").decode() for path in paths]
    columns = {image_column: paths, **texts}
    features = {image_column: datasets.Image()}
    features |= {column: datasets.List(datasets.Value("string")) for column in texts}
    if reasons is not None:
        columns[WHY_NO_TEXT], features[WHY_NO_TEXT] = reasons, datasets.Value("string")
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def _read_metadata(file: Path) -> list[dict[str, Any]]:
    rows = []
    try:
        # Not by `splitlines`: JSON may hold what Unicode takes for the end of a line.
        lines = file.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not a text in UTF-8 ({error}); save it as such.") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            row["file_name"] = _name(row["file_name"])
        except JSON_ERRORS as error:
            raise UserError(
                f"{file}, line {number}, is not a JSON object with a file_name; mend or remove it."
            ) from error
        rows.append(row)
    return rows


def _name(cell: Any) -> str:
    """Of a file; ValueError where it is none."""
    name = str(cell)
    name.encode()
    return name


def _as_list(cell: Any) -> list[str]:
    cells = cell if isinstance(cell, list) else [cell]
    return [str(text) for text in cells if text is not None and says_something(str(text))]


def _pairs(question: Any, answer: Any) -> list[QuestionAnswer]:
    """None where they do not match: that row then is unreadable, and counted."""
    try:
        return question_answers(question, answer)
    except UnreadableRow:
        return []


def _lines_beside(picture: Path) -> tuple[list[str], str]:
    """The captions in the `.txt` file there, and why there are none: that row then is unreadable,
    and counted."""
    try:
        # Windows begins such files with a mark. Not by `splitlines`, as above.
        text = picture.with_suffix(".txt").read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        return [], "has a .txt file that is not in UTF-8 (save it so)"
    except OSError:
        return [], "has no .txt file beside it"
    lines = _as_list(text.split("\n"))
    return lines, "" if lines else "has a .txt file without a caption"
