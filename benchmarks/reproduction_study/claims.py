"""What the study decides: each claim as comparisons between two arms."""

from dataclasses import dataclass

from reproduction_study.results import NOTHING, Comparison, Results

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


SPARSE = (
    keeps_the_loss("base", "attention by row, column, row, conv"),
    keeps_the_loss("row", "by row alone"),
    keeps_the_loss("column", "by column alone"),
    keeps_the_loss("conv", "conv alone"),
)


def arm_of(tokenizer: str, end_to_end: str) -> str:
    """The name of the arm with a tokenizer and a kind of end-to-end training, or none."""
    if tokenizer == "vq":
        return end_to_end or "base"
    return f"dvae_{end_to_end}" if end_to_end else "dvae"


def right_or_distance(better: tuple[str, str], than: tuple[str, str]) -> tuple[Comparison, ...]:
    """Drawings right on scenes, the distance from real ones on emoji."""
    (arm, figure), (other, reference) = better, than
    return (
        Comparison("scenes", better, than),
        Comparison(
            "emoji", (arm, f"distance_{figure}"), (other, f"distance_{reference}"), lower=True
        ),
    )


def end_to_end(tokenizer: str, suffix: str) -> tuple[Claim, ...]:
    """What the five rows of a table of the paper's say."""
    two, whole = arm_of(tokenizer, ""), arm_of(tokenizer, "end_to_end" + suffix)
    name = "dVAE" if tokenizer == "dvae" else f"VQ, `{'predicting' if suffix else 'consumed'}`"
    ids, hidden = "drawn_codebook", "drawn_hidden"
    return (
        Claim(
            f"a generator trained end to end draws better ids ({name})",
            right_or_distance((whole, ids), (two, ids)),
        ),
        Claim(
            f"generator and reconstructor end to end draw better than two-stage ({name})",
            right_or_distance((whole, hidden), (two, ids)),
        ),
        Claim(
            f"gold ids are painted better from hidden states ({name})",
            right_or_distance((whole, "gold_hidden"), (whole, "gold_codebook")),
        ),
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
        right_or_distance(
            ("end_to_end", "drawn_hidden"), ("end_to_end_predicting", "drawn_hidden")
        ),
    ),
)

OPTIONS = tuple(
    Claim(
        f"{name} draws better than without",
        (Comparison("scenes", (arm, "drawn_hidden"), ("end_to_end", "drawn_hidden")),),
    )
    for arm, name in (
        ("end_to_end_own_ids", "`sampled_ids: 0.3`"),
        ("end_to_end_adversarial", "`adversarial_weight: 0.2`"),
        ("end_to_end_new_decoder", "`decoder_start: random`"),
    )
)


def together(verb: str, arm: str, figure: str, loss: str) -> tuple[Claim, ...]:
    """That one model for both directions does better at one of them than one for that alone."""
    return tuple(
        Claim(
            f"one model for both {verb} better than one for that alone, {steps}, {measure}",
            (Comparison("scenes", ("both", measured), (arm + ending, measured), lower=lower),),
        )
        for ending, steps in (("", "equal steps per direction"), ("_twice", "equal total steps"))
        for measure, measured, lower in (
            ("in right answers", figure, False),
            ("in nats", loss, True),
        )
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
    of_sampling("given the upper half, the rest is drawn better", "completed", "guidance/1.5"),
)

CLAIMS = (*SPARSE, *(one for table in TABLES.values() for one in table), *STATES, *OPTIONS)
CLAIMS += (*DIRECTIONS, *SAMPLING)


def verdict_lines(results: Results, claims: tuple[Claim, ...]) -> str:
    """A list: each claim with verdict, mean gain and interval."""
    return "".join(
        f"- {claim.sentence}: "
        + "; ".join(
            f"{one.data} {results.judged(one)}"
            for one in claim.comparisons
            if one.data in results.data
        )
        + "\n"
        for claim in claims
    )


def verdict_rows(results: Results) -> list[tuple[str, ...]]:
    """A table: each claim with its verdict alone, by data set."""
    rows = [("claim", *results.data)]
    for claim in CLAIMS:
        words = {one.data: results.verdict(one) for one in claim.comparisons}
        rows.append((claim.sentence, *(words.get(data, NOTHING) for data in results.data)))
    return rows
