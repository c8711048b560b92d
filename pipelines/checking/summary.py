"""What was found, as a page for a terminal."""

from typing import Any

from pipelines.checking.check import Checked
from pipelines.checking.text_figures import TextFigures

LONGEST_SHOWN = 160
Line = tuple[str, str]


def summary(checked: Checked, remarks: list[str]) -> str:
    """A line for each figure, then the remarks."""
    lines = [*_rows(checked), *_captions(checked)]
    if checked.questions is not None:
        lines += _texts("questions", checked.questions)
    lines += _pictures(checked)
    page = [f"  {name:<12}{text}" for name, text in lines]
    page += [f"- {remark}" for remark in remarks]
    return "\n".join([f"Data {_source(checked)}", *page])


def _source(checked: Checked) -> str:
    return ", ".join(f"{one.source} (split {one.split})" for one in checked.subject.data.sources())


def _rows(checked: Checked) -> list[Line]:
    reading = checked.reading
    training, validation = reading.rows("training"), reading.rows("validation")
    kept = f"{validation} to validate on" if validation else "validated on as well"
    some = "" if checked.most is None else f" (the first {checked.most} of each)"
    lines = [("rows", f"{training} to train on, {kept}{some}")]
    if not reading.unreadable:
        return [*lines, ("unreadable", "none")]
    lines.append(("unreadable", _share(reading.unreadable, training + validation)))
    for kind, rows in reading.kinds().items():
        more = f", … ({len(rows)})" if len(rows) > 3 else ""
        lines.append(("", f"{kind}: {', '.join(rows[:3])}{more}"))
    return lines


def _captions(checked: Checked) -> list[Line]:
    if checked.captions is None:
        return [("captions", "none are read")]
    of_rows, counts = checked.of_rows, sorted(checked.of_rows.of_a_row)
    if not counts:
        return []
    each = f"{counts[0]}" if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"
    lines = [("captions", f"{each} a row, {of_rows.different} different ones")]
    return lines + _texts("", checked.captions)


def _texts(name: str, figures: TextFigures) -> list[Line]:
    found: dict[str, Any] = figures.figures()
    tokens = found["tokens"]
    if not figures.texts:
        return [(name, "none")]
    longest = " ".join(figures.longest.split())
    shown = longest[:LONGEST_SHOWN] + "…" * (len(longest) > LONGEST_SHOWN)
    return [
        (
            name or "tokens",
            f"median {tokens['median']}, 95% within {tokens['95_percent_within']}, longest "
            f"{tokens['longest']}, with [CLS] and [SEP]",
        ),
        ("cut", f"{_share(figures.cut, figures.texts)} to {figures.positions} text positions"),
        ("longest", shown),
        (
            "unknown",
            f"{_share(figures.unknown, figures.tokens)} of {figures.tokens} tokens; the vocabulary "
            f"has {figures.codec.vocabulary_size}",
        ),
    ]


def _pictures(checked: Checked) -> list[Line]:
    pictures, duplicates = checked.pictures, checked.duplicates
    if not pictures.pictures:
        return []
    found = pictures.figures()["width_and_height"]
    smallest, median, largest = (" x ".join(map(str, size)) for size in found.values())
    height, width = pictures.size
    number = pictures.pictures
    return [
        (
            "pictures",
            f"{smallest} to {largest}, median {median}; brought to {width} x {height}",
        ),
        ("enlarged", _share(pictures.enlarged, number)),
        ("cropped", f"{_share(pictures.cropped, number)} by more than a third of their area"),
        ("one colour", _share(pictures.plain, number)),
        (
            "the same",
            f"{_share(duplicates.superfluous, number)} as an earlier row's; captioned differently: "
            f"{duplicates.otherwise_captioned}",
        ),
    ]


def _share(part: int, whole: int) -> str:
    return f"{part} ({part / whole:.1%})" if part and whole else "none"
