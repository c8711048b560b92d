"""`reproduction.md`: tables over seeds and what they decide, from the cells there are."""

from collections.abc import Callable, Sequence

import torch
from study.figures import BLUR
from study.figures import SAMPLING as SAMPLING_SETTINGS
from study.verdicts import NOTHING
from tokenizer_figures import PICTURES

from pipelines.markdown_tables import table
from reproduction_study.arms import DOWNSAMPLING, LONGER
from reproduction_study.claims import (
    DIRECTIONS,
    IDS,
    SAMPLING,
    SPARSE,
    TOKENS,
    verdict_lines,
    verdict_rows,
)
from reproduction_study.end_to_end_page import end_to_end_section
from reproduction_study.results import ReproductionResults
from reproduction_study.sampling_figures import CANDIDATES, FEWER_SCENES, GUIDANCE_SCALES
from unified_transformer.attention.patterns import sees

TOKENIZER_FIGURES = {
    "psnr": 2,
    "codebook_size": 0,
    "codes_used": 0,
    "perplexity": 1,
    "minutes": 1,
}
"""Of a tokenizer's cell, and the digits that are shown."""


def short_section(results: ReproductionResults) -> str:
    """All verdicts."""
    return f"""## In short

"Holds here" and "does not hold here": the 95 % interval of the mean gain over {results.seeds} seeds
(paired differences, Student's t) lies on one side. A verdict is of this size, this budget, these
tokenizers and these test rows, which all seeds share; where there is no difference, chance still
calls one comparison in twenty; and where seeds happen to agree, a gain of a test row or two is
called as well: the size of a gain, below, says more than its verdict.

{table(verdict_rows(results))}
"""


def tools_section(results: ReproductionResults) -> str:
    """What is shared by all arms."""
    rows: list[tuple[str, ...]] = [
        ("tokenizer", "PSNR, dB", "codes", "in use", "perplexity of ids", "minutes")
    ]
    real_rows = [("what the dual encoder says of real test pictures", *results.data)]
    real = {data: results.study.cells.finished(f"{data}_real") or {} for data in results.data}
    for data in results.data:
        for kind, name in (("vq", "nearest codes"), ("dvae", f"dVAE, {LONGER} × the steps")):
            cell = results.study.cells.finished(f"{data}_tokenizer_{kind}")
            if cell is not None:
                figures = (
                    f"{cell[figure]:.{digits}f}" if figure in cell else NOTHING
                    for figure, digits in TOKENIZER_FIGURES.items()
                )
                rows.append((f"{data}, {name}", *figures))
    for figure, text in (
        ("r_precision", "R-precision (0.010 by chance)"),
        ("r_precision_blurred", f"the same, blurred (radius {BLUR} pixels)"),
        ("distance", "Fréchet distance from as many of the training part"),
        ("distance_training", "the same, between two sets of the training part"),
        ("distance_blurred", "from themselves, blurred"),
        ("distance_grey", "from themselves, grey"),
    ):
        shown = (f"{found[figure]:.3f}" if found else NOTHING for found in real.values())
        real_rows.append((text, *shown))
    return f"""## What all arms share

Of {PICTURES} validation pictures, whole codes (perplexity, e ** entropy: what is low is easy to
predict):

{table(rows)}

{table(real_rows)}
"""


def sparse_section(results: ReproductionResults) -> str:
    """Claim 1."""
    rows: list[tuple[str, ...]] = [
        (
            *("data", "attention", "nats per id", "nats per token", "drawn right / distance"),
            "described right",
        )
    ]
    for data in results.data:
        picture = "drawn_codebook" if data == "scenes" else "distance_drawn_codebook"
        for arm, name in (
            ("dense", "dense"),
            ("base", "row, column, row, conv"),
            ("row", "row"),
            ("column", "column"),
            ("conv", "conv"),
        ):
            figures = (IDS, TOKENS, picture, "described")
            shown = (results.shown(data, arm, figure) for figure in figures)
            rows.append((data, name, *shown))
    grids = {data.side // DOWNSAMPLING for data in results.data.values()}
    return f"""## Sparse attention keeps the loss curve of dense

The paper says so without a table (section 3.3, "Sparse Attention"); so does DALL-E. Losses are of
validation rows at the end of equal steps. Of the pairs of image positions that dense attention
sees, {"; ".join(shares(grid) for grid in sorted(grids))}: of conv, made for 32 x 32, so small a
grid asks little. Nor does it gain time: so few positions are attended to densely, with a mask
([performance](performance.md) has what sparse attention saves on larger grids).

{table(rows)}

![validation loss by step](images/reproduction_sparse.png)

Here and below, in brackets: the mean gain and its 95 % interval.

{verdict_lines(results, SPARSE)}"""


def shares(grid: int) -> str:
    """Of the pairs that dense attention sees, those that each pattern leaves."""
    places = torch.arange(grid * grid)
    query, key = places[:, None], places[None, :]
    row, column, conv, dense = (
        sees(name, query, key, grid, two_sided=False).sum().item()
        for name in ("row", "column", "conv", "dense")
    )
    return (
        f"on a grid of {grid} x {grid} ids row leaves {row / dense:.0%}, "
        f"column {column / dense:.0%} and conv {conv / dense:.0%}"
    )


def directions_section(results: ReproductionResults) -> str:
    """Claim 3."""
    figures = {
        IDS: "nats per id",
        "drawn_codebook": "one object drawn",
        TOKENS: "nats per token",
        "described": "one described",
        "described_two": "two described",
    }
    rows = [("trained", *figures.values())]
    for arm, name in (
        ("both", "both directions, N steps"),
        ("draw_only", "drawing only, N steps"),
        ("draw_only_twice", "drawing only, 2N steps"),
        ("describe_only", "describing only, N steps"),
        ("describe_only_twice", "describing only, 2N steps"),
    ):
        untrained = (
            IDS if arm.startswith("describe") else TOKENS if arm.startswith("draw") else None
        )
        shown = (
            NOTHING if figure == untrained else results.shown("scenes", arm, figure)
            for figure in figures
        )
        rows.append((name, *shown))
    return f"""## One model for both directions helps

Scenes of one or two objects, over the tokenizer that the other arms have, which has seen one object
at a time. A step of the model for both takes both directions of the same pairs, so that N of its
steps are N in each direction (equal steps per direction) and 2N passes (equal passes: the rows with
2N, which also have seen 2N batches of pairs).

{table(rows)}

![validation losses by step](images/reproduction_directions.png)

{verdict_lines(results, DIRECTIONS)}"""


def sampling_section(results: ReproductionResults) -> str:
    """Claim 4, and what the rest of sampling adds."""

    def row(name: str, key: str, points: Sequence) -> tuple[str, ...]:
        paths = (f"sampling/{key}/{point}" for point in points)
        return (name, *(results.shown("scenes", "base", path) for path in paths))

    guidance = [("guidance scale", *map(str, GUIDANCE_SCALES))]
    guidance.append(row("drawn right", "guidance", GUIDANCE_SCALES))
    best = [("best of", *map(str, CANDIDATES))]
    best.append(row("by the model's own captions", "best_of", CANDIDATES))
    best.append(row("by the dual encoder", "best_of_by_dual_encoder", CANDIDATES))
    best.append(row("if the right one were known", "any_of", CANDIDATES))
    return f"""## Guidance, reranking, completion

The base runs of scenes (one object), {FEWER_SCENES} test captions a figure, temperature
{SAMPLING_SETTINGS["temperature"]}, guidance {SAMPLING_SETTINGS["guidance_scale"]} where it is not
the question.

{table(guidance)}

{table(best)}

![drawn right by guidance and by candidates](images/reproduction_sampling.png)

Drawn right with the upper half of its picture given (`--complete`), of the scenes whose object the
half cuts ({results.shown("scenes", "base", "sampling/cut_scenes", 0)}):
{results.shown("scenes", "base", "sampling/completed")}; of the same captions with nothing given:
{results.shown("scenes", "base", "sampling/not_completed")}.

{verdict_lines(results, SAMPLING)}"""


Section = Callable[[ReproductionResults], str]

SECTIONS: tuple[Section, ...] = (
    short_section,
    tools_section,
    sparse_section,
    end_to_end_section,
    directions_section,
    sampling_section,
)
