import math

import pytest
import torch

from pipelines.evaluation.figures import Missing
from pipelines.evaluation.likelihood import BitsPerId, CaptionPerplexity
from pipelines.evaluation.streaming import Mean


def test_bits_and_perplexity_of_a_model_that_has_learned_nothing():
    bits, perplexity = BitsPerId(), CaptionPerplexity()
    for rows in (3, 5):
        bits.update(torch.full((rows,), 16 * math.log(8192)), 16 * rows)
        lengths = torch.arange(rows) + 1
        perplexity.update(lengths * math.log(100), int(lengths.sum()))
    assert bits.figure() == pytest.approx(13)
    assert perplexity.figure() == pytest.approx(100)


def test_tokens_weigh_alike_whatever_their_row():
    bits = BitsPerId()
    bits.update(torch.tensor([2.0]), 1)
    bits.update(torch.tensor([0.0]), 3)
    assert bits.figure() == pytest.approx(0.5 / math.log(2))


def test_an_impossible_caption():
    perplexity = CaptionPerplexity()
    perplexity.update(torch.tensor([1e6]), 1)
    assert perplexity.figure() == math.inf


def test_a_mean_of_many_small_numbers_keeps_its_digits():
    mean = Mean()
    mean.update(torch.tensor([1e8]))
    for _ in range(100):
        mean.update(torch.ones(1000))  # float32 sums would stand still
    assert mean.figure() == pytest.approx((1e8 + 1e5) / 100001, rel=1e-12)


def test_nothing_to_rate():
    for metric in (BitsPerId(), CaptionPerplexity(), Mean()):
        assert isinstance(metric.figure(), Missing)
