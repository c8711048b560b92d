"""What is measured of pictures drawn of prompts: a part for each network that judges them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from pipelines.dual_encoder.matcher import Matcher
from pipelines.evaluation.classification import ClassificationScore, Classifier
from pipelines.evaluation.fidelity import FeatureStatistics, InceptionScore
from pipelines.evaluation.figures import Figures, Missing
from pipelines.evaluation.inception import Inception
from pipelines.evaluation.matching import Matching
from pipelines.evaluation.measures import Judges, Measure, RealPictures, as_bytes
from pipelines.evaluation.objects import ObjectAccuracy, TransformersDetector
from pipelines.evaluation.rows import Block
from pipelines.evaluation.subjects import Made

Judge = TypeVar("Judge")


class DrawingMeasures:
    """Of pictures drawn of prompts, by all judges; or of noise alone, by those that need none."""

    def __init__(self, judges: Judges, real: RealPictures, of_prompts: bool = True) -> None:
        self.parts = [
            part_of(judges.inception, ("fid", "inception_score"), lambda it: ByInception(it, real))
        ]
        if not of_prompts:
            return
        self.parts += [
            part_of(judges.matcher, ("clip_score", "r_precision"), ByMatcher),
            part_of(judges.detector, ("soa_c", "soa_i"), ByDetector),
            part_of(judges.classifier, ("top_1_accuracy", "mean_average_precision"), ByClassifier),
        ]

    def update(self, block: Block, made: Made) -> None:
        for part in self.parts:
            part.update(block, made)

    def figures(self) -> Figures:
        return {name: value for part in self.parts for name, value in part.figures().items()}


def part_of(
    judge: Judge | Missing, names: tuple[str, ...], part: Callable[[Judge], Measure]
) -> Measure:
    """The judge's part; of one that is missing, figures of these names are."""
    return Absent(names, judge) if isinstance(judge, Missing) else part(judge)


@dataclass(frozen=True)
class Absent:
    """Figures that have no judge."""

    names: tuple[str, ...]
    why: Missing

    def update(self, block: Block, made: Made) -> None:
        pass

    def figures(self) -> Figures:
        return dict.fromkeys(self.names, self.why)


class ByInception:
    """FID and Inception Score."""

    def __init__(self, inception: Inception, real: RealPictures) -> None:
        self.inception, self.real = inception, real
        self.features, self.score = FeatureStatistics(), InceptionScore()

    def update(self, block: Block, made: Made) -> None:
        assert made.drawn is not None
        features, logits = self.inception(as_bytes([np.asarray(one) for one in made.drawn]))
        self.features.update(features)
        self.score.update(logits, torch.tensor(block.rows))

    def figures(self) -> Figures:
        mean, deviation = self.score.figures()
        return {
            "fid": self.real.fid(self.features),
            "inception_score": mean,
            "inception_score_deviation": deviation,
        }


class ByMatcher:
    """How well pictures fit their prompts; another network's figures bear another name."""

    def __init__(self, matcher: Matcher) -> None:
        self.score = "clip_score" if matcher.is_clip else "dual_encoder_score"
        self.r_precision = "r_precision" if matcher.is_clip else "dual_encoder_r_precision"
        self.matching = Matching()

    def update(self, block: Block, made: Made) -> None:
        assert made.features is not None
        self.matching.update(*made.features, made.prompts)

    def figures(self) -> Figures:
        found = self.matching.figures()
        return {
            self.score: found.clip_score,
            self.r_precision: found.r_precision,
            f"{self.r_precision}_candidates": found.candidates,
        }


class ByDetector:
    """Semantic object accuracy."""

    def __init__(self, detector: TransformersDetector) -> None:
        self.detector, self.objects = detector, ObjectAccuracy(detector.names)

    def update(self, block: Block, made: Made) -> None:
        assert made.drawn is not None
        self.objects.update(made.prompts, self.detector.find(made.drawn))

    def figures(self) -> Figures:
        found = self.objects.figures()
        return {"soa_c": found.soa_c, "soa_i": found.soa_i}


class ByClassifier:
    """Whether pictures are taken for what their rows are."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier, self.classes = classifier, ClassificationScore(len(classifier.names))

    def update(self, block: Block, made: Made) -> None:
        assert made.drawn is not None
        labels = self.classifier.numbers(block.labels)
        self.classes.update(self.classifier.probabilities(made.drawn), labels)

    def figures(self) -> Figures:
        found = self.classes.figures()
        return {
            "top_1_accuracy": found.top1,
            "mean_average_precision": found.mean_average_precision,
        }
