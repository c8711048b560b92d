"""How codes start, move, die and come back."""

import pytest
import torch

from vq import VQGANConfig
from vq.codebook import CodebookLearner
from vq.global_batch import GlobalBatch
from vq.quantizer import VectorQuantizer

SIZE, DIM = 16, 4


def identity(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


def distances(some: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    return torch.cdist(some, others, compute_mode="donot_use_mm_for_euclid_dist")


def make_learner(**settings) -> CodebookLearner:
    torch.manual_seed(0)
    settings = {"codebook_distance": "euclidean", "codebook_start": "random", **settings}
    config = VQGANConfig(codebook_size=SIZE, code_dim=DIM, **settings)
    return CodebookLearner(VectorQuantizer(config), config, GlobalBatch(identity))


def batch(pictures: int = 4, seed: int = 1, spread: float = 1.0):
    """Encoder vectors [b, DIM, 4, 4] and pixels [b, 3, 8, 8]."""
    generator = torch.Generator().manual_seed(seed)
    grid = spread * torch.randn(pictures, DIM, 4, 4, generator=generator)
    return grid, torch.rand(pictures, 3, 8, 8, generator=generator)


def observe(learner: CodebookLearner, grid: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    output = learner.quantizer(grid)
    learner.observe(output, pixels)
    return output.ids


def test_ema_update_is_the_formula():
    learner = make_learner(ema_decay=0.9, revive_after_steps=0)
    quantizer = learner.quantizer
    counts, sums = quantizer.ema_counts.clone(), quantizer.ema_sums.clone()
    for step in range(3):
        grid, pixels = batch(seed=step)
        ids = observe(learner, grid, pixels).flatten()
        learner.update(step)
        flat = grid.permute(0, 2, 3, 1).reshape(-1, DIM)
        one_hot = torch.nn.functional.one_hot(ids, SIZE).float()
        # van den Oord et al. 2017, eqs. 6 to 8
        counts = 0.9 * counts + 0.1 * one_hot.sum(dim=0)
        sums = 0.9 * sums + 0.1 * one_hot.T @ flat
        assert torch.allclose(quantizer.ema_counts, counts, atol=1e-5)
        assert torch.allclose(quantizer.codebook, sums / counts[:, None], atol=1e-5)


def test_cosine_codes_stay_on_the_unit_sphere():
    learner = make_learner(codebook_distance="cosine", revive_after_steps=1)
    for step in range(3):
        observe(learner, *batch(seed=step))
        learner.update(step)
    assert torch.allclose(learner.quantizer.codebook.norm(dim=1), torch.ones(SIZE), atol=1e-5)


def test_codes_learned_by_gradient_are_not_averaged():
    learner = make_learner(codebook_update="gradient", revive_after_steps=0)
    before = learner.quantizer.codebook.detach().clone()
    observe(learner, *batch())
    learner.update(0)
    assert torch.equal(learner.quantizer.codebook, before)
    assert (learner.quantizer.ema_counts != 1).any()


def test_an_unused_code_stays_where_it_is_however_long():
    learner = make_learner(ema_decay=0.5, revive_after_steps=0)
    learner.quantizer.codebook[0] = learner.quantizer.ema_sums[0] = 100.0
    for step in range(200):
        observe(learner, *batch(seed=step % 3))
        learner.update(step)
    assert torch.allclose(learner.quantizer.codebook[0], torch.full((DIM,), 100.0))


def test_dead_codes_are_revived_at_vectors_of_high_error():
    learner = make_learner(revive_after_steps=3)
    quantizer = learner.quantizer
    quantizer.codebook[8:] = quantizer.ema_sums[8:] = 1000.0  # too far away for anything
    for step in range(3):
        assert (quantizer.codebook[8:] > 999).all()
        grid, pixels = batch(seed=5)
        output = quantizer(grid)
        errors_before = (grid - output.codes).square().sum(dim=1).flatten()
        learner.observe(output, pixels)
        learner.update(step)
    flat = grid.permute(0, 2, 3, 1).reshape(-1, DIM)
    apart = distances(quantizer.codebook[8:], flat)
    nearest = apart.argmin(dim=1)
    assert (apart.amin(dim=1) == 0).all()
    assert len(nearest.unique()) == 8
    assert errors_before[nearest].mean() > errors_before.mean()
    assert (quantizer.idle_steps[8:] == 0).all()


def test_a_code_used_in_its_last_step_lives_on():
    learner = make_learner(revive_after_steps=2, ema_decay=0.0)
    learner.quantizer.idle_steps.fill_(1)
    grid = learner.quantizer.codebook.T.reshape(1, DIM, 4, 4).clone()
    before = learner.quantizer.codebook.clone()
    observe(learner, grid, torch.rand(1, 3, 8, 8))
    learner.update(0)
    assert torch.allclose(learner.quantizer.codebook, before, atol=1e-5)
    assert (learner.quantizer.idle_steps == 0).all()


def test_no_revival_when_turned_off():
    learner = make_learner(revive_after_steps=0)
    learner.quantizer.codebook[:] = learner.quantizer.ema_sums[:] = 1000.0
    learner.quantizer.codebook[0] = learner.quantizer.ema_sums[0] = 0.0
    for step in range(5):
        observe(learner, *batch(seed=step))
        learner.update(step)
    assert torch.allclose(learner.quantizer.codebook[1:], torch.tensor(1000.0))


def test_the_start_spreads_codes_over_the_first_batch():
    learner = make_learner(codebook_start="first_batch")
    assert not learner.started
    grid, pixels = batch(pictures=2)
    # Mostly one vector (as of a plain background), and 20 others.
    flat = torch.zeros(32, DIM)
    flat[:20] = 10 * grid.permute(0, 2, 3, 1).reshape(-1, DIM)[:20]
    grid = flat.view(2, 4, 4, DIM).permute(0, 3, 1, 2)
    learner.start([grid], [pixels])
    assert learner.started
    assert (distances(learner.quantizer.codebook, flat).amin(dim=1) == 0).all()
    assert torch.pdist(learner.quantizer.codebook).min() > 0.1  # no vector was taken twice


def test_the_start_makes_do_with_fewer_vectors_than_codes():
    learner = make_learner(codebook_start="first_batch")
    grid, pixels = batch(pictures=1)
    learner.start([grid[:, :, :2, :2]], [pixels])
    assert torch.isfinite(learner.quantizer.codebook).all()
    assert torch.pdist(learner.quantizer.codebook).min() > 0


@pytest.mark.parametrize("split", [[6], [2, 4], [1, 1, 4]])
def test_start_and_revival_do_not_depend_on_how_the_batch_is_dealt(split):
    """Micro-batches in another order give the same codebook."""
    grid, pixels = batch(pictures=6, spread=3.0)
    order = torch.tensor([3, 0, 5, 1, 4, 2])

    def run(grids, pictures):
        learner = make_learner(codebook_start="first_batch", revive_after_steps=2)
        learner.start(grids, pictures)
        for step in range(6):
            for one, two in zip(grids, pictures, strict=True):
                observe(learner, one * (1 + step) ** 2, two)
            learner.update(step)
        return learner.quantizer

    one = run([grid], [pixels])
    other = run(grid[order].split(split), pixels[order].split(split))
    assert torch.allclose(one.codebook, other.codebook, rtol=1e-5, atol=1e-5)
    assert torch.equal(one.idle_steps, other.idle_steps)


def test_usage_and_perplexity():
    learner = make_learner(ema_decay=0.5, revive_after_steps=0)
    quantizer = learner.quantizer
    assert learner.usage()["codebook_used"] == 1
    quantizer.ema_counts[:] = torch.tensor([4.0] * 4 + [0.0] * 12)
    quantizer.idle_steps[4:] = 50
    usage = learner.usage()
    assert usage["codebook_used"] == 0.25
    assert torch.isclose(usage["perplexity"], torch.tensor(4.0))
