import pytest
import torch
from torch import nn

from pipelines.training.ema import WeightAverage
from pipelines.training.weights import WholeWeights


def test_the_average_follows_its_formula():
    module = nn.Linear(1, 1, bias=False)
    module.weight.data.fill_(0.0)
    average = WeightAverage(WholeWeights(module), decay=0.2)
    expected, values = 0.0, [1.0, 2.0, 3.0]
    for n, value in enumerate(values):
        module.weight.data.fill_(value)
        average.update()
        decay = min(0.2, (1 + n) / (10 + n))  # 0.1, 0.18…, then 0.2
        expected = decay * expected + (1 - decay) * value
        assert float(average.held["weight"]) == pytest.approx(expected)


def test_in_place_exchanges_and_gives_back():
    module = nn.Linear(2, 2)
    module.bias.requires_grad_(False)
    average = WeightAverage(WholeWeights(module), decay=0.9)
    assert list(average.held) == ["weight"]
    before = module.weight.detach().clone()
    module.weight.data.add_(1)
    with pytest.raises(RuntimeError), average.in_place():
        assert torch.equal(module.weight, before)
        raise RuntimeError
    assert torch.equal(module.weight, before + 1)
    assert torch.equal(average.held["weight"], before)


def test_averages_of_another_model_are_refused():
    average = WeightAverage(WholeWeights(nn.Linear(2, 2)), decay=0.9)
    with pytest.raises(ValueError, match="'bias' is on one side"):
        average.load({"weight": torch.zeros(2, 2)}, updates=1)
