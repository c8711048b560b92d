"""Semantic object accuracy, and which captions name what."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    AutoModelForObjectDetection,
    YolosConfig,
    YolosForObjectDetection,
    YolosImageProcessor,
)

from pipelines.command_line import UserError
from pipelines.evaluation.figures import Missing
from pipelines.evaluation.object_names import ObjectNames, plural
from pipelines.evaluation.objects import ObjectAccuracy, open_detector

COCO = ["N/A", "person", "bicycle", "motorcycle", "bus", "bear", "teddy bear", "dog", "hot dog"]
COCO += ["orange", "mouse", "dining table", "knife", "scissors", "sheep", "tv"]


@pytest.mark.parametrize(
    ("caption", "names"),
    [
        ("Two MEN with hot dogs.", {"person", "hot dog"}),
        ("a teddy bear beside a bear", {"teddy bear", "bear"}),
        ("the dog eats a hotdog", {"dog", "hot dog"}),
        ("an orange cat", set()),
        ("oranges on the desks", {"orange", "dining table"}),
        ("a mouse near a computer mouse", {"mouse"}),
        ("knives, scissors and sheep", {"knife", "scissors", "sheep"}),
        ("dirt bikes and bikes", {"motorcycle", "bicycle"}),
        ("people in buses watch the screen", {"person", "bus", "tv"}),
        ("dogma, bushes, businessmen; n/a", set()),
        ("", set()),
        ("一只狗", set()),
    ],
)
def test_what_a_caption_names(caption, names):
    assert {COCO[number] for number in ObjectNames(COCO).named(caption)} == names


def test_a_word_belongs_to_the_first_class_and_to_a_class_of_its_own():
    names = ObjectNames(["desk", "couch", "dining table", "sofa"])
    assert names.named("a desk") == {0}
    assert names.named("a table") == {0}  # both mean it: no caption counts twice
    assert names.named("a sofa") == {3}


def test_plurals():
    words = ["cat", "bus", "box", "bench", "toothbrush", "kitty", "toy", "knife", "fire truck"]
    plurals = ["cats", "buses", "boxes", "benches", "toothbrushes", "kitties", "toys", "knives"]
    assert [plural(word) for word in words] == [*plurals, "fire trucks"]


def test_soa_of_the_known_case():
    """Class A is found in 1 of 1 pictures, class B in none of 3."""
    metric = ObjectAccuracy(["zebra", "kite"])
    metric.update(["a zebra", "a kite"], [{0}, {0}])
    metric.update(["two kites", "a kite in the sky", "nothing of the kind"], [set(), {0}, {0, 1}])
    figures = metric.figures()
    assert figures.soa_c == 0.5
    assert figures.soa_i == 0.25
    assert (figures.classes, figures.pictures) == (2, 4)


def test_a_picture_counts_for_each_class_that_is_named():
    metric = ObjectAccuracy(["zebra", "kite", "pizza"])
    metric.update(["a zebra flies a kite"], [{1, 2}])
    figures = metric.figures()
    assert (figures.soa_c, figures.soa_i, figures.classes, figures.pictures) == (0.5, 0.5, 2, 1)


def test_captions_without_objects():
    metric = ObjectAccuracy(["zebra"])
    metric.update(["a house"], [{0}])
    figures = metric.figures()
    assert isinstance(figures.soa_c, Missing) and figures.soa_i == figures.soa_c


@pytest.fixture(scope="module")
def yolos(tmp_path_factory):
    """The folder of a detector with random weights that is sure of a zebra everywhere."""
    folder = tmp_path_factory.mktemp("yolos")
    names = {0: "kite", 1: "zebra"}
    torch.manual_seed(0)
    model = YolosForObjectDetection(
        YolosConfig(
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            image_size=[32, 32],
            patch_size=8,
            num_detection_tokens=4,
            id2label=names,
            label2id={name: number for number, name in names.items()},
        )
    )
    model.class_labels_classifier.layers[-1].bias.data = torch.tensor([0.0, 20.0, 0.0])
    model.save_pretrained(folder)
    YolosImageProcessor(size={"shortest_edge": 32, "longest_edge": 64}).save_pretrained(folder)
    return folder


def test_a_detector_of_transformers(yolos, monkeypatch):
    detector = open_detector(str(yolos))
    assert detector.names == ["kite", "zebra"]
    rng = np.random.default_rng(0)
    pictures = list(rng.integers(0, 256, (20, 40, 50, 3), np.uint8))
    found = detector.find(pictures)
    assert found == [{1}] * 20
    assert detector.find([Image.fromarray(one) for one in pictures[:2]]) == found[:2]
    detector.model.class_labels_classifier.layers[-1].bias.data = torch.zeros(3)
    assert detector.find(pictures[:2]) == [set(), set()]  # nothing is surer than 0.5


def test_what_is_no_detector(tmp_path, yolos, clip, monkeypatch):
    for folder in (tmp_path, clip):
        with pytest.raises(UserError, match="cannot be loaded.*--detector"):
            open_detector(str(folder))
    with pytest.raises(UserError, match="does not exist"):
        open_detector(str(tmp_path / "nowhere"))
    model = AutoModelForObjectDetection.from_pretrained(yolos)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((yolos / name).read_bytes())
    with pytest.raises(UserError, match="cannot be loaded.*model.safetensors"):
        open_detector(str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    found = open_detector("nobody/no-such-detector")
    assert isinstance(found, Missing) and "nobody/no-such-detector" in found.reason
