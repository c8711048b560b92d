"""Pixel losses, and LPIPS with and without its weights."""

import logging
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file

from vq import PerceptualLossSettings, build_perceptual_loss, losses
from vq.losses import foreground, pixel_losses


def test_pixel_losses():
    pixels = torch.zeros(2, 3, 4, 4)
    reconstruction = pixels.clone()
    reconstruction[1] = 0.5
    l1, l2 = pixel_losses(reconstruction, pixels)
    assert torch.allclose(l1, torch.tensor([0.0, 0.5]))
    assert torch.allclose(l2, torch.tensor([0.0, 0.25]))


def test_foreground_counts_more():
    pixels = torch.full((1, 3, 8, 8), 0.9)
    pixels[:, 1, 2:4, 2:6] = -1  # 8 of 64 pixels
    mask = foreground(pixels)
    assert mask.shape == (1, 1, 8, 8)
    assert mask.sum() == 8
    assert mask[0, 0, 2:4, 2:6].all()
    l1, _ = pixel_losses(pixels + 0.1, pixels, foreground_weight=3)
    assert torch.allclose(l1, torch.tensor(0.1 * (56 + 3 * 8) / 64))


@pytest.fixture
def state_dict():
    """Random weights under torchvision's names."""
    import torchvision.models

    torch.manual_seed(5)
    return torchvision.models.squeezenet1_1().state_dict()


def distance(loss) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return loss(*torch.rand(2, 2, 3, 32, 32, generator=generator))


def squeeze(weights: str, fallback: str = "none") -> PerceptualLossSettings:
    return PerceptualLossSettings("squeeze", weights, fallback)


def test_random_weights_are_the_same_everywhere_and_disturb_no_seed():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = build_perceptual_loss(squeeze("random"))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    other = build_perceptual_loss(squeeze("random"))
    assert torch.equal(distance(one), distance(other))
    assert distance(one).shape == (2,)
    assert (distance(one) > 0).all()


def test_frozen_but_passes_gradients_on():
    loss = build_perceptual_loss(squeeze("random")).train()
    assert not any(module.training for module in loss.modules())
    picture = torch.rand(1, 3, 32, 32, requires_grad=True)
    loss(picture, torch.rand(1, 3, 32, 32)).sum().backward()
    assert picture.grad.abs().sum() > 0
    assert all(p.grad is None and not p.requires_grad for p in loss.parameters())


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_from_a_local_file(tmp_path, state_dict, suffix):
    path = tmp_path / f"squeeze{suffix}"
    (torch.save if suffix == ".pth" else save_file)(state_dict, path)
    loaded = build_perceptual_loss(squeeze(str(path)))
    weights = loaded.lpips.net.slice1[0].weight
    assert torch.equal(weights, state_dict["features.0.weight"])
    assert not torch.equal(distance(loaded), distance(build_perceptual_loss(squeeze("random"))))


def test_weights_that_cannot_be_used_are_refused(tmp_path, state_dict):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth"):
        build_perceptual_loss(squeeze(str(tmp_path / "nowhere.pth")))
    path = tmp_path / "weights.pth"
    torch.save({"features.0.weight": state_dict["features.0.weight"]}, path)
    with pytest.raises(ValueError, match="do not fit the backbone"):
        build_perceptual_loss(squeeze(str(path)))
    torch.save({"code": print}, path)  # a pickle that names a function must not be run
    with pytest.raises(ValueError, match="not a readable state dict"):
        build_perceptual_loss(squeeze(str(path)))


@pytest.fixture
def no_network(monkeypatch):
    def fail(backbone):
        raise URLError("no network")

    monkeypatch.setattr(losses, "_download_weights", fail)


@pytest.mark.parametrize("fallback", ["random", "none"])
def test_without_network_it_says_so_once_and_does_as_told(no_network, caplog, fallback):
    with caplog.at_level(logging.WARNING):
        loss = build_perceptual_loss(squeeze("pretrained", fallback))
    if fallback == "none":
        assert loss is None
    else:
        assert torch.equal(distance(loss), distance(build_perceptual_loss(squeeze("random"))))
    (record,) = caplog.records
    assert "could not be downloaded" in record.getMessage()
    assert "perceptual.backbone_weights" in record.getMessage()


def test_downloaded_weights_are_used(monkeypatch, state_dict, caplog):
    monkeypatch.setattr(losses, "_download_weights", lambda backbone: state_dict)
    loss = build_perceptual_loss(squeeze("pretrained"))
    assert torch.equal(loss.lpips.net.slice1[0].weight, state_dict["features.0.weight"])
    assert not caplog.records
