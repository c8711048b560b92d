"""PSNR, SSIM and LPIPS of reconstructions."""

import pytest
import torch
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from pipelines.command_line import UserError
from pipelines.evaluation.figures import Missing
from pipelines.evaluation.similarity import LPIPS_SMALLEST, Similarity, load_lpips
from vq import PerceptualLoss, losses, psnr

NONE = Missing("there is none.")


@pytest.fixture(scope="module")
def network():
    return PerceptualLoss("squeeze", None)


def pictures(count=20, side=24):
    generator = torch.Generator().manual_seed(0)
    real = torch.randint(256, (count, 3, side, side), generator=generator, dtype=torch.uint8)
    noise = torch.randint(-9, 10, real.shape, generator=generator)
    return (real + noise).clamp(0, 255).byte(), real


def measured(made, real, lpips=NONE, block=7):
    metric = Similarity(lpips)
    for some, originals in zip(made.split(block), real.split(block), strict=True):
        metric.update(some, originals)
    return metric.figures()


def test_psnr_and_ssim_are_means_of_the_librarys():
    made, real = pictures()
    figures = measured(made, real)
    ratios = peak_signal_noise_ratio(
        made.float(), real.float(), data_range=255.0, reduction="none", dim=(1, 2, 3)
    )
    assert figures.psnr == pytest.approx(ratios.mean().item(), abs=1e-4)
    ssim = structural_similarity_index_measure(made.float(), real.float(), data_range=255.0)
    assert figures.ssim == pytest.approx(ssim.item(), abs=1e-4)
    assert figures.lpips == NONE


def test_floats_are_bytes():
    made, real = pictures()
    floats = [one.float() / 127.5 - 1 for one in (made, real)]
    by_bytes, by_floats = measured(made, real), measured(*floats)
    assert by_floats.psnr == pytest.approx(by_bytes.psnr, abs=1e-4)
    assert by_floats.psnr == pytest.approx(psnr(*floats).mean().item(), abs=1e-4)
    assert by_floats.ssim == pytest.approx(by_bytes.ssim, abs=1e-5)
    beyond = 3 * floats[0]
    assert measured(beyond, real) == measured(beyond.clamp(-1, 1), real)


def test_equal_pictures(network):
    _, real = pictures(3)
    figures = measured(real, real, network)
    assert figures.ssim == pytest.approx(1)
    assert figures.psnr == pytest.approx(106, abs=0.1)
    assert figures.lpips == pytest.approx(0, abs=1e-6)


def test_lpips_is_the_mean_of_the_networks(network):
    made, real = pictures(5)
    floats = [one.float() / 127.5 - 1 for one in (made, real)]
    with torch.no_grad():
        expected = network(*floats).mean().item()
    assert measured(made, real, network, 2).lpips == pytest.approx(expected, rel=1e-4)


def test_small_pictures_have_no_ssim(network):
    figures = measured(*pictures(4, 10), network)
    assert isinstance(figures.psnr, float)
    assert "windows of 11 pixels" in figures.ssim.reason
    assert "too small" in figures.lpips.reason
    assert isinstance(measured(*pictures(4, 11)).ssim, float)


@pytest.mark.slow
def test_how_small_pictures_may_be_for_lpips():
    for backbone, side in LPIPS_SMALLEST.items():
        network = PerceptualLoss(backbone, None)
        assert network(*torch.rand(2, 1, 3, side, side)).isfinite().all()
        with pytest.raises(RuntimeError):
            network(*torch.rand(2, 1, 3, side - 1, side - 1))


def test_no_pictures():
    figures = Similarity(NONE).figures()
    assert "no pictures" in figures.psnr.reason


def test_weights_of_lpips(monkeypatch, tmp_path):
    def fail(backbone):
        raise OSError("no route to host")

    monkeypatch.setattr(losses, "_download_weights", fail)
    found = load_lpips()
    assert isinstance(found, Missing) and "--lpips-weights" in found.reason
    with pytest.raises(UserError, match="--lpips-weights.*is not a file"):
        load_lpips("vgg", str(tmp_path / "nowhere.pth"))
    with pytest.raises(UserError, match='"random" weights is no LPIPS'):
        load_lpips("vgg", "random")
    with pytest.raises(UserError, match="backbone is 'vgg19'"):
        load_lpips("vgg19")
