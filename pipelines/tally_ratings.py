"""Says what the ratings of a rating sheet amount to.

    python pipelines/tally_ratings.py --key runs/key.json ratings-ANNA.json ratings-BEN.json

The sheet and its key are those of `pipelines/evaluation/rating_sheet.py`, the other files what
raters saved. Sheets that are not finished count as far as they go. With `--output` a folder gets
`ratings.json` and `ratings.md`.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict

from pipelines.command_line import command, command_parser, open_output
from pipelines.evaluation.rating_tally import RESAMPLES, Mean, Preference, Tally, tally_ratings
from pipelines.evaluation.ratings import PREFERENCES, SCORES, read_key, read_ratings
from pipelines.evaluation.report import write_report
from pipelines.markdown_tables import table

UNKNOWN = "–"
HEADS = {"quality": "best quality", "alignment": "fits the text best"}


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument("ratings", nargs="+", metavar="RATINGS", help="a file that a rater saved")
    parser.add_argument(
        "--key", required=True, metavar="FILE", help="the key that was written with the sheet"
    )
    parser.add_argument(
        "--output", metavar="DIR", help="a new or empty folder for ratings.json and ratings.md"
    )
    return parser.parse_args(argv)


@command
def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    key = read_key(arguments.key)
    tally = tally_ratings(key, read_ratings(arguments.ratings, key))
    said = page(tally)
    if arguments.output is not None:
        folder = open_output(arguments.output)
        write_report(folder, f"# Ratings by people\n\n{said}\n", asdict(tally), "ratings")
    print(said)


def page(tally: Tally) -> str:
    """All tables, with a sentence before each."""
    parts = [
        f"Means of ratings from 1 to 5, with 95% confidence intervals over prompts ({RESAMPLES} "
        "bootstrap resamples); shares of choices.",
        table([("system", *SCORES, *HEADS.values()), *system_rows(tally)]),
        "Prompts of which more raters chose one system than the other, and the exact two-sided "
        "sign test's p of each pair, not corrected for their number.",
        table([("systems", "question", "prompts", "p"), *pair_rows(tally)]),
        f"Sheet {tally.sheet}, {tally.prompts} prompts.",
        table(
            [
                ("rater", "answers", "prompts finished"),
                *((rater.name, str(rater.answers), str(rater.finished)) for rater in tally.raters),
            ]
        ),
    ]
    if tally.agreement:
        parts += [
            "Agreement of raters, Krippendorff's alpha (1 at best, 0 by chance): ordinal for "
            "ratings, nominal for choices.",
            table([("question", "alpha"), *((n, decimals(a)) for n, a in tally.agreement.items())]),
        ]
    return "\n\n".join(parts)


def system_rows(tally: Tally) -> list[tuple[str, ...]]:
    chosen = [tally.preferences[name] for name in PREFERENCES]
    rows = [
        (
            system,
            *(interval(scores[name]) for name in SCORES),
            *(share(one, system) for one in chosen),
        )
        for system, scores in tally.scores.items()
    ]
    return [*rows, ("no difference", *[""] * len(SCORES), *(share(one, None) for one in chosen))]


def pair_rows(tally: Tally) -> list[tuple[str, ...]]:
    return [
        (
            f"{pair.first} : {pair.second}",
            HEADS[name],
            f"{pair.first_preferred} : {pair.second_preferred}",
            f"{pair.p:.2g}",
        )
        for name, preference in tally.preferences.items()
        if preference is not None
        for pair in preference.pairs
    ]


def interval(mean: Mean | None) -> str:
    if mean is None:
        return UNKNOWN
    ends = "" if mean.low is None else f" [{mean.low:.2f}, {mean.high:.2f}]"
    return f"{mean.mean:.2f}{ends}"


def share(preference: Preference | None, system: str | None) -> str:
    """Of a system, or of no difference."""
    if preference is None:
        return UNKNOWN
    return decimals(preference.no_difference if system is None else preference.shares[system])


def decimals(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3f}"


if __name__ == "__main__":
    main()
