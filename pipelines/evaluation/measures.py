"""All that is measured of what a subject makes, block by block."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from pipelines.dual_encoder.matcher import Matcher
from pipelines.evaluation.caption_metrics import score_captions
from pipelines.evaluation.caption_tokens import plain_tokens
from pipelines.evaluation.classification import ClassificationScore, Classifier
from pipelines.evaluation.codebook_usage import CodebookUsage
from pipelines.evaluation.fidelity import FeatureStatistics, InceptionScore, fid
from pipelines.evaluation.figures import Figure, Figures, Missing
from pipelines.evaluation.inception import Inception
from pipelines.evaluation.matching import Matching
from pipelines.evaluation.objects import ObjectAccuracy, TransformersDetector
from pipelines.evaluation.question_metrics import ExactMatch
from pipelines.evaluation.rows import Block
from pipelines.evaluation.similarity import Similarity
from pipelines.evaluation.subjects import Made
from pipelines.training.distributed import Processes
from vq import PerceptualLoss


@dataclass(frozen=True)
class Judges:
    """Networks that others trained, or why there is none."""

    inception: Inception | Missing
    lpips: PerceptualLoss | Missing
    matcher: Matcher | Missing
    detector: TransformersDetector | Missing
    classifier: Classifier | Missing


class RealPictures:
    """Inception's statistics of the data's pictures, with which others are compared."""

    def __init__(self, inception: Inception | Missing, processes: Processes) -> None:
        self.inception, self.processes = inception, processes
        self.features = FeatureStatistics()

    def update(self, block: Block) -> None:
        if not isinstance(self.inception, Missing):
            self.features.update(self.inception(as_bytes(block.pictures))[0])

    def fid(self, made: FeatureStatistics) -> Figure:
        if isinstance(self.inception, Missing):
            return self.inception
        one, other = self.features.gaussian(), made.gaussian()
        # Eigenvalues of 2048 dimensions take a while, and all cores.
        return self.processes.on_main(lambda: fid(one, other))


class TokenizerMeasures:
    """Of reconstructions."""

    def __init__(self, judges: Judges, real: RealPictures, codebook_size: int) -> None:
        self.inception, self.real = judges.inception, real
        self.similarity = Similarity(judges.lpips)
        self.usage = CodebookUsage(codebook_size)
        self.features = FeatureStatistics()

    def update(self, block: Block, made: Made) -> None:
        again = made.reconstructed
        assert again is not None
        # As they would be stored: a picture has 256 levels.
        pixels = ((again.pixels.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        self.similarity.update(pixels, as_bytes(block.pictures))
        self.usage.update(again.ids)
        if not isinstance(self.inception, Missing):
            self.features.update(self.inception(pixels)[0])

    def figures(self) -> Figures:
        return {
            **asdict_of(self.similarity.figures()),
            "reconstruction_fid": self.real.fid(self.features),
            **asdict_of(self.usage.figures()),
        }


class DrawingMeasures:
    """Of pictures drawn of prompts."""

    def __init__(self, judges: Judges, real: RealPictures) -> None:
        self.judges, self.real = judges, real
        self.fits: list[float] | None = None  # of the last block's pictures, to the matcher
        self.features, self.score = FeatureStatistics(), InceptionScore()
        self.matching = Matching()
        detector, classifier = judges.detector, judges.classifier
        if not isinstance(detector, Missing):
            self.objects = ObjectAccuracy(detector.names)
        if not isinstance(classifier, Missing):
            self.classes = ClassificationScore(len(classifier.names))

    def update(self, block: Block, made: Made) -> None:
        assert made.drawn is not None
        pictures, judges = made.drawn, self.judges
        self.fits = None
        if not pictures:
            return
        if not isinstance(judges.inception, Missing):
            features, logits = judges.inception(as_bytes([np.asarray(one) for one in pictures]))
            self.features.update(features)
            self.score.update(logits, torch.tensor(block.rows[: len(pictures)]))
        if not isinstance(judges.matcher, Missing):
            image = judges.matcher.image_features(pictures)
            text = judges.matcher.text_features(made.prompts)
            self.matching.update(image, text, made.prompts)
            self.fits = (image * text).sum(dim=1).tolist()
        if not isinstance(judges.detector, Missing):
            self.objects.update(made.prompts, judges.detector.find(pictures))
        if not isinstance(judges.classifier, Missing):
            labels = judges.classifier.numbers(block.labels[: len(pictures)])
            self.classes.update(judges.classifier.probabilities(pictures), labels)

    def figures(self) -> Figures:
        inception, matcher = self.judges.inception, self.judges.matcher
        detector, classifier = self.judges.detector, self.judges.classifier
        found: Figures = {"fid": self.real.fid(self.features)}
        if isinstance(inception, Missing):
            found |= {"inception_score": inception}
        else:
            mean, deviation = self.score.figures()
            found |= {"inception_score": mean, "inception_score_deviation": deviation}
        if isinstance(matcher, Missing):
            found |= {"clip_score": matcher, "r_precision": matcher}
        else:
            # Another network's figures bear another name.
            before = "" if matcher.is_clip else "dual_encoder_"
            figures = self.matching.figures()
            found[f"{before}{'clip_' if matcher.is_clip else ''}score"] = figures.clip_score
            found[f"{before}r_precision"] = figures.r_precision
            found[f"{before}r_precision_candidates"] = figures.candidates
        if isinstance(detector, Missing):
            found |= {"soa_c": detector, "soa_i": detector}
        else:
            found |= {n: v for n, v in asdict_of(self.objects.figures()).items() if n[:3] == "soa"}
        if isinstance(classifier, Missing):
            found |= {"top_1_accuracy": classifier, "mean_average_precision": classifier}
        else:
            classes = self.classes.figures()
            found |= {"top_1_accuracy": classes.top1}
            found |= {"mean_average_precision": classes.mean_average_precision}
        return found


class CaptionMeasures:
    """Of captions beside given ones."""

    def __init__(self, processes: Processes) -> None:
        self.processes = processes
        self.texts: list[tuple[int, str, list[str]]] = []

    def update(self, block: Block, made: Made) -> None:
        assert made.said is not None
        self.texts += zip(block.rows, made.said, block.captions, strict=True)

    def figures(self) -> Figures:
        # In the order of the rows, on which the rounding of sums depends.
        everyones = sorted(row for part in self.processes.gather(self.texts) for row in part)
        _, said, given = zip(*everyones, strict=True) if everyones else ((), (), ())
        return self.processes.on_main(
            lambda: {
                **asdict_of(score_captions(said, given)),
                "equal_to_a_given_one": equal_share(said, given),
            }
        )


def equal_share(said: Sequence[str], given: Sequence[Sequence[str]]) -> Figure:
    """Of captions that are one of those given, word by word."""
    if not said:
        return Missing("there were no captions to compare.")
    right = [
        plain_tokens(one) in map(plain_tokens, of) for one, of in zip(said, given, strict=True)
    ]
    return sum(right) / len(right)


class AnswerMeasures:
    """Of answers to the data's questions."""

    def __init__(self) -> None:
        self.match = ExactMatch()

    def update(self, block: Block, made: Made) -> None:
        assert made.answers is not None
        for asked, said in zip(block.questions, made.answers, strict=True):
            right: dict[str, list[str]] = {}
            for one in asked:
                right.setdefault(one.question, []).append(one.answer)
            of_question = dict(zip((one.question for one in asked), said, strict=True))
            # A text tokenizer knows no other punctuation or case than its own.
            self.match.update(
                [plain_tokens(of_question[question]) for question in right],
                [list(map(plain_tokens, accepted)) for accepted in right.values()],
            )

    def figures(self) -> Figures:
        return {"exact": self.match.figures()["all"]}


def as_bytes(pictures: list[np.ndarray]) -> Tensor:
    """uint8 [n, 3, height, width]."""
    return rearrange(torch.from_numpy(np.stack(pictures)), "n h w c -> n c h w")


def asdict_of(figures: object) -> Figures:
    """A dataclass's fields as they are (`asdict` would take `Missing` apart)."""
    assert isinstance(vars(figures), Mapping)
    return dict(vars(figures))
