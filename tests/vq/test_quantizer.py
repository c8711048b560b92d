"""Looking up codes, and where gradients may go."""

import pytest
import torch
from torch.nn import functional as F

from vq import VQGANConfig
from vq import quantizer as quantizer_module
from vq.quantizer import VectorQuantizer


def make_quantizer(**settings) -> VectorQuantizer:
    torch.manual_seed(0)
    return VectorQuantizer(VQGANConfig(codebook_size=32, code_dim=6, **settings))


def vectors(batch: int = 2, height: int = 3, width: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, 6, height, width, generator=generator, requires_grad=True)


DISTANCES = pytest.mark.parametrize("distance", ["cosine", "euclidean"])


@DISTANCES
def test_finds_the_nearest_code(distance):
    quantizer = make_quantizer(codebook_distance=distance)
    x = vectors()
    output = quantizer(x)
    flat = x.permute(0, 2, 3, 1).reshape(-1, 6)
    if distance == "cosine":
        similarity = F.cosine_similarity(flat[:, None], quantizer.codebook[None], dim=-1)
        expected = similarity.argmax(dim=1)
    else:
        expected = (flat[:, None] - quantizer.codebook[None]).norm(dim=-1).argmin(dim=1)
    assert output.ids.shape == (2, 3, 4)
    assert torch.equal(output.ids.flatten(), expected)


@DISTANCES
def test_requantizing_a_code_returns_its_id(distance):
    quantizer = make_quantizer(codebook_distance=distance)
    ids = torch.randperm(32).view(1, 4, 8)
    again = quantizer(quantizer.look_up(ids))
    assert torch.equal(again.ids, ids)
    assert torch.allclose(again.codes, quantizer.look_up(ids), atol=1e-6)


def test_blocks_of_the_distance_matrix_change_nothing(monkeypatch):
    quantizer = make_quantizer()
    whole = quantizer(vectors()).ids
    monkeypatch.setattr(quantizer_module, "DISTANCE_BLOCK", 32 * 5)
    assert torch.equal(quantizer(vectors()).ids, whole)


def test_gradient_passes_straight_through_to_the_encoder():
    quantizer = make_quantizer(codebook_distance="euclidean", codebook_update="gradient")
    x = vectors()
    wanted = torch.randn(2, 6, 3, 4)
    quantizer(x).codes.backward(wanted)
    assert torch.equal(x.grad, wanted)
    assert quantizer.codebook.grad is None


def test_commitment_reaches_the_encoder_only():
    quantizer = make_quantizer(codebook_distance="euclidean", codebook_update="gradient")
    x = vectors()
    output = quantizer(x)
    output.losses["commitment"].sum().backward()
    expected = 2 * (x - quantizer.look_up(output.ids)).detach() / (6 * 3 * 4)
    assert torch.allclose(x.grad, expected, atol=1e-6)
    assert quantizer.codebook.grad is None


@DISTANCES
def test_codebook_loss_reaches_the_codebook_only(distance):
    quantizer = make_quantizer(codebook_distance=distance, codebook_update="gradient")
    x = vectors()
    output = quantizer(x)
    output.losses["codebook"].sum().backward()
    assert x.grad is None
    used = torch.zeros(32, dtype=torch.bool)
    used[output.ids.flatten()] = True
    assert (quantizer.codebook.grad[used].abs().sum(dim=1) > 0).all()
    assert (quantizer.codebook.grad[~used] == 0).all()


def test_losses_are_means_per_picture():
    quantizer = make_quantizer(codebook_update="gradient")
    x = vectors(batch=3)
    whole = quantizer(x)
    for row in range(3):
        alone = quantizer(x[row : row + 1])
        assert torch.allclose(alone.losses["commitment"], whole.losses["commitment"][row : row + 1])
    expected = (whole.vectors - quantizer.look_up(whole.ids)).square().flatten(1).mean(dim=1)
    assert torch.allclose(whole.losses["commitment"], expected, atol=1e-6)
    assert torch.equal(whole.losses["commitment"], whole.losses["codebook"])


def test_looking_up_changes_nothing():
    quantizer = make_quantizer().train()
    before = {name: tensor.clone() for name, tensor in quantizer.state_dict().items()}
    quantizer(vectors())
    for name, tensor in quantizer.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_ids_are_found_in_float32_under_autocast():
    quantizer = make_quantizer()
    x = vectors()
    with torch.autocast("cpu", torch.bfloat16):
        output = quantizer(x)
    assert output.codes.dtype == output.losses["commitment"].dtype == torch.float32
    assert torch.equal(output.ids, quantizer(x).ids)
