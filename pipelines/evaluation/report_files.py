"""What was measured -> `report.json`, `report.md`, `rows.png`, `report.html` with its pictures and
plots."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from PIL import Image

from pipelines.evaluation.caption_tokens import equals_one_of
from pipelines.evaluation.descriptions import GROUPS, called, rows_of
from pipelines.evaluation.figures import Figure, Missing
from pipelines.evaluation.gallery import SHOWN, Gallery, Shown
from pipelines.evaluation.measuring import Measured
from pipelines.evaluation.plots import plot_codes, plot_places, plot_shares
from pipelines.evaluation.report import Drawn, draw_grid, write_report
from pipelines.markdown_tables import table
from pipelines.picture_files import png_info
from pipelines.training.storage import replace_file

PICTURES, PLOTS, ROWS = "pictures", "plots", "rows.png"
IN_GRID = 12
DRAWN_BY = ("rerank", "decoder", "checkpoint")
"""Of a report's settings, those of drawn pictures; `sampling` too."""
BARS = ("scenes_drawn", "scenes_described", "answers", "answers_to_another_picture")


@dataclass(frozen=True)
class Heading:
    """What was measured on what (`title`), in sentences about settings (`how`), and as data
    (`settings`)."""

    title: str
    how: list[str]
    settings: dict[str, Any]


@dataclass(frozen=True)
class PageRow:
    """Of a sheet: files of pictures by what they are, and labelled texts."""

    pictures: dict[str, str]
    texts: list[tuple[str, str]] = field(default_factory=list)


def write_files(folder: Path, measured: Measured, heading: Heading) -> str:
    """Writes all of them; returns the figures as Markdown."""
    for name in (PICTURES, PLOTS):
        (folder / name).mkdir(exist_ok=True)
    missing = missing_by_reason(measured.figures)
    plots = write_plots(folder, measured)
    sheets = write_sheets(folder, measured.gallery, heading.settings)
    tables = {GROUPS[name]: rows_of(found) for name, found in measured.figures.items()}
    environment = Environment(loader=PackageLoader("pipelines", "evaluation"), autoescape=True)
    html = environment.get_template("report.html").render(
        title=heading.title,
        how=heading.how,
        rows=measured.rows,
        unreadable=measured.unreadable,
        tables=tables,
        missing=missing,
        plots=plots,
        sheets=sheets,
    )
    replace_file(folder / "report.html", partial(Path.write_text, data=html, encoding="utf-8"))
    figures = "\n\n".join(
        f"## {name}\n\n{table([('what', 'measured'), *rows])}" for name, rows in tables.items()
    )
    reasons = "\n".join(f"- {', '.join(names)}: {reason}" for reason, names in missing.items())
    absent = f"\n## Missing\n\n{reasons}\n" if missing else ""
    draw_grid(
        folder / ROWS, [cell for row in measured.gallery.first[:IN_GRID] for cell in cells(row)]
    )
    how = " ".join([f"{measured.rows} rows, {measured.unreadable} unreadable.", *heading.how])
    pictures = f"![the first rows]({ROWS})\n\nMore pictures: report.html."
    page = f"# {heading.title}\n\n{how}\n\n{pictures}\n\n{figures}\n{absent}"
    write_report(folder, page, as_json(measured, heading))
    return f"{figures}\n{absent}"


def as_json(measured: Measured, heading: Heading) -> dict[str, Any]:
    """`report.json`: a figure that is missing is null, and `missing` tells why."""
    figures = {
        group: {name: None if isinstance(v, Missing) else v for name, v in found.items()}
        for group, found in measured.figures.items()
    }
    missing = {
        f"{group}.{name}": value.reason
        for group, found in measured.figures.items()
        for name, value in found.items()
        if isinstance(value, Missing)
    }
    counts = {"rows": measured.rows, "unreadable": measured.unreadable}
    return {**counts, "figures": figures, "missing": missing, **heading.settings}


def missing_by_reason(
    figures: Mapping[str, Mapping[str, Figure | int | str]],
) -> dict[str, list[str]]:
    """What is missing for the same reason is said in one line."""
    reasons: dict[str, list[str]] = {}
    for found in figures.values():
        for name, value in found.items():
            if isinstance(value, Missing):
                reasons.setdefault(value.reason, []).append(called(name))
    return reasons


def write_plots(folder: Path, measured: Measured) -> dict[str, str]:
    """Their files by what they show."""
    plots: dict[str, str] = {}
    if measured.code_counts is not None:
        plots["how often each code occurs"] = f"{PLOTS}/codes.png"
        plot_codes(folder / PLOTS / "codes.png", measured.code_counts)
    if measured.bits_by_place is not None:
        plots["bits per id by its place"] = f"{PLOTS}/places.png"
        plot_places(folder / PLOTS / "places.png", measured.bits_by_place)
    for names in (BARS[:2], BARS[2:]):
        shares = {
            GROUPS[name]: {n: v for n, v in measured.figures[name].items() if isinstance(v, float)}
            for name in names
            if name in measured.figures
        }
        if shares:
            plots[", ".join(shares)] = f"{PLOTS}/{names[0]}.png"
            plot_shares(folder / PLOTS / f"{names[0]}.png", shares)
    return plots


def write_sheets(
    folder: Path, gallery: Gallery, settings: Mapping[str, Any]
) -> dict[str, list[PageRow]]:
    """The gallery's pictures as files, by sheet; `settings` are those of the report."""
    sheets = {"The first rows": gallery.first[:SHOWN]} | {
        name.capitalize(): rows for name, rows in gallery.extremes.items()
    }
    return {
        name: [write_row(folder, row, settings) for row in rows]
        for name, rows in sheets.items()
        if rows
    }


def cells(row: Shown) -> Iterator[Drawn]:
    """A row in a grid: the real picture with what is said of it, then what was made of it."""
    if row.real is not None:
        title = f"given: {row.given[0]}" if row.given else "given"
        # What equals no given caption may be right as well.
        right = True if row.said and equals_one_of(row.given, row.said) else None
        yield Drawn(title, Image.fromarray(row.real), row.said or "", caption_right=right)
    if row.reconstructed is not None:
        yield Drawn("reconstructed", Image.fromarray(row.reconstructed), "")
    if row.drawn is not None:
        yield Drawn(f"drawn: {row.prompt}", Image.fromarray(row.drawn), "")


def write_row(folder: Path, row: Shown, settings: Mapping[str, Any]) -> PageRow:
    """One row's pictures as files; what was drawn here says how."""
    files = {}
    kinds = (("real", row.real), ("reconstructed", row.reconstructed), ("drawn", row.drawn))
    for kind, pixels in kinds:
        if pixels is not None:
            files[kind] = f"{PICTURES}/{row.row:06d}_{kind}.png"
            drawn_here = kind == "drawn" and row.seed is not None
            info = png_info(said_of_drawn(row, settings)) if drawn_here else None
            save = partial(Image.fromarray(pixels).save, format="PNG", pnginfo=info)
            replace_file(folder / files[kind], save)
    return PageRow(files, texts_of_row(row))


def said_of_drawn(row: Shown, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The prompt, seed and settings, by the names that `generate_images.py` has for them."""
    known = {name: settings[name] for name in DRAWN_BY if name in settings}
    prompt = {"text": row.prompt} if row.prompt else {}
    return {**prompt, "seed": row.seed, **settings.get("sampling", {}), **known}


def texts_of_row(row: Shown) -> list[tuple[str, str]]:
    texts: list[tuple[str, str]] = []
    if row.said is not None:
        texts.append(("said", row.said))
    texts += [("given", text) for text in row.given]
    if row.prompt and row.prompt not in row.given:
        texts.append(("drawn of", row.prompt))
    if row.psnr is not None:
        texts.append(("PSNR", f"{row.psnr:.1f} dB"))
    for question, right, said in row.answers:
        texts.append((question, said if said == right else f"{said} (right: {right})"))
    return texts
