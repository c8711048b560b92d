"""The claims of ERNIE-ViLG (2112.15283) put to the test, small: one command, one page.

    python benchmarks/reproduction.py --output runs/reproduction [--emoji DIR] [--page FILE.md]

Trains every arm of every claim with several seeds and equal budgets (a control takes twice as many
steps, and says so), measures them on test rows, and writes `reproduction.md` with pictures of the
curves: which claims hold here, which do not, which the noise cannot decide. `--emoji` is a folder
with `train.parquet` and `test.parquet` (columns `image`, `text`, `text_zh`; docs/results.md says
how to make it). A finished cell is never run again: start the same command anew to go on, or twice
at once, each on a core of its own (`taskset`), to be done a fifth sooner. Cost: nearly five hours
on two cores so, of which the scenes take three fifths.
"""

import argparse
import sys
import time
from pathlib import Path

from reproduction_study.arms import ARMS, Dataset, datasets
from reproduction_study.curves import plot_curves
from reproduction_study.drawings import draw_arms
from reproduction_study.page import SECTIONS
from reproduction_study.results import ReproductionResults
from reproduction_study.runs import ReproductionStudy, pairs_of
from study.cells import cell_name
from study.command_line import parse_study
from study.page import machines, page_file, write_with_cells

from pipelines.command_line import UserError, command
from pipelines.evaluation.candidates import CANDIDATES

TEST_ROWS = CANDIDATES
"""At least: R-precision is among 100 names, and a Fréchet distance of 64 dimensions takes 65."""


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Put the paper's claims to the test.")
    parser.add_argument("--emoji", metavar="DIR", help="captioned drawings, for claims 1 and 2")
    parser.add_argument(
        "--large", action="store_true", help="drawings at 128 pixels by larger models, for a GPU"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="cells whose name has it")
    parser.add_argument(
        "--page",
        metavar="FILE.md",
        help="default: reproduction.md in the output; beside it images/ and all cells in FILE.json",
    )
    return parse_study(parser, argv)


@command
def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    if arguments.large and arguments.emoji is None:
        raise UserError("--large is about drawings; give --emoji DIR as well.")
    data = datasets(arguments.emoji, arguments.large)
    study = ReproductionStudy(Path(arguments.output), arguments.shorten)
    for one in data.values():
        check_test_part(one)  # now, and not after hours
    # Seed by seed, so that a study that is stopped early has all arms.
    cells = [
        (one, arm, seed)
        for seed in range(arguments.seeds)
        for one in data.values()
        for arm in ARMS[one.name]
        if arguments.only in cell_name(one.name, arm.name, seed)
    ]
    results = ReproductionResults(study, arguments.seeds, data)
    if not cells:
        raise UserError(f"--only {arguments.only}: no cell's name has it; such as scenes_base_0.")
    page = page_file(arguments.page, study.folder / "reproduction.md")
    began = time.monotonic()
    left_then = sum(not study.finished(*cell) for cell in cells)
    for data_set, arm, seed in cells:
        if study.finished(data_set, arm, seed):
            continue
        left = sum(not study.finished(*cell) for cell in cells)
        pace = (time.monotonic() - began) / max(left_then - left, 1)  # of all processes together
        hours = f"{pace * left / 3600:.1f} hours" if left < left_then else "unknown time"
        print(
            f"[{len(cells) - left + 1} of {len(cells)}] {data_set.name} {arm.name}, seed {seed}; "
            f"{hours} left",
            file=sys.stderr,
        )
        if study.arm(data_set, arm, seed):
            write_page(results, page, arguments)
    if not arguments.only:
        for one in data.values():
            study.real(one)
    write_page(results, page, arguments)
    print(page)


def check_test_part(data: Dataset) -> None:
    """Refuses a test part with too few rows to measure.

    Raises:
        UserError: it has, or cannot be read.
    """
    found = len(pairs_of(data, "test").pictures)
    if found < TEST_ROWS:
        raise UserError(
            f"the test part of {data.source} has {found} rows; measuring takes {TEST_ROWS} or more."
        )


def write_page(results: ReproductionResults, page: Path, arguments: argparse.Namespace) -> None:
    """The page, and the pictures beside it, by one process at a time."""
    with results.study.cells.claimed("page", wait=True):
        draw_arms(results, page.parent / "images")
        plot_curves(results, page.parent / "images")
        text = f"""# The paper's claims, reproduced small

    python benchmarks/reproduction.py --output {arguments.output}{
            " --emoji DIR" if arguments.emoji else ""
        }{" --large" if arguments.large else ""}

{introduction(results)}

{"".join(section(results) + chr(10) for section in SECTIONS)}"""
        write_with_cells(page, text, results.study.cells)


def introduction(results: ReproductionResults) -> str:
    """What was trained, on what, for how long."""
    lines = []
    for data in results.data.values():
        base = [cell["minutes"] for cell in results.cells(data.name, "base").values()]
        minutes = f"{sum(base) / len(base):.1f} minutes" if base else "not run yet"
        lines.append(
            f"- {data.name}: tokenizers {data.tokenizer_steps} steps, {len(ARMS[data.name])} arms "
            f"of {data.steps} steps of 32 pairs ({minutes} for the base) but where a table says "
            "otherwise."
        )
    lines += [f"\nMachine: {words}" for words in machines(results.study.cells)]
    minutes_spent = sum(
        cell.get("minutes", 0.0) + cell.get("minutes_measuring", 0.0)
        for cell in results.study.cells.all().values()
    )
    lines.append(
        f"\nAll in all, measuring included: {minutes_spent / 60:.1f} hours of such processes."
    )
    planned = [(data, arm.name) for data in results.data for arm in ARMS[data]]
    missing = sum(results.seeds - len(results.cells(*one)) for one in planned)
    if missing:
        lines.append(
            f"\n**Not finished: {missing} of {len(planned) * results.seeds} runs missing.**"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
