"""Whether drawn pictures show the objects that their captions name: semantic object accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import AutoModelForObjectDetection

from pipelines.data.transforms import Picture
from pipelines.evaluation.figures import Figure, Missing
from pipelines.evaluation.object_names import ObjectNames
from pipelines.evaluation.opening_judges import as_images, open_network
from pipelines.evaluation.streaming import StreamedSums

AT_ONCE = 16
THRESHOLD = 0.5
"""Of a detection's probability, as in Hinz et al."""


class Detector(Protocol):
    """Anything that finds objects.

    Attributes:
        names: of its classes, in English.
    """

    names: Sequence[str]

    def find(self, pictures: Sequence[Picture]) -> list[set[int]]:
        """The numbers of the classes that each picture shows."""
        ...


class TransformersDetector:
    """Any object detector of `transformers` (DETR, YOLOS …).

    Args:
        model, processor: as `open_network` gives them.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        self.model = model
        self.processor = processor
        labels = model.config.id2label
        self.names: Sequence[str] = [labels.get(n, "") for n in range(max(labels) + 1)]

    @torch.no_grad()
    def find(self, pictures: Sequence[Picture]) -> list[set[int]]:
        """Of pictures of one size (others would be padded, which not every detector can tell)."""
        found = []
        for first in range(0, len(pictures), AT_ONCE):
            images = as_images(pictures[first : first + AT_ONCE])
            inputs = self.processor(images, return_tensors="pt").to(self.model.device)
            outputs = self.model(pixel_values=inputs["pixel_values"])
            detections = self.processor.post_process_object_detection(outputs, THRESHOLD)
            found += [set(one["labels"].tolist()) for one in detections]
        return found


def open_detector(name: str) -> TransformersDetector | Missing:
    """By its folder or hub name, on the CPU.

    Raises:
        UserError: a folder that is here holds no detector.
    """
    found = open_network(AutoModelForObjectDetection, name, "detector", "--detector")
    return found if isinstance(found, Missing) else TransformersDetector(*found)


@dataclass(frozen=True)
class ObjectFigures:
    """Semantic object accuracy (Hinz et al., 1910.13321, section 5): shares of the pictures whose
    captions name a class in which the detector finds it.

    `soa_c`: the mean over the `classes` that some caption names; `soa_i`: over all such pictures,
    so that frequent classes count more (a picture counts for each class that is named). `pictures`:
    those whose captions name any.

    Published figures are of YOLOv3 and of three pictures for each of the paper's own choice of
    captions; those of another detector or other captions compare with their like alone.
    """

    soa_c: Figure
    soa_i: Figure
    classes: int
    pictures: int


class ObjectAccuracy(StreamedSums):
    """SOA-C and SOA-I.

    Args:
        names: of the detector's classes.
    """

    named: Tensor
    found: Tensor
    pictures: Tensor

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(named=(len(names),), found=(len(names),), pictures=())
        self.object_names = ObjectNames(names)

    def update(self, captions: Sequence[str], found: Sequence[set[int]]) -> None:
        """Adds captions, and what the detector finds in the picture drawn of each.

        Raises:
            ValueError: there are not as many of the one as of the other.
        """
        for caption, seen in zip(captions, found, strict=True):
            wanted = self.object_names.named(caption)
            self.named[list(wanted)] += 1
            self.found[list(wanted & seen)] += 1
            self.pictures += bool(wanted)

    def figures(self) -> ObjectFigures:
        sums = self.sums()
        asked = sums["named"] > 0
        if not asked.any():
            missing = Missing("no caption names a class of the detector (it knows English names).")
            return ObjectFigures(missing, missing, 0, 0)
        shares = sums["found"][asked] / sums["named"][asked]
        return ObjectFigures(
            shares.mean().item(),
            (sums["found"].sum() / sums["named"].sum()).item(),
            int(asked.sum()),
            int(sums["pictures"]),
        )
