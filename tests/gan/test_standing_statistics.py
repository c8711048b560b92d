"""Statistics are those of the weights in place, and only for as long as they are asked for."""

import torch
from torch import nn

from gan.standing_statistics import standing_statistics


def test_statistics_of_the_present_weights():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    network(torch.randn(64, 1, 4, 4))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    nn.init.constant_(network[0].weight, 3.0)
    nn.init.zeros_(network[0].bias)
    pictures = 5 + 2 * torch.randn(256, 1, 4, 4)
    with standing_statistics(network, lambda: [network(part) for part in pictures.split(64)]):
        assert not network.training
        assert torch.allclose(network[1].running_mean, torch.full((2,), 15.0), atol=0.3)
        assert torch.allclose(network[1].running_var, torch.full((2,), 36.0), rtol=0.1)
        assert network(pictures).std().item() < 1.1
    assert network.training and network[1].momentum == 0.1
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        assert torch.equal(network.state_dict()[f"1.{name}"], before[f"1.{name}"])


def test_networks_without_statistics_are_left_alone():
    network = nn.Linear(2, 2).train()
    with standing_statistics(network, lambda: 1 / 0):
        assert network.training
