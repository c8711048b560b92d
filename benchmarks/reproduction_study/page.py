"""`reproduction.md`: tables over seeds, what they decide, and curves, from the cells there are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib.pyplot as plt

from pipelines.evaluation.report import table
from reproduction_study.arms import Dataset
from reproduction_study.cells import Study
from reproduction_study.figures import CANDIDATES, FEWER_SCENES, GUIDANCE_SCALES, SAMPLING, SCENES
from reproduction_study.verdicts import interval, spread, verdict

MARGIN = 0.02
"""A sparse arm keeps dense attention's loss where it is not worse by more than this share of it."""


@dataclass(frozen=True)
class Results:
    """The cells of all seeds."""

    study: Study
    data: dict[str, Dataset]
    seeds: int

    def cells(self, data: str, arm: str) -> dict[int, dict[str, Any]]:
        """By seed, those that are finished."""
        found = {s: self.study.finished(f"{data}_{arm}_{s}") for s in range(self.seeds)}
        return {seed: cell for seed, cell in found.items() if cell is not None}

    def values(self, data: str, arm: str, figure: str) -> dict[int, float]:
        """A figure of an arm by seed: a path into a cell's `figures`, or `loss/NAME`, which is the
        last validation's."""
        found = {}
        for seed, cell in self.cells(data, arm).items():
            last = {name.removeprefix("validation_"): v for name, v in cell["curve"][-1].items()}
            value: Any = {**cell["figures"], "loss": last}
            for key in figure.split("/"):
                value = value.get(key) if isinstance(value, dict) else None
            if value is not None:
                found[seed] = float(value)
        return found

    def shown(self, data: str, arm: str, figure: str, digits: int = 3) -> str:
        """Mean ± spread over seeds."""
        return spread(list(self.values(data, arm, figure).values()), digits)

    def gains(
        self, data: str, one: tuple[str, str], other: tuple[str, str], lower: bool = False
    ) -> list[float]:
        """How much better (arm, figure) `one` is than `other`, for each seed that both have."""
        ours, theirs = self.values(data, *one), self.values(data, *other)
        sign = -1 if lower else 1
        return [sign * (ours[seed] - theirs[seed]) for seed in sorted(ours.keys() & theirs.keys())]


def judged(gains: Sequence[float], margin: float = 0.0) -> str:
    """A verdict with the mean gain and its interval."""
    if len(gains) < 2:
        return "—"
    low, high = interval(gains)
    return f"{verdict(gains, margin)} ({fmean(gains):+.3f}, {low:+.3f} to {high:+.3f})"


Section = Callable[[Results], str]


def tools_section(results: Results) -> str:
    """What is shared by all arms."""
    rows = [("tokenizer", "PSNR of validation pictures, dB", "codes", "minutes")]
    lines = []
    for data in results.data:
        for kind, name in (("vq", "nearest codes"), ("dvae", "dVAE (Gumbel-softmax)")):
            cell = results.study.finished(f"{data}_tokenizer_{kind}")
            if cell is not None:
                psnr, minutes = f"{cell['psnr']:.2f}", f"{cell['minutes']:.1f}"
                rows.append((f"{data}, {name}", psnr, str(cell["codebook_size"]), minutes))
        real = results.study.finished(f"{data}_real")
        if real is not None:
            lines.append(
                f"To the dual encoder of {data}, real pictures of the test part have R-precision "
                f"{real['r_precision']:.3f} (0.010 by chance), and a distance of "
                f"{real['distance']:.3f} from as many of the training part."
            )
    return f"""## What all arms share

{table(rows)}

{chr(10).join(lines)}
"""


def sparse_section(results: Results) -> str:
    """Claim 1."""
    rows = [
        (
            "data",
            "attention",
            "nats per id",
            "nats per token",
            "drawn right / distance",
            "not worse than dense by 2 % in nats per id",
            "minutes",
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
            loss = "loss/text_to_image"
            gains = results.gains(data, (arm, loss), ("dense", loss), lower=True)
            dense = list(results.values(data, "dense", loss).values())
            spent = [cell["minutes"] for cell in results.cells(data, arm).values()]
            rows.append(
                (
                    data,
                    name,
                    results.shown(data, arm, loss),
                    results.shown(data, arm, "loss/image_to_text"),
                    results.shown(data, arm, picture),
                    "" if arm == "dense" or not dense else judged(gains, MARGIN * fmean(dense)),
                    spread(spent, 1),
                )
            )
    return f"""## Sparse attention keeps the loss curve of dense

The paper says so without a table (section 3.3, "Sparse Attention"); so does DALL-E. Losses are of
validation rows at the end of equal steps. Brackets: the mean gain over dense and its 95 % interval.

{table(rows)}

![validation loss by step](images/reproduction_sparse.png)
"""


FIVE_ROWS = (
    ("two-stage", "two-stage", "", "drawn_codebook", "41.4"),
    ("end-to-end", "two-stage", "end_to_end", "drawn_codebook", "40.5"),
    ("end-to-end", "end-to-end", "end_to_end", "drawn_hidden", "39.9"),
    ("gold ids", "two-stage", "end_to_end", "gold_codebook", "21.7"),
    ("gold ids", "end-to-end", "end_to_end", "gold_hidden", "18.6"),
)


def arm_of(tokenizer: str, end_to_end: str) -> str:
    """Its name."""
    if tokenizer == "vq":
        return end_to_end or "base"
    return f"dvae_{end_to_end}" if end_to_end else "dvae"


def end_to_end_section(results: Results) -> str:
    """Claim 2."""
    parts = []
    for tokenizer, title, state in (
        ("dvae", "dVAE (the paper's)", "consumed"),
        ("vq", "VQ", "consumed"),
        ("vq", "VQ", "predicting"),
    ):
        suffix = "" if state == "consumed" else "_predicting"
        rows = [five_rows_head(results)]
        for generator, painter, kind, figure, fid in FIVE_ROWS:
            arm = arm_of(tokenizer, kind and kind + suffix)
            cells = [generator, painter]
            for data in results.data:
                cells += five_rows_cells(results, data, arm, figure)
            rows.append((*cells, fid))
        parts.append(f"### {title}, hidden states `{state}`\n\n{table(rows)}\n")
        parts.append(five_rows_verdicts(results, tokenizer, suffix))
    return f"""## End-to-end beats two-stage

The same five rows as the paper's table. Scenes: the share of {SCENES} test captions drawn right,
by the exact reader (gold: of test pictures painted anew that read as the same scene). Emoji:
Fréchet distance and R-precision of the study's dual encoder, over the names of the test part.
"Gold ids" are those of test pictures; end to end, their hidden states come from a teacher-forced
pass over caption and ids.

{"".join(parts)}
{options_table(results)}"""


def five_rows_head(results: Results) -> tuple[str, ...]:
    """Of a table."""
    cells = ["generator", "reconstructor"]
    for data in results.data:
        cells += ["scenes right"] if data == "scenes" else ["emoji distance", "R-precision"]
    return (*cells, "FID in the paper")


def five_rows_cells(results: Results, data: str, arm: str, figure: str) -> list[str]:
    """Of one row and data set."""
    if data == "scenes":
        return [results.shown(data, arm, figure)]
    return [
        results.shown(data, arm, f"distance_{figure}"),
        results.shown(data, arm, f"r_precision_{figure}"),
    ]


def five_rows_verdicts(results: Results, tokenizer: str, suffix: str) -> str:
    """What the five rows decide, as a list."""
    two, whole = arm_of(tokenizer, ""), arm_of(tokenizer, "end_to_end" + suffix)
    comparisons = (
        ("a generator trained end to end draws better ids", "drawn_codebook", two),
        ("both end to end draw better than both two-stage", "drawn_hidden", two),
        ("gold ids are painted better from hidden states", "gold_hidden", whole),
    )
    lines = []
    for claim, figure, other in comparisons:
        found = []
        for data in results.data:
            reference = "gold_codebook" if figure.startswith("gold") else "drawn_codebook"
            prefix = "" if data == "scenes" else "distance_"
            gains = results.gains(
                data, (whole, prefix + figure), (other, prefix + reference), lower=bool(prefix)
            )
            found.append(f"{data}: {judged(gains)}")
        lines.append(f"- {claim}: {'; '.join(found)}")
    return "\n" + "\n".join(lines) + "\n\n"


def options_table(results: Results) -> str:
    """What the options add, on scenes."""
    arms = (
        ("end_to_end", "as in the paper (`consumed`, decoder from the tokenizer)"),
        ("end_to_end_own_ids", "`sampled_ids: 0.3`"),
        ("end_to_end_adversarial", "`adversarial_weight: 0.2`"),
        ("end_to_end_new_decoder", "`decoder_start: random`"),
    )
    rows = [("scenes", "drawn right", "by ids", "gold", "gold PSNR, dB", "gain in drawn right")]
    for arm, name in arms:
        gains = results.gains("scenes", (arm, "drawn_hidden"), ("end_to_end", "drawn_hidden"))
        rows.append(
            (
                name,
                results.shown("scenes", arm, "drawn_hidden"),
                results.shown("scenes", arm, "drawn_codebook"),
                results.shown("scenes", arm, "gold_hidden"),
                results.shown("scenes", arm, "gold_psnr_hidden", 2),
                "" if arm == "end_to_end" else judged(gains),
            )
        )
    return f"### Options beyond the paper's\n\n{table(rows)}\n"


def directions_section(results: Results) -> str:
    """Claim 3."""
    rows = [
        (
            "trained",
            "nats per id",
            "one object drawn",
            "nats per token",
            "one described",
            "two described",
        )
    ]
    for arm, name in (
        ("both", "both directions, N steps"),
        ("draw_only", "drawing only, N steps"),
        ("draw_only_twice", "drawing only, 2N steps"),
        ("describe_only", "describing only, N steps"),
        ("describe_only_twice", "describing only, 2N steps"),
    ):
        figures = ("loss/text_to_image", "drawn_codebook", "loss/image_to_text")
        figures += ("described", "described_two")
        rows.append((name, *(results.shown("scenes", arm, figure) for figure in figures)))
    lines = []
    for arm, what, figure, loss in (
        ("draw_only", "draws", "drawn_codebook", "loss/text_to_image"),
        ("draw_only_twice", "draws", "drawn_codebook", "loss/text_to_image"),
        ("describe_only", "describes", "described_two", "loss/image_to_text"),
        ("describe_only_twice", "describes", "described_two", "loss/image_to_text"),
    ):
        steps = "2N" if arm.endswith("twice") else "N"
        gains = results.gains("scenes", ("both", figure), (arm, figure))
        nats = results.gains("scenes", ("both", loss), (arm, loss), lower=True)
        lines.append(
            f"- one model for both {what} better than one for that alone, {steps} steps: "
            f"{judged(gains)}; in nats: {judged(nats)}"
        )
    return f"""## One model for both directions helps

Scenes of one or two objects. A step of the model for both takes both directions of the same pairs,
so that N of its steps are N in each direction (equal steps per direction) and 2N passes (equal
total steps: the rows with 2N).

{table(rows)}

{chr(10).join(lines)}
"""


def sampling_section(results: Results) -> str:
    """Claim 4, and what the rest of sampling adds."""

    def row(name: str, key: str, points: Sequence) -> tuple[str, ...]:
        return (
            name,
            *(results.shown("scenes", "base", f"sampling/{key}/{point}") for point in points),
        )

    guidance = [("guidance scale", *map(str, GUIDANCE_SCALES))]
    guidance.append(row("drawn right", "guidance", GUIDANCE_SCALES))
    best = [("best of", *map(str, CANDIDATES))]
    best.append(row("by the model's own captions", "best_of", CANDIDATES))
    best.append(row("by the dual encoder", "best_of_by_dual_encoder", CANDIDATES))
    best.append(row("if the right one were known", "any_of", CANDIDATES))

    def gains(one: str, other: str) -> str:
        return judged(
            results.gains("scenes", ("base", f"sampling/{one}"), ("base", f"sampling/{other}"))
        )

    return f"""## Guidance, reranking, completion

The runs "both directions" of scenes, {FEWER_SCENES} test captions a figure, temperature
{SAMPLING["temperature"]}, guidance {SAMPLING["guidance_scale"]} where it is not the question.

{table(guidance)}

{table(best)}

- guidance 1.5 draws better than none: {gains("guidance/1.5", "guidance/1.0")}
- best of 16 by the model's own captions beats one: {gains("best_of/16", "best_of/1")}
- the same by the dual encoder: {gains("best_of_by_dual_encoder/16", "best_of_by_dual_encoder/1")}
- completing the upper half of a real picture, drawn right:
  {results.shown("scenes", "base", "sampling/completed")}, from nothing
  {results.shown("scenes", "base", "sampling/guidance/1.5")}:
  {gains("completed", "guidance/1.5")}
"""


def plot_curves(results: Results, folder: Path) -> None:
    """`reproduction_sparse.png` and `reproduction_end_to_end.png`: mean validation loss per id, and
    the range over seeds."""
    for name, arms in (
        ("sparse", ("dense", "base", "row", "column", "conv")),
        ("end_to_end", ("base", "end_to_end", "end_to_end_predicting", "dvae", "dvae_end_to_end")),
    ):
        figure, panels = plt.subplots(
            1, len(results.data), figsize=(6 * len(results.data), 4), squeeze=False
        )
        for panel, data in zip(panels[0], results.data, strict=True):
            for arm in arms:
                plot_arm(panel, results, data, arm)
            panel.set(title=data, xlabel="step", ylabel="nats per image id, validation")
            panel.grid(visible=True, alpha=0.3)
            panel.legend(fontsize=8)
        figure.tight_layout()
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(folder / f"reproduction_{name}.png", dpi=100)
        plt.close(figure)


def plot_arm(panel: Any, results: Results, data: str, arm: str) -> None:
    """One line with its range."""
    curves = [
        {row["step"]: row["validation_text_to_image"] for row in cell["curve"]}
        for cell in results.cells(data, arm).values()
    ]
    if not curves:
        return
    steps = sorted(set.intersection(*map(set, curves)))
    columns = [[one[step] for one in curves] for step in steps]
    panel.plot(steps, list(map(fmean, columns)), marker=".", label=arm)
    panel.fill_between(steps, list(map(min, columns)), list(map(max, columns)), alpha=0.2)


SECTIONS: tuple[Section, ...] = (
    tools_section,
    sparse_section,
    end_to_end_section,
    directions_section,
    sampling_section,
)
