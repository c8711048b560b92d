"""What the study decides: each claim as comparisons between two arms."""

from dataclasses import dataclass

from reproduction_study.results import Comparison, ReproductionResults

IDS, TOKENS = "loss/text_to_image", "loss/image_to_text"
"""Validation losses: nats per image id, and per token of a caption."""
MARGIN = 0.02
"""A sparse arm keeps dense attention's loss where it is not worse by more than this share of it."""


@dataclass(frozen=True)
class Claim:
    """A sentence, and what it says of each data set."""

    sentence: str
    comparisons: tuple[Comparison, ...]


def keeps_the_loss(arm: str, name: str) -> Claim:
    """Of dense attention, per image id."""
    return Claim(
        f"{name} keeps the loss of dense attention, within 2 %",
        tuple(
            Comparison(data, (arm, IDS), ("dense", IDS), lower=True, margin=MARGIN)
            for data in ("scenes", "emoji")
        ),
    )


def arm_of(tokenizer: str, kind: str) -> str:
    """The name of the arm over a tokenizer's ids: of a kind, or the two-stage one."""
    if tokenizer == "vq":
        return kind or "base"
    return f"dvae_{kind}" if kind else "dvae"


def right_or_near(better: tuple[str, str], than: tuple[str, str]) -> tuple[Comparison, ...]:
    """Drawings right on scenes; the distance from real ones and R-precision on emoji."""
    (arm, figure), (other, reference) = better, than
    return (
        Comparison("scenes", better, than),
        Comparison(
            "emoji", (arm, f"distance_{figure}"), (other, f"distance_{reference}"), lower=True
        ),
        Comparison("emoji", (arm, f"r_precision_{figure}"), (other, f"r_precision_{reference}")),
    )


def draws_better_than_dense(arm: str, name: str) -> Claim:
    """Which equal losses do not say."""
    return Claim(
        f"{name} draws better than dense attention",
        right_or_near((arm, "drawn_codebook"), ("dense", "drawn_codebook")),
    )


PATTERNS = {
    "base": "attention by row, column, row, conv",
    "row": "by row alone",
    "column": "by column alone",
    "conv": "conv alone",
}
SPARSE = tuple(
    claim(arm, name)
    for claim in (keeps_the_loss, draws_better_than_dense)
    for arm, name in PATTERNS.items()
)


def end_to_end(tokenizer: str, suffix: str) -> tuple[Claim, ...]:
    """What the five rows of a table of the paper's say, and what their controls say of it."""
    two, whole = arm_of(tokenizer, ""), arm_of(tokenizer, "end_to_end" + suffix)
    tuned = arm_of(tokenizer, "tuned")
    name = "dVAE" if tokenizer == "dvae" else f"VQ, `{'predicting' if suffix else 'consumed'}`"
    ids, hidden = "drawn_codebook", "drawn_hidden"
    return (
        Claim(
            f"a generator trained end to end draws better ids ({name})",
            right_or_near((whole, ids), (two, ids)),
        ),
        Claim(
            f"what it draws is painted better from hidden states than from its ids ({name})",
            right_or_near((whole, hidden), (whole, ids)),
        ),
        Claim(
            f"generator and reconstructor end to end draw better than two-stage ({name})",
            right_or_near((whole, hidden), (two, ids)),
        ),
        Claim(
            f"they draw better than two-stage with a decoder trained on, as many steps ({name})",
            right_or_near((whole, hidden), (tuned, ids)),
        ),
        Claim(
            f"they draw better than two-stage of twice the steps ({name})",
            right_or_near((whole, hidden), (arm_of(tokenizer, "twice"), ids))[:1],
        ),
        Claim(
            f"gold ids are painted better from hidden states ({name})",
            (*right_or_near((whole, "gold_hidden"), (whole, "gold_codebook")), *gold_psnr(whole)),
        ),
        Claim(
            f"gold ids are painted better than by a decoder trained on, as many steps ({name})",
            (
                *right_or_near((whole, "gold_hidden"), (tuned, "gold_codebook")),
                *gold_psnr(whole, tuned),
            ),
        ),
    )


def gold_psnr(arm: str, other: str | None = None) -> tuple[Comparison, ...]:
    """Of gold ids painted from hidden states, over those painted from ids (by another arm)."""
    return tuple(
        Comparison(data, (arm, "gold_psnr_hidden"), (other or arm, "gold_psnr_codebook"))
        for data in ("scenes", "emoji")
    )


TABLES = {
    ("dvae", ""): end_to_end("dvae", ""),
    ("vq", ""): end_to_end("vq", ""),
    ("vq", "_predicting"): end_to_end("vq", "_predicting"),
}
"""By tokenizer, and what an arm's name ends in."""

STATES = (
    Claim(
        "`consumed` draws better than `predicting` (VQ)",
        right_or_near(("end_to_end", "drawn_hidden"), ("end_to_end_predicting", "drawn_hidden")),
    ),
)

OPTION_NAMES = {
    "end_to_end_own_ids": "`sampled_ids: 0.3`",
    "end_to_end_adversarial": "`adversarial_weight: 0.2` from step 200",
    "end_to_end_new_decoder": "`decoder_start: random`",
}
"""By arm."""
OPTIONS = tuple(
    Claim(
        f"{name} draws better than without",
        (Comparison("scenes", (arm, "drawn_hidden"), ("end_to_end", "drawn_hidden")),),
    )
    for arm, name in OPTION_NAMES.items()
)


def together(verb: str, arm: str, figure: str, loss: str) -> tuple[Claim, ...]:
    """That one model for both directions does better at one of them than one for that alone."""
    return tuple(
        Claim(
            f"one model for both {verb} better than one for that alone, {steps}",
            (
                Comparison("scenes", ("both", figure), (arm + ending, figure)),
                Comparison("scenes", ("both", loss), (arm + ending, loss), lower=True),
            ),
        )
        for ending, steps in (("", "equal steps per direction"), ("_twice", "equal passes"))
    )


DIRECTIONS = (
    *together("draws", "draw_only", "drawn_codebook", IDS),
    *together("describes", "describe_only", "described_two", TOKENS),
)


def of_sampling(sentence: str, one: str, other: str) -> Claim:
    """About the base of scenes."""
    return Claim(
        sentence,
        (Comparison("scenes", ("base", f"sampling/{one}"), ("base", f"sampling/{other}")),),
    )


SAMPLING = (
    of_sampling("guidance 1.5 draws better than none", "guidance/1.5", "guidance/1.0"),
    of_sampling("best of 16 by the model's own captions beats one", "best_of/16", "best_of/1"),
    of_sampling(
        "best of 16 by the dual encoder beats one",
        "best_of_by_dual_encoder/16",
        "best_of_by_dual_encoder/1",
    ),
    of_sampling(
        "an object that the given half cuts is drawn better than from nothing",
        "completed",
        "not_completed",
    ),
)

CLAIMS = (*SPARSE, *(one for table in TABLES.values() for one in table), *STATES, *OPTIONS)
CLAIMS += (*DIRECTIONS, *SAMPLING)


FIGURES = {
    "loss": "loss",
    "distance": "distance",
    "r_precision": "R-precision",
    "gold_psnr": "PSNR",
}
"""What a comparison is about, by what the figure's name begins with; else right answers."""


def measure_of(one: Comparison) -> str:
    """Data set and figure, in words."""
    kinds = [words for start, words in FIGURES.items() if one.better[1].startswith(start)]
    return " ".join([one.data, *kinds])


def verdict_lines(results: ReproductionResults, claims: tuple[Claim, ...]) -> str:
    """A list: each claim with verdict, mean gain and interval."""
    return "".join(
        f"- {claim.sentence}: "
        + "; ".join(
            f"{measure_of(one)} {results.judged(one)}"
            for one in claim.comparisons
            if one.data in results.data
        )
        + "\n"
        for claim in claims
    )


def verdict_rows(results: ReproductionResults) -> list[tuple[str, ...]]:
    """A table: each claim with its verdict alone, by data set and figure."""
    compared = [one for claim in CLAIMS for one in claim.comparisons if one.data in results.data]
    measures = list(dict.fromkeys(map(measure_of, compared)))
    measures.sort(key=lambda measure: measure.split()[0] != "scenes")
    rows = [("claim", *measures)]
    for claim in CLAIMS:
        words = {measure_of(one): results.verdict(one) for one in claim.comparisons}
        rows.append((claim.sentence, *(words.get(measure, "") for measure in measures)))
    return rows
