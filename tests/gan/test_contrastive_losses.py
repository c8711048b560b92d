"""Contrasts, worked out by hand."""

import math

import pytest
import torch

from gan.contrastive_losses import (
    info_nce,
    joint_embedding_loss,
    local_global_loss,
    pair_logits,
    retrieval_accuracy,
    word_region_logits,
)


def contrast(first: torch.Tensor, second: torch.Tensor, **options) -> float:
    return info_nce(pair_logits(first, second, **options)).mean().item()


def test_pairs_that_are_told_apart():
    # fp32 knows 1 + e^-10 to three digits
    assert contrast(torch.eye(2), torch.eye(2)) == pytest.approx(9.0798e-5, rel=2e-3)


def test_pairs_that_are_all_equal():
    same = torch.ones(4, 3)
    assert contrast(same, same) == pytest.approx(2 * math.log(4), abs=1e-6)


def test_pairs_of_which_two_are_one():
    second = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert contrast(torch.eye(2), second) == pytest.approx(5.693193, abs=1e-5)


def test_what_pairs_do_not_depend_on():
    torch.manual_seed(0)
    first, second = torch.randn(2, 5, 7)
    value = contrast(first, second)
    order = torch.randperm(5)
    assert contrast(first[order], second[order]) == pytest.approx(value, rel=1e-5)
    assert contrast(first * torch.rand(5, 1), second) == pytest.approx(value, rel=1e-5)
    assert contrast(second, first) == pytest.approx(value, rel=1e-5)
    assert contrast(first[order], second) != pytest.approx(value, rel=1e-2)


def test_equal_texts_are_no_negatives():
    first = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    groups = torch.tensor([7, 7, 8])
    told = contrast(first, first, groups=groups)
    # The first two have one negative each, the third has two.
    assert told == pytest.approx(4 / 3 * contrast(torch.eye(2), torch.eye(2)), rel=2e-3)
    logits = pair_logits(first, first, groups=groups)
    assert retrieval_accuracy(logits) == 1
    assert logits[0, 1] == logits[1, 0] == -torch.inf and logits[0, 2].isfinite()


def words_in(regions: list, words: list, mask: list | None = None) -> torch.Tensor:
    """The score of one picture's regions with one text's words."""
    there = torch.ones(1, len(words)).bool() if mask is None else torch.tensor([mask])
    return word_region_logits(torch.tensor([regions]), torch.tensor([words]), there)[0, 0]


def test_one_word_and_one_region():
    assert words_in([[2.0, 0.0]], [[3.0, 0.0]]).item() == pytest.approx(50)
    assert words_in([[2.0, 0.0]], [[0.0, 1.0]]).item() == pytest.approx(0)


def test_a_word_looks_at_the_region_that_is_like_it():
    seen = words_in([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0]])
    assert seen.item() / 50 == pytest.approx(0.999977, abs=1e-6)


def test_a_word_said_twice_adds_a_constant():
    regions = [[1.0, 0.2], [0.1, 1.0]]
    once, twice = (words_in(regions, [[0.5, 0.7]] * n) for n in (1, 2))
    assert (twice - once).item() == pytest.approx(50 * 0.138629, abs=1e-3)


def test_padding_and_order_of_regions_do_not_count():
    torch.manual_seed(0)
    regions, words = torch.randn(3, 6, 4), torch.randn(3, 5, 4)
    mask = torch.arange(5)[None] < torch.tensor([[5], [2], [3]])
    logits = word_region_logits(regions, words, mask)
    assert torch.equal(word_region_logits(regions, words.where(mask[..., None], 9.0), mask), logits)
    assert torch.allclose(
        word_region_logits(regions[:, torch.randperm(6)], words, mask), logits, atol=1e-4
    )


def test_words_and_regions_beside_a_plain_loop():
    torch.manual_seed(0)
    regions, words = torch.randn(2, 6, 4), torch.randn(2, 5, 4)
    mask = torch.arange(5)[None] < torch.tensor([[5], [2]])
    expected = torch.empty(2, 2)
    for picture in range(2):
        for text in range(2):
            total = 0.0
            for word in words[text][mask[text]]:
                unit = word / word.norm()
                units = [region / region.norm() for region in regions[picture]]
                weights = [math.exp(5 * float(unit @ one)) for one in units]
                seen = sum(w * one for w, one in zip(weights, units, strict=True)) / sum(weights)
                total += math.exp(5 * float(unit @ seen / seen.norm()))
            expected[picture, text] = math.log(total) / 5 / 0.02
    assert torch.allclose(word_region_logits(regions, words, mask), expected, atol=1e-4)


def places(n: int, p: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.zeros(n, p, 3), torch.zeros(n, 3)


@pytest.mark.parametrize(
    ("n", "p", "expected"), [(2, 1, 0.693147), (64, 64, 8.302266), (1, 9, 0.0)]
)
def test_places_without_knowledge(n, p, expected):
    assert local_global_loss(*places(n, p)).mean().item() == pytest.approx(expected, abs=1e-6)


def test_places_that_are_known():
    local = 2**0.5 * torch.eye(2)[:, None]
    loss = local_global_loss(local, local[:, 0]).mean()
    assert loss.item() == pytest.approx(0.126928, abs=1e-6)


def test_order_of_pictures_and_places_does_not_count():
    torch.manual_seed(0)
    local, whole = torch.randn(4, 5, 3), torch.randn(4, 3)
    loss, order = local_global_loss(local, whole), torch.randperm(4)
    assert torch.allclose(local_global_loss(local[order], whole[order]), loss[order])
    assert torch.allclose(local_global_loss(local[:, torch.randperm(5)], whole), loss)


def test_a_single_picture_has_no_gradient():
    local, whole = torch.randn(1, 5, 3, requires_grad=True), torch.randn(1, 3)
    local_global_loss(local, whole).sum().backward()
    assert torch.equal(local.grad, torch.zeros_like(local))


def test_own_places_are_no_negatives():
    torch.manual_seed(0)
    local, whole = torch.randn(2, 3, 4), torch.randn(2, 4)
    scores = [[[float(local[m, q] @ whole[n]) for q in range(3)] for m in (0, 1)] for n in (0, 1)]
    for n in (0, 1):
        others = sum(math.exp(score) for score in scores[n][1 - n])
        expected = [-math.log(math.exp(s) / (math.exp(s) + others)) for s in scores[n][n]]
        loss = local_global_loss(local, whole)[n].item()
        assert loss == pytest.approx(sum(expected) / 3, rel=1e-5)


def test_joint_embedding():
    scores = torch.tensor([[2.0, 6.0], [1.0, 3.0]])
    # Texts: 6 - 2 + 1, 1 - 3 + 1 < 0; pictures: 1 - 2 + 1 = 0, 6 - 3 + 1.
    assert joint_embedding_loss(scores).tolist() == [2.5, 2.0]
    same = scores.masked_fill(~torch.eye(2, dtype=torch.bool), -torch.inf)
    assert joint_embedding_loss(same).tolist() == [0, 0]
