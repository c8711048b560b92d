"""Top-1 accuracy and mAP of drawn classes."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_average_precision
from transformers import ResNetConfig, ResNetForImageClassification, ViTImageProcessor

from pipelines.command_line import UserError
from pipelines.evaluation.classification import ClassificationScore, open_classifier
from pipelines.evaluation.figures import Missing


def measured(probabilities, labels, block=30):
    metric = ClassificationScore(probabilities.shape[1])
    for some, of_them in zip(probabilities.split(block), labels.split(block), strict=True):
        metric.update(some, of_them)
    return metric.figures()


def test_certain_predictions():
    labels = torch.arange(40) % 4
    right = measured(torch.eye(4)[labels], labels)
    assert (right.top1, right.mean_average_precision) == (1, pytest.approx(1))
    assert (right.classes, right.pictures) == (4, 40)
    assert measured(torch.eye(4)[(labels + 1) % 4], labels).top1 == 0


def test_mean_average_precision_is_nearly_the_exact_one():
    """And over the classes alone that there are."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (300,), generator=generator)
    logits = torch.randn(300, 5, generator=generator) + 2 * torch.eye(5)[labels]
    figures = measured(logits.softmax(dim=1), labels)
    exact = multiclass_average_precision(logits.softmax(dim=1), labels, 5, average="none")
    assert figures.mean_average_precision == pytest.approx(exact[:3].mean().item(), abs=0.01)
    assert figures.top1 == pytest.approx((logits.argmax(dim=1) == labels).double().mean().item())
    assert (figures.classes, figures.pictures) == (3, 300)


def test_no_labels():
    figures = ClassificationScore(3).figures()
    assert isinstance(figures.top1, Missing) and figures.classes == 0


def test_a_classifier_of_transformers(tmp_path):
    names = {0: "Zebra", 1: "kite", 2: "pizza"}
    torch.manual_seed(0)
    model = ResNetForImageClassification(
        ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], id2label=names)
    ).eval()
    model.save_pretrained(tmp_path)
    size = {"height": 16, "width": 16}
    processor = ViTImageProcessor(size=size)
    processor.save_pretrained(tmp_path)
    classifier = open_classifier(str(tmp_path))
    pictures = list(np.random.default_rng(0).integers(0, 256, (40, 20, 24, 3), np.uint8))
    found = classifier.probabilities(pictures)
    with torch.no_grad():
        expected = model(**processor(pictures, return_tensors="pt")).logits.softmax(dim=1)
    assert torch.allclose(found, expected, atol=1e-5)

    assert classifier.numbers(["zebra", " Pizza", 1]).tolist() == [0, 2, 1]
    for label in ("dog", 3, -1):
        with pytest.raises(UserError, match="no class.*label column"):
            classifier.numbers([label])


def test_what_is_no_classifier(tmp_path):
    with pytest.raises(UserError, match="the classifier .* cannot be loaded.*--classifier"):
        open_classifier(str(tmp_path))
