"""What is measured of reconstructions, captions and answers, block by block."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from pipelines.dual_encoder.matcher import Matcher
from pipelines.evaluation.caption_metrics import score_captions
from pipelines.evaluation.caption_tokens import equals_one_of
from pipelines.evaluation.classification import Classifier
from pipelines.evaluation.codebook_usage import CodebookUsage
from pipelines.evaluation.fidelity import FeatureStatistics, fid
from pipelines.evaluation.figures import Figure, Figures, Missing
from pipelines.evaluation.inception import Inception
from pipelines.evaluation.objects import TransformersDetector
from pipelines.evaluation.rows import Block
from pipelines.evaluation.similarity import Similarity
from pipelines.evaluation.streaming import Mean
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


class Measure(Protocol):
    """Figures of what is made of all blocks; every process asks for them."""

    def update(self, block: Block, made: Made) -> None: ...

    def figures(self) -> Mapping[str, Figure | int | str]: ...


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
    return sum(map(equals_one_of, given, said)) / len(said)


class AnswerMeasures:
    """Of answers to the data's questions: the share that equals a right one, but for case and
    punctuation, of which a text tokenizer may know its own alone."""

    def __init__(self) -> None:
        self.right = Mean()

    def update(self, block: Block, made: Made) -> None:
        assert made.answers is not None
        for asked, said in zip(block.questions, made.answers, strict=True):
            right: dict[str, list[str]] = {}
            for one in asked:
                right.setdefault(one.question, []).append(one.answer)
            of_question = dict(zip((one.question for one in asked), said, strict=True))
            hits = [
                equals_one_of(given, of_question[question]) for question, given in right.items()
            ]
            self.right.update(torch.tensor(hits))

    def figures(self) -> Figures:
        return {
            "exact": self.right.figure(
                "the data have no questions; name their columns with --question-column and "
                "--answer-column."
            )
        }


def as_bytes(pictures: list[np.ndarray]) -> Tensor:
    """uint8 [n, 3, height, width]."""
    return rearrange(torch.from_numpy(np.stack(pictures)), "n h w c -> n c h w")


def asdict_of(figures: object) -> Figures:
    """A dataclass's fields as they are (`asdict` would take `Missing` apart)."""
    assert isinstance(vars(figures), Mapping)
    return dict(vars(figures))
