"""Whether pictures drawn of a class are taken for it by a classifier: top-1 accuracy and mAP."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchmetrics.classification import MulticlassAveragePrecision
from transformers import AutoModelForImageClassification

from pipelines.command_line import UserError
from pipelines.data.transforms import Picture
from pipelines.evaluation.figures import Figure, Missing
from pipelines.evaluation.opening_judges import as_images, open_network
from pipelines.evaluation.streaming import StreamedSums, without_update_allowed

AT_ONCE = 32
THRESHOLDS = 200


class Classifier:
    """Any image classifier of `transformers`.

    Args:
        model, processor: as `open_network` gives them.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        self.model = model
        self.processor = processor
        self.names: list[str] = [model.config.id2label[n] for n in range(model.config.num_labels)]

    @torch.no_grad()
    def probabilities(self, pictures: Sequence[Picture]) -> Tensor:
        """Of each class: [n, classes], on the CPU."""
        parts = []
        for first in range(0, len(pictures), AT_ONCE):
            images = as_images(pictures[first : first + AT_ONCE])
            inputs = self.processor(images, return_tensors="pt").to(self.model.device)
            parts.append(self.model(inputs["pixel_values"]).logits.float().softmax(dim=1).cpu())
        return torch.cat(parts)

    def numbers(self, labels: Sequence[str | int]) -> Tensor:
        """The classes int64 [n] that a data set's labels mean: names, or the numbers themselves.

        Raises:
            UserError: the classifier has no such class.
        """
        known = {name.strip().lower(): number for number, name in enumerate(self.names)}
        found = []
        for label in labels:
            number = label if isinstance(label, int) else known.get(label.strip().lower(), -1)
            if not 0 <= number < len(self.names):
                raise UserError(
                    f"the classifier has no class {label!r}; its {len(self.names)} begin with "
                    f"{', '.join(self.names[:3])}: check the label column."
                )
            found.append(number)
        return torch.tensor(found, dtype=torch.long)


def open_classifier(name: str) -> Classifier | Missing:
    """By its folder or hub name, on the CPU.

    Raises:
        UserError: a folder that is here holds no classifier.
    """
    found = open_network(AutoModelForImageClassification, name, "classifier", "--classifier")
    return found if isinstance(found, Missing) else Classifier(*found)


@dataclass(frozen=True)
class ClassificationFigures:
    """`top1`: the share of pictures whose likeliest class is their row's. `mean_average_precision`:
    over the `classes` that some row has, the area under the curve of precision over recall that a
    class's probability gives as a score of all pictures."""

    top1: Figure
    mean_average_precision: Figure
    classes: int
    pictures: int


class ClassificationScore(StreamedSums):
    """Top-1 accuracy and mAP.

    An exact average precision ranks all pictures and so keeps all scores. This one is torchmetrics'
    of 200 thresholds, evenly spread over [0, 1], whose counts take the same room however many
    pictures there are: classifiers that give most pictures probabilities within 1/200 of each
    other are told apart less well than by an exact one.

    Args:
        classes: of the classifier.
    """

    right: Tensor
    rows: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__(right=(), rows=(classes,))
        self.average_precision = MulticlassAveragePrecision(
            classes, average="none", thresholds=THRESHOLDS
        )

    def update(self, probabilities: Tensor, labels: Tensor) -> None:
        """Adds pictures: probabilities [n, classes], and their rows' classes int64 [n]."""
        probabilities, labels = probabilities.to(self.device), labels.to(self.device)
        self.right += (probabilities.argmax(dim=1) == labels).sum()
        self.rows += self.double_here(torch.bincount(labels, minlength=len(self.rows)))
        self.average_precision.update(probabilities, labels)

    def figures(self) -> ClassificationFigures:
        sums = self.sums()
        with without_update_allowed():
            precision = self.average_precision.compute()
        present = sums["rows"] > 0
        pictures = int(sums["rows"].sum())
        if pictures == 0:
            missing = Missing("there were no pictures with a label.")
            return ClassificationFigures(missing, missing, 0, 0)
        return ClassificationFigures(
            (sums["right"] / pictures).item(),
            # torchmetrics counts a class that no row has as 0.
            precision[present].double().mean().item(),
            int(present.sum()),
            pictures,
        )
