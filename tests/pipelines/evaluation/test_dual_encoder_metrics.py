import pytest
import torch
from torch.nn.functional import normalize

from pipelines.command_line import UserError
from pipelines.evaluation.dual_encoder_metrics import diversity, frechet_distance, r_precision


def sample(mean, covariance):
    """Features [n, d] whose own mean and covariance are exactly these."""
    noise = torch.randn(200, len(mean), generator=torch.Generator().manual_seed(0)).double()
    white = noise - noise.mean(dim=0)
    white = white @ torch.linalg.inv(torch.linalg.cholesky(white.T.cov())).T
    return white @ torch.linalg.cholesky(covariance).T + mean


def test_frechet_distance_of_gaussians():
    zero, one = torch.zeros(3).double(), torch.eye(3).double()
    narrow = sample(zero, one)
    # Equal covariances leave the means, and a multiple of the identity (s - 1)^2 an axis.
    assert frechet_distance(narrow, sample(zero + 2, one)) == pytest.approx(12)
    assert frechet_distance(narrow, sample(zero, 9 * one)) == pytest.approx(12)
    turned = torch.tensor([[2.0, 1.0, 0.0], [1.0, 3.0, 0.5], [0.0, 0.5, 1.0]]).double()
    other = torch.diag(torch.tensor([4.0, 0.25, 1.0]).double())
    values = torch.linalg.eigvals(turned @ other).real.sqrt().sum()
    expected = turned.trace() + other.trace() - 2 * values
    assert frechet_distance(sample(zero, turned), sample(zero, other)) == pytest.approx(
        expected.item()
    )


def test_frechet_distance_of_equal_sets_is_nothing():
    features = normalize(torch.randn(65, 64, generator=torch.Generator().manual_seed(0)), dim=1)
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-6)
    # Features that do not fill their space have a covariance without an inverse.
    flat = features.clone()
    flat[:, 32:] = 0
    assert frechet_distance(flat, flat) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(flat, features) > 0.1


def test_frechet_distance_needs_more_pictures_than_dimensions():
    enough, few = torch.randn(9, 8), torch.randn(8, 8)
    frechet_distance(enough, enough)
    for pair in ((enough, few), (few, enough)):
        with pytest.raises(UserError, match="8 pictures are too few.*give 9 or more"):
            frechet_distance(*pair)


def test_r_precision_is_one_where_pairs_agree_and_chance_where_nothing_does():
    generator = torch.Generator().manual_seed(0)
    image = normalize(torch.randn(600, 16, generator=generator), dim=1)
    text = normalize(torch.randn(600, 16, generator=generator), dim=1)
    captions = [f"number {n}" for n in range(600)]
    assert r_precision(image, image, captions) == 1
    assert r_precision(image, text, captions) == pytest.approx(0.01, abs=0.01)
    assert r_precision(image, torch.ones_like(text), captions) == 0  # as near is not nearest


def test_r_precision_compares_with_other_texts_alone():
    # Rows 0 and 1 say the same; row 2 is nearer to the wrong picture.
    image = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.6, 0.8]])
    text = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    text[2] = torch.tensor([0.8, 0.6])
    assert r_precision(image, text, ["a star", "a star", "a circle"]) == 1
    with pytest.raises(UserError, match="all 3 captions are 'a star'"):
        r_precision(image, text, ["a star"] * 3)


def test_diversity_is_the_mean_cosine_distance_within_a_prompt():
    same = torch.tensor([[3.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
    mixed = torch.tensor([[1.0, 0.0], [0.0, 5.0], [-1.0, 0.0]])
    assert diversity(same[None]) == pytest.approx(0)
    assert diversity(mixed[None]) == pytest.approx((1 + 1 + 2) / 3)
    assert diversity(torch.stack([same, mixed])) == pytest.approx(2 / 3)
    with pytest.raises(UserError, match="two or more of each"):
        diversity(torch.ones(4, 1, 2))
