"""CLIP score and R-precision."""

import huggingface_hub
import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize
from transformers import CLIPModel, CLIPProcessor

from pipelines.command_line import UserError
from pipelines.evaluation.figures import Missing
from pipelines.evaluation.matching import Matching, open_matcher

BLOCK = 100


def vectors(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(count, 16, generator=generator), dim=1)


def measured(image, text, captions=None):
    captions = captions or [f"number {n}" for n in range(len(image))]
    metric = Matching()
    for first in range(0, len(image), BLOCK):
        part = slice(first, first + BLOCK)
        metric.update(image[part], text[part], captions[part])
    return metric.figures()


def test_r_precision_of_perfect_random_and_equal_features():
    image, text = vectors(2000, 0), vectors(2000, 1)
    perfect = measured(image, image)
    assert perfect.r_precision == 1
    assert perfect.clip_score == pytest.approx(100, abs=1e-4)
    assert (perfect.candidates, perfect.pairs) == (100, 2000)
    assert measured(image, text).r_precision == pytest.approx(0.01, abs=0.008)
    assert measured(image, torch.ones_like(text) / 4).r_precision == 0  # as near is not nearest


def test_negative_cosines_count_as_nothing():
    image = torch.eye(3)
    text = torch.stack([image[0], -image[1], (image[2] + image[0]) / 2**0.5])
    assert measured(image, text).clip_score == pytest.approx(100 * (1 + 0 + 0.5**0.5) / 3)


def test_equal_captions_are_not_compared():
    # Rows 0 and 1 say the same; row 2 is nearer to the wrong picture.
    image = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.6, 0.8]])
    text = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.8, 0.6]])
    figures = measured(image, text, ["a star", "a star", "a circle"])
    assert figures.r_precision == 1
    assert figures.candidates == pytest.approx((2 + 2 + 3) / 3)
    same = measured(image, text, ["a star"] * 3)
    assert isinstance(same.r_precision, Missing) and "text column" in same.r_precision.reason
    assert isinstance(same.clip_score, float)


def test_no_pairs():
    figures = Matching().figures()
    assert isinstance(figures.clip_score, Missing) and figures.pairs == 0


TEXTS = ["a star", "two blue circles", "a small star above a very large blue circle"]


@torch.no_grad()
def test_clip_score_is_100_times_the_models_cosine(clip):
    """Also of captions that are too long for the model. (The `clip_score` of torchmetrics 1.9 takes
    models of transformers 4 alone.)"""
    rng = np.random.default_rng(0)
    images = [Image.fromarray(one) for one in rng.integers(0, 256, (3, 40, 50, 3), np.uint8)]
    matcher = open_matcher(str(clip), "cpu")
    metric = Matching()
    metric.update(matcher.image_features(images), matcher.text_features(TEXTS), TEXTS)
    model, processor = CLIPModel.from_pretrained(clip).eval(), CLIPProcessor.from_pretrained(clip)
    inputs = processor(
        text=TEXTS,
        images=images,
        padding=True,
        truncation=True,
        max_length=12,
        return_tensors="pt",
    )
    cosines = model(**inputs).logits_per_image.diagonal() / model.logit_scale.exp()
    expected = (100 * cosines).clamp(min=0).mean().item()
    assert metric.figures().clip_score == pytest.approx(expected, abs=1e-3)


def test_a_dual_encoder_will_do_and_what_cannot_be_had_is_missing(
    dual_encoder_checkpoint, tmp_path, monkeypatch
):
    matcher = open_matcher(str(dual_encoder_checkpoint), "cpu")
    assert matcher.text_features(TEXTS).shape == (3, 8)
    with pytest.raises(UserError, match="holds no model_index.json"):
        open_matcher(str(tmp_path), "cpu")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    found = open_matcher("nobody/no-such-clip", "cpu")
    assert isinstance(found, Missing) and "nobody/no-such-clip cannot be loaded" in found.reason
