"""What studies measure of pictures, drawn or real, by the features of a dual encoder."""

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

import torch
from PIL import Image, ImageFilter

from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.dual_encoder.matcher import Matcher
from pipelines.evaluation.dual_encoder_metrics import diversity, frechet_distance, r_precision
from study.cells import Figures
from study.pairs import Pairs

SAMPLING: dict[str, Any] = {"temperature": 0.8, "guidance_scale": 1.5}
"""Of all drawings of the two-stage system, unless a figure is about it: what the hour's run on
scenes chose on validation scenes (docs/results.md)."""
SCENES = 500
"""Of a set of test scenes."""
PICTURES = 2
"""Of each text, for diversity."""
BLUR = 2
"""Radius in pixels, of pictures blurred to see what the dual encoder sees."""

Draw = Callable[[Sequence[str], Sequence[int]], list[Image.Image]]
"""Texts and a seed for each -> pictures."""


def drawing_of(pipe: BidirectionalPipeline, **options: Any) -> Draw:
    """How the two-stage system draws: as `SAMPLING` says, unless `options` say otherwise."""

    def draw(captions: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
        return pipe.generate_images(captions, seed=seeds, **{**SAMPLING, **options})

    return draw


def drawn_sets(draw: Draw, captions: Sequence[str]) -> list[list[Image.Image]]:
    """`PICTURES` sets with a picture of each caption, by noises that no two pictures share."""
    count = len(captions)
    return [draw(captions, range(k * count, (k + 1) * count)) for k in range(PICTURES)]


def judged(
    matcher: Matcher,
    pairs: Pairs,
    drawn: Sequence[Sequence[Image.Image]],
    compared: int | None = None,
) -> Figures:
    """R-precision among 100 captions and Fréchet distance from the real pictures, means over sets,
    and diversity within a caption.

    Args:
        drawn: sets with one picture of each caption; of a single one there is no diversity.
        compared: how many of the sets the means are over; None for all.
    """
    real = matcher.image_features(pairs.pictures)
    texts = matcher.text_features(pairs.captions)
    features = [matcher.image_features(images) for images in drawn]
    some = features[:compared]
    figures: Figures = {
        "r_precision": fmean(r_precision(one, texts, pairs.captions) for one in some),
        "distance": fmean(frechet_distance(real, one) for one in some),
    }
    if len(features) > 1:
        figures["diversity"] = diversity(torch.stack(features, dim=1))
    return figures


def real_figures(matcher: Matcher, test: Pairs, train: Pairs) -> Figures:
    """Of real pictures, as they are and damaged: what a drawn one can reach, and how deep a dual
    encoder sees."""
    count = min(len(test.pictures), len(train.pictures) // 2)
    apart = len(train.pictures) // (2 * count)
    one, other = (train.pictures[start::apart][:count] for start in (0, apart * count))
    texts = matcher.text_features(test.captions)
    real = matcher.image_features(test.pictures)
    pictures = [Image.fromarray(picture) for picture in test.pictures]
    blurred = matcher.image_features([p.filter(ImageFilter.GaussianBlur(BLUR)) for p in pictures])
    grey = matcher.image_features([p.convert("L").convert("RGB") for p in pictures])
    one_features, other_features = matcher.image_features(one), matcher.image_features(other)
    return {
        "r_precision": r_precision(real, texts, test.captions),
        "r_precision_blurred": r_precision(blurred, texts, test.captions),
        "distance": frechet_distance(real[:count], one_features),
        "distance_training": frechet_distance(one_features, other_features),
        "distance_blurred": frechet_distance(real, blurred),
        "distance_grey": frechet_distance(real, grey),
    }
