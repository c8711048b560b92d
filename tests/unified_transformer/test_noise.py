"""Noise as a function of seed, position and id."""

import torch

from unified_transformer.noise import gumbel_noise, mix


def to_signed(number):
    return number - 2**64 if number >= 2**63 else number


def test_mix_is_splitmix64():
    """The first outputs of the generator's reference code for seed 1234567."""
    increment, outputs = 0x9E3779B97F4A7C15, []
    for step in (1, 2, 3):
        state = torch.tensor(to_signed((1234567 + step * increment) % 2**64))
        outputs.append(mix(state).item() % 2**64)
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_it_is_standard_gumbel_noise():
    noise = gumbel_noise(torch.arange(100)[:, None], torch.arange(100), 50).double()
    assert noise.isfinite().all()
    assert abs(noise.mean() - 0.5772) < 0.01 and abs(noise.var() - 1.6449) < 0.02
    for share in (0.01, 0.5, 0.99):
        quantile = -torch.log(-torch.log(torch.tensor(share, dtype=torch.float64)))
        assert abs((noise < quantile).double().mean() - share) < 0.002


def test_numbers_of_neighbours_are_unrelated():
    noise = gumbel_noise(torch.arange(60)[:, None], torch.arange(60), 60).double()
    flat = noise - noise.mean()
    for dim in range(3):
        a, b = flat.narrow(dim, 0, 59), flat.narrow(dim, 1, 59)
        assert abs((a * b).mean() / flat.var()) < 0.01


def test_it_does_not_depend_on_what_is_drawn_beside_it():
    together = gumbel_noise(torch.tensor([[3], [7], [2**63 - 1]]), torch.tensor([0, 5]), 9)
    alone = gumbel_noise(torch.tensor(7), torch.tensor(5), 4)
    assert torch.equal(alone, together[1, 1, :4])
    assert together.isfinite().all()
