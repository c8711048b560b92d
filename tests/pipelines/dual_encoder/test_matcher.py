"""Checkpoints of ours and CLIP folders, opened and compared with the library's own answers."""

import json
import shutil

import huggingface_hub
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPModel, CLIPProcessor

from pipelines.command_line import UserError
from pipelines.dual_encoder import matcher as module
from pipelines.dual_encoder.matcher import Matcher

TEXTS = ["a red circle", "a blue star", "a small star above a blue circle"]


def pictures():
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8)) for _ in TEXTS]


@torch.no_grad()
def test_clip_scores_are_the_librarys(clip):
    matcher = Matcher.from_pretrained(clip, "cpu")
    image, text = matcher.image_features(pictures()), matcher.text_features(TEXTS)
    assert image.shape == text.shape == (3, 8)
    model, processor = CLIPModel.from_pretrained(clip).eval(), CLIPProcessor.from_pretrained(clip)
    inputs = processor(
        text=TEXTS,
        images=pictures(),
        padding=True,
        truncation=True,
        max_length=12,
        return_tensors="pt",
    )
    out = model(**inputs)
    assert torch.allclose(image, out.image_embeds, atol=1e-5)
    assert torch.allclose(text, out.text_embeds, atol=1e-5)
    scores = matcher.scores(pictures(), TEXTS)
    assert torch.allclose(scores, (out.image_embeds * out.text_embeds).sum(dim=1), atol=1e-5)


@pytest.mark.parametrize("kind", ["clip", "dual_encoder_checkpoint"])
def test_features_do_not_depend_on_what_is_beside_them(kind, request, monkeypatch):
    matcher = Matcher.from_pretrained(request.getfixturevalue(kind), "cpu")
    image, text = matcher.image_features(pictures()), matcher.text_features(TEXTS)
    for features in (image, text):
        assert torch.allclose(features.norm(dim=1), torch.ones(3))
        assert (features[0] - features[1]).abs().max() > 1e-4
    monkeypatch.setattr(module, "AT_ONCE", 2)
    assert torch.allclose(matcher.image_features(pictures()), image, atol=1e-6)
    assert torch.allclose(matcher.text_features(TEXTS), text, atol=1e-6)
    arrays = [np.asarray(picture) for picture in pictures()]
    assert torch.allclose(matcher.image_features(arrays), image, atol=1e-6)
    scores = matcher.scores(pictures(), TEXTS)
    assert torch.allclose(scores, (image * text).sum(dim=1), atol=1e-6)
    with pytest.raises(ValueError, match="3 pictures for 1 texts"):
        matcher.scores(pictures(), TEXTS[:1])


def test_a_run_folder_is_as_good_as_its_checkpoint(dual_encoder_checkpoint):
    one, other = (
        Matcher.from_pretrained(path, "cpu").text_features(TEXTS)
        for path in (dual_encoder_checkpoint, dual_encoder_checkpoint.parent)
    )
    assert torch.equal(one, other)


def refusal(path):
    with pytest.raises(UserError) as error:
        Matcher.from_pretrained(path, "cpu")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_is_no_matcher_is_refused(checkpoint, dual_encoder_checkpoint, tmp_path, monkeypatch):
    assert "bidirectional checkpoint where a dual_encoder" in refusal(checkpoint)
    assert "holds no model_index.json" in refusal(tmp_path)
    assert "does not exist" in refusal(tmp_path / "nowhere" / "at" / "all")
    assert "vision-text-dual-encoder model" in refusal(dual_encoder_checkpoint / "dual_encoder")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)  # read on import
    sentence = refusal("nobody/no-such-clip")
    assert "nobody/no-such-clip cannot be loaded" in sentence
    assert "train_dual_encoder.py" in sentence and "openai/clip-vit-base-patch32" in sentence


def test_damaged_and_pickled_weights_are_refused(clip, dual_encoder_checkpoint, tmp_path):
    copy = shutil.copytree(dual_encoder_checkpoint, tmp_path / "checkpoint")
    weights = copy / "dual_encoder" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert "cannot be loaded" in refusal(copy)
    pickled = shutil.copytree(clip, tmp_path / "pickled")
    state = CLIPModel.from_pretrained(pickled).state_dict()
    (pickled / "model.safetensors").unlink()
    torch.save(state, pickled / "pytorch_model.bin")
    assert "cannot be loaded" in refusal(pickled)
    wider = shutil.copytree(clip, tmp_path / "wider")
    config = json.loads((wider / "config.json").read_text())
    config["text_config"]["num_hidden_layers"] = 3
    (wider / "config.json").write_text(json.dumps(config))
    assert "do not fit its config.json" in refusal(wider)
