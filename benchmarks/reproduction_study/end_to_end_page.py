"""The second claim's part of the page: the paper's five rows, their controls, options, drawings."""

from study.figures import PICTURES, SCENES

from pipelines.markdown_tables import table
from reproduction_study.claims import OPTION_NAMES, OPTIONS, STATES, TABLES, arm_of, verdict_lines
from reproduction_study.drawings import prompts_file
from reproduction_study.results import ReproductionResults

FIVE_ROWS = (
    ("two-stage", "two-stage", "", "drawn_codebook", ("",), "41.4"),
    ("end-to-end", "two-stage", "end_to_end", "drawn_codebook", ("end_to_end",), "40.5"),
    ("end-to-end", "end-to-end", "end_to_end", "drawn_hidden", ("end_to_end",), "39.9"),
    ("gold ids", "two-stage", "end_to_end", "gold_codebook", (), "21.7"),
    ("gold ids", "end-to-end", "end_to_end", "gold_hidden", ("end_to_end",), "18.6"),
    ("two-stage, twice the steps", "two-stage", "twice", "drawn_codebook", ("twice",), "control"),
    ("two-stage", "two-stage, trained on", "tuned", "drawn_codebook", ("", "tuned"), "control"),
    ("gold ids", "two-stage, trained on", "tuned", "gold_codebook", ("tuned",), "control"),
)
"""Generator, reconstructor, kind of arm, figure, kinds of arms that are trained for it after the
tokenizer, and the paper's FID."""


COLUMNS = {
    "scenes": {
        "scenes right": "{}",
        "held-out pairs right": "held_out_{}",
        "gold PSNR, dB": "{}_psnr",
    },
    "emoji": {
        "emoji distance": "distance_{}",
        "R-precision": "r_precision_{}",
        "diversity": "diversity_{}",
    },
}
"""By data set: a column and the figure's name around that of the row."""


def five_rows(results: ReproductionResults, tokenizer: str, suffix: str) -> str:
    """The paper's table, and the controls."""
    head = [column for data in results.data for column in COLUMNS[data]]
    rows = [("generator", "reconstructor", *head, "minutes", "FID in the paper")]

    def named_arm(kind: str) -> str:
        return arm_of(tokenizer, kind + suffix if kind == "end_to_end" else kind)

    for generator, painter, kind, figure, trained, fid in FIVE_ROWS:
        arm = named_arm(kind)
        cells = [generator, painter]
        for data in results.data:
            for around in COLUMNS[data].values():
                cells.append(results.shown(data, arm, named(around, figure)))
        arms = [named_arm(one) for one in trained]
        spent = " / ".join(results.minutes(data, *arms) for data in results.data)
        rows.append((*cells, spent, fid))
    return table(rows)


def named(around: str, figure: str) -> str:
    """The name of a figure of one of the five rows."""
    what, painter = figure.split("_")
    if around == "{}_psnr":
        return f"{what}_psnr_{painter}"
    if what == "drawn" and around.startswith("held_out"):
        return around.format(painter)
    return around.format(figure)


def end_to_end_section(results: ReproductionResults) -> str:
    """Claim 2."""
    parts = [
        f"### {'VQ' if tokenizer == 'vq' else 'dVAE'}, hidden states "
        f"`{'predicting' if suffix else 'consumed'}`\n\n{five_rows(results, tokenizer, suffix)}\n\n"
        f"{verdict_lines(results, claims)}\n"
        for (tokenizer, suffix), claims in TABLES.items()
    ]
    return f"""## End-to-end beats two-stage

The same five rows as the paper's table, which has a dVAE. Scenes: the share of {SCENES} test
captions drawn right, by the exact reader (gold: of test pictures painted anew that read as the same
scene). Emoji: Fréchet distance and R-precision of the study's dual encoder, over the names of the
test part. "Gold ids" are those of test pictures; end to end, their hidden states come from a
teacher-forced pass over caption and ids. The controls: the two-stage transformer trained for twice
the steps, which takes as long as end to end or longer; and the tokenizer's decoder trained on from
ids, for as many steps as the end-to-end one, with the same losses. Diversity: the mean cosine
distance of {PICTURES} drawings of a name, by the dual encoder. Minutes of
training after the tokenizer, on one core beside another busy one: {" / ".join(results.data)}.

![validation loss by step](images/reproduction_end_to_end.png)

{"".join(parts)}{verdict_lines(results, STATES)}
{options_table(results)}{drawings(results)}"""


def drawings(results: ReproductionResults) -> str:
    """The pictures that `draw_arms` has drawn."""
    pictures = [
        f"![the same prompts by several arms, {data.name}](images/reproduction_{data.name}.png)\n"
        for data in results.data.values()
        if prompts_file(results.study, data).exists()
    ]
    if not pictures:
        return ""
    text = (
        "### The same prompts, the same noise\n\nRuns with seed 0; by ids and by hidden states an "
        "end-to-end arm paints the same ids. Green: the exact reader finds what the prompt says.\n"
        "\n"
    )
    return "\n" + text + "\n".join(pictures)


def options_table(results: ReproductionResults) -> str:
    """What the options add, on scenes."""
    rows: list[tuple[str, ...]] = [
        ("scenes", "drawn right", "by ids", "held-out", "gold", "gold PSNR, dB", "minutes")
    ]
    for arm, name in (
        ("end_to_end", "as in the paper (`consumed`, decoder from the tokenizer)"),
        *OPTION_NAMES.items(),
    ):
        figures = ("drawn_hidden", "drawn_codebook", "held_out_hidden", "gold_hidden")
        shown = (results.shown("scenes", arm, figure) for figure in figures)
        ratio = results.shown("scenes", arm, "gold_psnr_hidden", 2)
        rows.append((name, *shown, ratio, results.minutes("scenes", arm)))
    return f"### Options beyond the paper's\n\n{table(rows)}\n\n{verdict_lines(results, OPTIONS)}"
