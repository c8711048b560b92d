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

from reproduction_study.arms import CONTRASTS, cell_name, datasets
from reproduction_study.runs import Study
from reproduction_study.verdicts import interval

from pipelines.command_line import UserError, command
from pipelines.evaluation.report import table

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
    parser.add_argument("--output", required=True, metavar="DIR", help="new, or of this benchmark")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", metavar="TEXT", help="arms whose name has it")
    parser.add_argument(
        "--shorten", type=int, default=1, metavar="N", help="an Nth of all steps: a dry run"
    )
    arguments = parser.parse_args(argv)
    if arguments.seeds < 1 or arguments.shorten < 1:
        raise UserError("--seeds and --shorten must be at least 1.")
    arms = [arm for arm in CONTRASTS if arguments.only in arm.name]
    if not arms:
        names = ", ".join(arm.name for arm in CONTRASTS)
        raise UserError(f"--only {arguments.only}: no arm's name has it; they are {names}.")
    study, data = Study(Path(arguments.output), arguments.shorten), datasets(None)["scenes"]
    # Seed by seed, so that a benchmark that is stopped early has all arms.
    for seed in range(arguments.seeds):
        for arm in arms:
            study.arm(data, arm, seed)
    print(
        f"{max(2, data.steps // arguments.shorten)} steps of 32 pairs, at most "
        f"{arguments.seeds} seeds\n"
    )
    print(report(study, arguments.seeds))


def report(study: Study, seeds: int) -> str:
    """The table of the cells that there are."""
    found = study.cells.all()
    cells = {
        arm.name: {
            seed: found[name]
            for seed in range(seeds)
            if (name := cell_name("scenes", arm.name, seed)) in found
        }
        for arm in CONTRASTS
    }
    rows: list[tuple[str, ...]] = [
        ("arm", "seeds", *(head for head, _ in FIGURES.values()), "minutes")
    ]
    default = CONTRASTS[0].name
    for arm, ours in cells.items():
        if not ours:
            continue
        row = [arm, str(len(ours))]
        for name, (_, form) in FIGURES.items():
            mean = fmean(cell["figures"][name] for cell in ours.values())
            gains = [
                cell["figures"][name] - cells[default][seed]["figures"][name]
                for seed, cell in ours.items()
                if seed in cells[default] and arm != default
            ]
            row.append(f"{mean:{form}}{_gain(gains, form)}")
        rows.append((*row, f"{fmean(cell['minutes'] for cell in ours.values()):.1f}"))
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
