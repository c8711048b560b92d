"""Drawing ids from logits."""

import pytest
import torch

from unified_transformer import SamplingSettings
from unified_transformer.noise import gumbel_noise
from unified_transformer.sampling import filter_logits, guide, sample


def test_ids_follow_the_distribution():
    logits = torch.tensor([2.0, 0.0, 1.0, -1.0]).expand(40_000, 4)
    noise = gumbel_noise(torch.tensor(3), torch.arange(40_000), 4)
    ids = sample(logits, SamplingSettings(temperature=0.7), lambda: noise)
    share = torch.bincount(ids, minlength=4) / 40_000
    torch.testing.assert_close(share, (logits[0] / 0.7).softmax(-1), atol=0.007, rtol=0)


def test_impossible_ids_are_never_drawn():
    logits = torch.tensor([-torch.inf, 0.0, -torch.inf]).expand(10_000, 3)
    noise = gumbel_noise(torch.tensor(3), torch.arange(10_000), 3)
    assert (sample(logits, SamplingSettings(), lambda: noise) == 1).all()


def test_temperature_zero_takes_the_likeliest_without_noise():
    ids = sample(torch.tensor([[0.0, 3.0, 1.0]]), SamplingSettings(temperature=0), pytest.fail)
    assert ids.tolist() == [1]


def test_top_k_keeps_the_k_likeliest():
    kept = filter_logits(torch.tensor([[1.0, 4.0, 3.0, 2.0]]), top_k=2).isfinite()
    assert kept.tolist() == [[False, True, True, False]]


def test_top_k_keeps_no_more_than_k_of_equals():
    kept = filter_logits(torch.tensor([[2.0, 2.0, 2.0, 1.0]]), top_k=1).isfinite()
    assert kept.sum() == 1 and not kept[0, 3]


def test_top_p_keeps_the_smallest_set_that_reaches_p():
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    for p, kept in ((0.4, 1), (0.5, 1), (0.6, 2), (0.81, 3), (1.0, 4)):
        assert filter_logits(logits, top_p=p).isfinite().sum() == kept, p


def test_guidance_is_the_stated_formula_and_scale_one_is_none():
    prompt, empty = torch.randn(2, 5), torch.randn(2, 5)
    both = torch.cat([prompt, empty])
    torch.testing.assert_close(guide(both, 1.0), prompt)
    torch.testing.assert_close(guide(both, 3.0), empty + 3 * (prompt - empty))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"temperature": -0.1}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"guidance_scale": -1.0}, "guidance_scale"),
        ({"guidance_scale": float("nan")}, "guidance_scale"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": float("inf")}, "temperature"),
    ],
)
def test_values_out_of_range_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        SamplingSettings(**change)
