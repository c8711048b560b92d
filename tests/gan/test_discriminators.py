"""What a discriminator's judgement depends on, and what its layers are kept to."""

import math

import pytest
import torch
from torch.nn.utils.parametrize import is_parametrized

from gan import DiscriminatorHeads, TextBatch
from gan.contrastive_losses import local_global_loss
from gan.discriminators.trunks import ImageFeatures
from tests.gan.conftest import ATTRIBUTES, WIDTH, discriminator, texts

ARCHITECTURES = ("dcgan", "residual", "deep_fusion")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize("size", [(32, 32), (64, 96)])
def test_every_head(architecture, text, size):
    knows = ATTRIBUTES if architecture == "deep_fusion" else 0
    heads = DiscriminatorHeads(images=True, regions=text, places=True, attributes=knows)
    judge = discriminator(architecture, size, text, heads)
    said = texts(3) if text else None
    features = judge.features(torch.randn(3, 3, *size))
    assert judge.logits(features, said).shape == (3,)
    vectors = judge.image_vectors(features)
    places, whole = judge.place_vectors(features)
    assert places.shape[::2] == whole.shape == (3, 16)
    # It begins where chance is, in maps of any size.
    chance = math.log(1 + 2 * places.shape[1])
    assert local_global_loss(places, whole).mean().item() == pytest.approx(chance, abs=1)
    if text:
        assert judge.sentence_vectors(said).shape == vectors.shape
        regions = 16 * 16 * size[1] // size[0]
        assert judge.region_vectors(features).shape == (3, regions, WIDTH)
    if knows:
        assert judge.attribute_logits(features, said).shape == (3, 2 * knows)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_text_counts(architecture):
    # Spectral normalization that still learns would differ from one time to the next.
    judge, pixels, said = discriminator(architecture).eval(), torch.randn(4, 3, 32, 32), texts(4)
    other = TextBatch(said.words, said.mask, said.sentence.roll(1, dims=0))
    assert torch.equal(judge(pixels, said), judge(pixels, said))
    assert not torch.allclose(judge(pixels, said), judge(pixels, other), rtol=1e-3)


def test_attributes_are_told_beside_a_text():
    judge = discriminator("deep_fusion", heads=DiscriminatorHeads(attributes=ATTRIBUTES))
    features, said = judge.features(torch.randn(4, 3, 32, 32)), texts(4)
    other = TextBatch(said.words, said.mask, said.sentence.roll(1, dims=0))
    told, of_other = (judge.attribute_logits(features, one) for one in (said, other))
    assert not torch.allclose(told, of_other, rtol=1e-3)


def test_attributes_are_read_off_a_direction():
    """How strongly a map shows something, and how many places it has, does not count."""
    judge = discriminator("deep_fusion", text=False, heads=DiscriminatorHeads(attributes=2))
    features = judge.features(torch.randn(4, 3, 32, 32))
    told = judge.attribute_logits(features, None)
    louder = judge.attribute_logits(features.map(lambda maps: 3 * maps), None)
    assert told.std() > 0.01 and torch.allclose(told, louder, atol=1e-5)


def test_pooled_features_are_sums_of_what_is_positive():
    maps = torch.tensor([[[[1.0, -2.0], [3.0, 0.5]], [[-1.0, -1.0], [-1.0, 2.0]]]])
    assert ImageFeatures(maps, maps, maps).pooled.tolist() == [[4.5, 2.0]]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_features_serve_several_texts(architecture):
    """Of pictures in another order they are those of the pictures in that order."""
    judge = discriminator(architecture).eval()
    pixels, said, order = torch.randn(4, 3, 32, 32), texts(4), torch.tensor([2, 0, 3, 1])
    features = judge.features(pixels)
    assert torch.allclose(
        judge.logits(features.of(order), said), judge(pixels[order], said), atol=1e-5
    )


def test_largest_singular_values_are_1():
    judge = discriminator("residual", heads=DiscriminatorHeads(True, True, True))
    pixels, said = torch.randn(4, 3, 32, 32), texts(4)
    for _ in range(30):
        features = judge.features(pixels)
        judge.logits(features, said)
        judge.region_vectors(features), judge.place_vectors(features)
    layers = [m for m in judge.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    for layer in layers:
        assert is_parametrized(layer, "weight")
        largest = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
        assert largest.item() == pytest.approx(1, abs=0.05)


def test_attributes_are_known_by_deep_fusion_alone():
    with pytest.raises(ValueError, match="choose deep_fusion"):
        discriminator("residual", heads=DiscriminatorHeads(attributes=3))
