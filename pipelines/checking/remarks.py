"""What is wrong with data, or odd about them, and what to do about it."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pipelines.checking.check import Checked
from pipelines.checking.reading import RISKY_SHARE
from pipelines.checking.rows import Part
from pipelines.checking.text_figures import TextFigures
from pipelines.picture_folder import INDEX

NEXT_TO_NOTHING = 0.01
"""A share that is not worth a word."""
FEW_ROWS = 4
"""That share a caption by chance."""
FILES_TO_NAME = 3


def problems(checked: Checked) -> list[str]:
    """Why a run would not begin, or not go on: sentences as it would say them."""
    found = list(checked.reading.problems())
    # That validation rows lack texts is no news where rows cannot be read.
    return found or [checked.subject.problem] * bool(checked.subject.problem)


def remarks(checked: Checked) -> list[str]:
    """Sentences about what a run can live with."""
    return [
        *checked.subject.remarks,
        *_of_rows(checked),
        *_of_texts(checked),
        *_of_pictures(checked),
    ]


def _of_rows(checked: Checked) -> Iterator[str]:
    reading, training = checked.reading, checked.subject.training
    rows = reading.rows("training")
    if reading.share > RISKY_SHARE and not list(reading.problems()):
        yield (
            f"{reading.share:.1%} of the rows cannot be read: a run skips them, but stops where it "
            "meets a tenth by chance; mend or remove some."
        )
    if not reading.rows("validation"):
        yield (
            f"Rows too few to keep some for validation: {rows}; the run is validated on what it "
            "has learned. Give ten at least."
        )
    if rows < training.batch_size:
        yield f"A batch of {training.batch_size} has rows more than once; rows in all: {rows}."
    for part in (one.part for one in reading.parts if one.part.role == "training"):
        yield from _left_out(part)


def _left_out(part: Part) -> Iterator[str]:
    """Files in a folder of pictures that no row has."""
    folder = Path(part.source).expanduser()
    pictures = {Path(file) for file in part.files} if folder.is_dir() else set()
    if not any(one.is_relative_to(folder) and one.is_file() for one in pictures):
        return  # it is a folder of tables
    root = folder / part.split if (folder / part.split).is_dir() else folder
    read = set(pictures)
    if not (root / "metadata.jsonl").is_file():
        read |= {picture.with_suffix(".txt") for picture in pictures}
    others = sorted(
        file
        for file in root.rglob("*")
        if file.is_file() and file not in read and not _is_ours(file)
    )
    if others:
        endings = Counter(file.suffix or "no ending" for file in others)
        kinds = ", ".join(f"{count} {ending}" for ending, count in endings.most_common())
        first = ", ".join(str(file.relative_to(folder)) for file in others[:FILES_TO_NAME])
        yield (
            f"Files left out in {root}, as no pictures of a row, nor its captions: {len(others)} "
            f"({kinds}: {first}{_more(others)})."
        )


def _is_ours(file: Path) -> bool:
    return file.name.startswith(".") or file.name in ("metadata.jsonl", INDEX)


def _more(things: list[Path]) -> str:
    return ", …" * (len(things) > FILES_TO_NAME)


def _of_texts(checked: Checked) -> Iterator[str]:
    for name, figures in (("captions", checked.captions), ("questions", checked.questions)):
        if figures is not None and figures.texts:
            yield from _of_tokens(name, figures)
    caption, rows = checked.of_rows.most_frequent()
    readable = checked.of_rows.of_a_row.total()
    if rows > max(FEW_ROWS, readable / 10):
        yield (
            f"{rows} of {readable} rows have the caption {caption!r}: what pictures of one caption "
            "do not share cannot be asked for."
        )


def _of_tokens(name: str, figures: TextFigures) -> Iterator[str]:
    if figures.cut:
        yield (
            f"{name.capitalize()} longer than {figures.positions} text positions, which are cut: "
            f"{figures.cut} of {figures.texts}; shorten them or raise model.text_positions."
        )
    if figures.unknown_share > NEXT_TO_NOTHING:
        known = [repr(word) for word, _ in figures.unknown_words.most_common(5)]
        yield (
            f"{figures.unknown_share:.1%} of the tokens of {name} are unknown"
            f"{' (' * bool(known)}{', '.join(known)}{')' * bool(known)}; raise "
            "text_tokenizer.vocabulary_size, up to which a text tokenizer is trained, and grows "
            "where a checkpoint is trained on."
        )


def _of_pictures(checked: Checked) -> Iterator[str]:
    pictures, duplicates = checked.pictures, checked.duplicates
    height, width = pictures.size
    for number, what in (
        (pictures.enlarged, f"smaller than {width} x {height}, which are enlarged and blurred"),
        (pictures.cropped, "that lose more than a third of their area to the crop of the center"),
        (pictures.plain, "of one colour throughout"),
    ):
        if number > NEXT_TO_NOTHING * pictures.pictures:
            yield f"Pictures {what}: {number} of {pictures.pictures}."
    if duplicates.in_both_roles:
        yield (
            "Pictures both trained on and validated on, in several rows, so that the validation "
            f"loss flatters: {duplicates.in_both_roles}; keep one row of each, with all of its "
            "captions, or name a data.validation_split of other pictures."
        )
    elif duplicates.superfluous:
        yield f"Rows with a picture that an earlier row has: {duplicates.superfluous}."
