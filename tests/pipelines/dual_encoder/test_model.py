import pytest
import torch
from transformers import VisionTextDualEncoderModel

from pipelines.data.text_tokenizer import TextCodec, TextTokenizerSettings, train_text_tokenizer
from pipelines.dual_encoder.model import (
    DualEncoderShape,
    attention_mask,
    build_dual_encoder,
    image_vectors,
    text_vectors,
)
from pipelines.dual_encoder.objective import dual_encoder_matrices


@pytest.fixture(scope="module")
def model(dual_encoder_shape):
    codec = TextCodec(train_text_tokenizer(["a red circle"], TextTokenizerSettings()))
    torch.manual_seed(0)
    return build_dual_encoder(dual_encoder_shape, codec, (16, 24)).eval()


@torch.no_grad()
def outputs(model):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(3, 3, 16, 24, generator=generator)
    ids = torch.randint(5, 10, (2, 8), generator=generator)
    mask = attention_mask(ids, torch.tensor([8, 5]))
    assert mask.sum(dim=1).tolist() == [8, 5]
    return image_vectors(model, pixels), text_vectors(model, ids, mask)


def test_both_towers_end_in_unit_vectors_of_one_space(model):
    image, text = outputs(model)
    assert image.shape == (3, 4) and text.shape == (2, 4)
    for vectors in (image, text):
        assert torch.allclose(vectors.norm(dim=1), torch.ones(len(vectors)))
    # Where pictures come out alike there is nothing to train from.
    assert (image[0] - image[1]).abs().max() > 1e-3


def test_a_saved_one_is_the_same(model, tmp_path):
    model.save_pretrained(tmp_path)
    again = VisionTextDualEncoderModel.from_pretrained(tmp_path).eval()
    for one, other in zip(outputs(model), outputs(again), strict=True):
        assert torch.equal(one, other)
    assert list(again.config.vision_config.image_size) == [16, 24]
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}


def test_decay_and_muon_are_for_hidden_matrices(model):
    chosen = {n for n, p in model.named_parameters() if dual_encoder_matrices(n, p)}
    assert any("encoder.layer.0.attention" in name for name in chosen)
    assert any("vision_model" in name and "convolution" in name for name in chosen)
    left = dict(model.named_parameters()).keys() - chosen
    assert {"visual_projection.weight", "text_projection.weight", "logit_scale"} <= left
    assert "text_model.embeddings.word_embeddings.weight" in left


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"vision_depths": (1,)}, "one number a stage"),
        ({"vision_hidden_sizes": (8, 0), "vision_depths": (1, 1)}, "must all be 1 or more"),
        ({"text_heads": 3}, "text_heads"),
        ({"text_positions": 2}, "text_positions is 2"),
        ({"projection_dim": 0}, "projection_dim is 0"),
        ({"dropout": 1.0}, "dropout is 1.0"),
    ],
)
def test_shapes_that_cannot_be(change, words):
    with pytest.raises(ValueError, match=words):
        DualEncoderShape(**change)
