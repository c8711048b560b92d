"""FID and Inception Score on features whose figures are known, and the libraries' own."""

import pytest
import torch
from torch import nn
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore as LibrarysInceptionScore

from pipelines.evaluation.fidelity import FeatureStatistics, InceptionScore, fid
from pipelines.evaluation.figures import Missing


def statistics(features):
    """Streamed in blocks."""
    metric = FeatureStatistics(features.shape[1])
    for block in features.split(7):
        metric.update(block)
    return metric


def exact(mean, variance, count=50):
    """One-dimensional features of exactly this mean and unbiased variance."""
    noise = torch.randn(count, 1, generator=torch.Generator().manual_seed(0)).double()
    return (noise - noise.mean()) / noise.std() * variance**0.5 + mean


def test_fid_of_known_gaussians():
    # (m1 - m2)^2 + (s1 - s2)^2 of one dimension.
    near, wide = statistics(exact(0, 1)), statistics(exact(1, 4))
    assert fid(near.gaussian(), wide.gaussian()) == pytest.approx(2)
    assert fid(wide.gaussian(), near.gaussian()) == pytest.approx(2)
    assert fid(near.gaussian(), near.gaussian()) == pytest.approx(0, abs=1e-9)


def test_fid_is_the_libraries():
    generator = torch.Generator().manual_seed(0)
    real = torch.rand(100, 32, generator=generator)
    made = torch.rand(100, 32, generator=generator) * 0.8 + real.mean()

    class Identity(nn.Module):
        num_features = 32

        def forward(self, features):
            return features

    theirs = FrechetInceptionDistance(Identity(), normalize=False).set_dtype(torch.float64)
    theirs.update(real, real=True)
    theirs.update(made, real=False)
    ours = fid(statistics(real).gaussian(), statistics(made).gaussian())
    assert ours == pytest.approx(theirs.compute().item(), rel=1e-6)
    both = [fid_features_to_statistics(features.double()) for features in (real, made)]
    fidelity = fid_statistics_to_metric(*both, verbose=False)["frechet_inception_distance"]
    assert ours == pytest.approx(fidelity, rel=1e-6)


def test_moments_do_not_depend_on_a_large_mean():
    features = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)).double()
    far = statistics(features + 1000).gaussian()
    assert torch.allclose(far.covariance, features.T.cov(), rtol=1e-6)
    assert far.count == 40


@pytest.mark.parametrize(("real", "made"), [(9, 8), (8, 9), (1, 9), (0, 9), (9, 1)])
def test_fewer_pictures_than_features_have_no_fid(real, made):
    pair = [statistics(torch.rand(count, 8)).gaussian() for count in (real, made)]
    found = fid(*pair)
    assert isinstance(found, Missing)
    assert "FID takes more pictures" in found.reason and "measure more rows" in found.reason
    pair = [statistics(torch.rand(9, 8)).gaussian() for _ in range(2)]
    assert isinstance(fid(*pair), float)


def certain(classes, count):
    """Logits of pictures that are surely of one class after the other."""
    return 1000 * torch.eye(classes)[torch.arange(count) % classes]


def test_inception_score_of_known_predictions():
    score = InceptionScore(classes=4, splits=2)
    # Of every split as many pictures in each class.
    for n, block in enumerate(certain(4, 4).split(3)):
        for split in range(2):
            score.update(block, torch.full((len(block),), 2 * n + split))
    assert score.figures() == (pytest.approx(4), pytest.approx(0, abs=1e-9))
    score = InceptionScore(classes=4)
    score.update(torch.zeros(20, 4), torch.arange(20))
    assert score.figures() == (pytest.approx(1), pytest.approx(0, abs=1e-9))


def test_inception_score_is_the_librarys():
    logits = torch.randn(60, 8, generator=torch.Generator().manual_seed(0)) * 3

    def ours(splits, rows):
        score = InceptionScore(classes=8, splits=splits)
        for part in torch.arange(60).split(13):
            score.update(logits[part], rows[part])
        return score.figures()

    theirs = LibrarysInceptionScore(nn.Identity(), splits=1)
    theirs.update(logits)
    mean, deviation = ours(1, torch.arange(60))
    assert mean == pytest.approx(theirs.compute()[0].item(), rel=1e-5)
    assert deviation == 0
    # Splits are scored apart: what row numbers say, not the order of arrival.
    parts = []
    for split in range(3):
        theirs.reset()
        theirs.update(logits[split::3])
        parts.append(theirs.compute()[0])
    parts = torch.stack(parts)
    mean, deviation = ours(3, torch.arange(60))
    assert mean == pytest.approx(parts.mean().item(), rel=1e-5)
    assert deviation == pytest.approx(parts.std(correction=0).item(), rel=1e-4)


def test_inception_score_needs_a_picture_in_each_split():
    score = InceptionScore(classes=4)
    score.update(torch.zeros(9, 4), torch.arange(9))
    mean, deviation = score.figures()
    assert mean == deviation and "10 splits" in mean.reason
