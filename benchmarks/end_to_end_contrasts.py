"""What a discriminator and each contrast are worth in end-to-end training, at equal steps.

    python benchmarks/end_to_end_contrasts.py --output runs/end_to_end_contrasts

Trains the arms of `reproduction_study.arms.CONTRASTS` on scenes of one object with several seeds,
all over the ids of one tokenizer, and measures them on 500 test scenes by the exact reader. The
dual encoder that says what captions mean (of sentences and words) is trained first, and measures
nothing. Prints a table: shares of scenes drawn right from their caption and from held-out pairs,
read right after painting from their own ids ("gold"), PSNR of that, each as mean over seeds and
what it gains over the first arm, with the interval of 95% by Student's t of paired differences.

A finished cell is never run again: start the same command anew to go on, or twice at once, each on
a core of its own (`taskset`). In the folder of `benchmarks/reproduction.py` the arms that both have
are not trained again either.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from reproduction_study.arms import CONTRASTS, datasets
from reproduction_study.results import Comparison, ReproductionResults
from reproduction_study.runs import ReproductionStudy
from study.command_line import parse_study
from study.verdicts import interval

from pipelines.command_line import UserError, command
from pipelines.markdown_tables import table

FIGURES = {
    "drawn_hidden": ("drawn right", ".3f"),
    "held_out_hidden": ("held-out pairs", ".3f"),
    "gold_hidden": ("gold read right", ".3f"),
    "gold_psnr_hidden": ("gold PSNR, dB", ".2f"),
}
"""Name of a cell's figure -> head of its column, and its format."""


@command
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Compare contrasts in end-to-end training.")
    parser.add_argument("--only", default="", metavar="TEXT", help="arms whose name has it")
    arguments = parse_study(parser, argv)
    arms = [arm for arm in CONTRASTS if arguments.only in arm.name]
    if not arms:
        names = ", ".join(arm.name for arm in CONTRASTS)
        raise UserError(f"--only {arguments.only}: no arm's name has it; they are {names}.")
    study = ReproductionStudy(Path(arguments.output), arguments.shorten)
    data = datasets(None)
    # Seed by seed, so that a benchmark that is stopped early has all arms.
    for seed in range(arguments.seeds):
        for arm in arms:
            study.arm(data["scenes"], arm, seed)
    steps = study.shortened(data["scenes"].steps)
    print(f"{steps} steps of 32 pairs, at most {arguments.seeds} seeds\n")
    print(report(ReproductionResults(study, arguments.seeds, data)))


def report(results: ReproductionResults) -> str:
    """The table of the cells that there are."""
    rows: list[tuple[str, ...]] = [
        ("arm", "seeds", *(head for head, _ in FIGURES.values()), "minutes")
    ]
    default = CONTRASTS[0].name
    for arm in (one.name for one in CONTRASTS):
        cells = results.cells("scenes", arm)
        if not cells:
            continue
        row = [arm, str(len(cells))]
        for figure, (_, form) in FIGURES.items():
            mean = fmean(results.values("scenes", arm, figure).values())
            over = Comparison("scenes", (arm, figure), (default, figure))
            gains = results.gains(over) if arm != default else []
            row.append(f"{mean:{form}}{_gain(gains, form)}")
        rows.append((*row, f"{fmean(cell['minutes'] for cell in cells.values()):.1f}"))
    return table(rows)


def _gain(gains: Sequence[float], form: str) -> str:
    """Of paired differences: their mean and, where there are two or more, its interval."""
    if not gains:
        return ""
    if len(gains) == 1:
        return f" ({gains[0]:+{form}})"
    low, high = interval(gains)
    return f" ({fmean(gains):+{form}}, {low:+{form}} to {high:+{form}})"


if __name__ == "__main__":
    main()
