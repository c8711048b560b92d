"""Captions against given ones: BLEU, METEOR, ROUGE-L, CIDEr-D and SPICE by pycocoevalcap."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from pipelines.command_line import UserError
from pipelines.evaluation.caption_tokens import has_chinese, tokenize_all
from pipelines.evaluation.figures import Figure, Missing
from pipelines.evaluation.java_captions import meteor, spice
from pipelines.evaluation.java_programs import JavaError

Tokens = dict[int, list[str]]


@dataclass(frozen=True)
class CaptionFigures:
    """Over all captions; shares of 1, but CIDEr-D which is up to 10.

    `bleu_1` … `bleu_4` (Papineni et al. 2002): of the whole set, against the given caption nearest
    in length, not smoothed (but an order without a hit counts as 1e-15 of one). `meteor` (Denkowski
    and Lavie 2014, version 1.5). `rouge_l` (Lin 2004). `cider_d` (Vedantam et al., 1411.5726):
    words weigh by how few rows of this very set have them, so figures of other rows compare
    roughly. `spice` (Anderson et al., 1607.08822). `tokenizer`: how captions were split into words.
    """

    bleu_1: Figure
    bleu_2: Figure
    bleu_3: Figure
    bleu_4: Figure
    meteor: Figure
    rouge_l: Figure
    cider_d: Figure
    spice: Figure
    tokenizer: str
    captions: int


def score_captions(
    candidates: Sequence[str], references: Sequence[Sequence[str]]
) -> CaptionFigures:
    """All figures, in one process: several gather their texts first.

    Args:
        candidates: one of each row; empty ones count as wrong.
        references: of each row, all captions that were given.

    Raises:
        UserError: a row has no given caption.
        ValueError: there are not as many of the one as of the other.
    """
    if len(candidates) != len(references):
        raise ValueError(f"{len(candidates)} captions for {len(references)} rows of given ones.")
    for row, texts in enumerate(references):
        if not texts:
            raise UserError(f"row {row} has no caption to compare with; check the text column.")
    if find_spec("pycocoevalcap") is None:
        reason = "caption metrics need pycocoevalcap; pip install 'drawscribe[evaluation]'."
        return _all_missing(Missing(reason), len(candidates))
    if not candidates:
        return _all_missing(Missing("there were no captions to compare."), 0)
    said, given, tokenizer = tokenize_all(candidates, references)
    hypotheses: Tokens = {row: [text] for row, text in enumerate(said)}
    right: Tokens = dict(enumerate(given))
    english = not any(has_chinese(text) for texts in references for text in texts)
    bleu_1, bleu_2, bleu_3, bleu_4 = _bleu(right, hypotheses)
    return CaptionFigures(
        bleu_1,
        bleu_2,
        bleu_3,
        bleu_4,
        _of_english("METEOR", english, lambda: meteor(right, hypotheses)),
        _rouge_l(right, hypotheses),
        _cider_d(right, hypotheses),
        _of_english("SPICE", english, lambda: spice(right, hypotheses)),
        tokenizer,
        len(candidates),
    )


def _all_missing(missing: Missing, captions: int) -> CaptionFigures:
    scores = {name: missing for name in CaptionFigures.__annotations__}
    return CaptionFigures(**{**scores, "tokenizer": "none", "captions": captions})  # type: ignore[arg-type]


def _bleu(right: Tokens, hypotheses: Tokens) -> list[float]:
    from pycocoevalcap.bleu.bleu import Bleu

    scores, _ = Bleu(4).compute_score(right, hypotheses, verbose=0)
    return [float(score) for score in scores]


def _rouge_l(right: Tokens, hypotheses: Tokens) -> float:
    from pycocoevalcap.rouge.rouge import Rouge

    return float(Rouge().compute_score(right, hypotheses)[0])


def _cider_d(right: Tokens, hypotheses: Tokens) -> Figure:
    from pycocoevalcap.cider.cider import Cider  # which is CIDEr-D by its length penalty

    if len(right) < 2 or not any(text for texts in right.values() for text in texts):
        # One row has every word, which then weighs log 1.
        return Missing("CIDEr-D weighs words by how many rows have them; measure two rows or more.")
    return float(Cider().compute_score(right, hypotheses)[0])


def _of_english(name: str, english: bool, score: Callable[[], float]) -> Figure:
    if not english:
        return Missing(f"{name} knows English alone, and some given captions are Chinese.")
    try:
        return score()
    except JavaError as error:
        return Missing(f"{name} is a Java program: {error}.")
