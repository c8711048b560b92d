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
    assert contrast(same, same) == pytest.approx(2.772589, abs=1e-6)  # 2 ln 4


def test_pairs_of_which_two_are_one():
    second = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert contrast(torch.eye(2), second) == pytest.approx(5.693193, abs=1e-5)
    # The first of each pair does not know its second, 0.693147; of the seconds one is never right.
    each = info_nce(pair_logits(torch.eye(2), second)) - 0.693147
    assert each.tolist() == pytest.approx([math.exp(-10), 10 + math.exp(-10)], abs=2e-5)
    assert each.mean().item() == pytest.approx(5.000045, abs=1e-5)


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


def test_retrieval_is_of_texts_by_pictures():
    found = torch.tensor([[2.0, 1.0, 0.0], [3.0, 4.0, 0.0], [5.0, 6.0, 1.0]])
    assert retrieval_accuracy(found).item() == pytest.approx(2 / 3)
    assert retrieval_accuracy(found.T).item() == pytest.approx(1 / 3)


def words_in(regions: list, words: list, mask: list | None = None) -> torch.Tensor:
    """The score of one picture's regions with one text's words."""
    there = torch.ones(1, len(words)).bool() if mask is None else torch.tensor([mask])
    return word_region_logits(torch.tensor([regions]), torch.tensor([words]), there)[0, 0]


def test_one_word_and_one_region():
    assert words_in([[2.0, 0.0]], [[3.0, 0.0]]).item() == pytest.approx(50)
    assert words_in([[2.0, 0.0]], [[0.0, 1.0]]).item() == pytest.approx(0)


def test_a_word_looks_at_the_region_that_is_like_it():
    cosine = words_in([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0]]).item() / 50
    assert cosine == pytest.approx(0.999977, abs=1e-6)
    # What it saw is (look, 1 - look), whose cosine with the word tells how sharply it looked.
    look = 1 / (1 + math.sqrt(1 / cosine**2 - 1))
    assert look == pytest.approx(0.993307, abs=3e-5)


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


def loss_of_a_place(local, whole, n: int, place: int, own: str) -> float:
    """In plain loops. A picture's own places are `out`, as ours; or `faint`, which the authors'
    code makes of them; or `in`, where all places of the batch are in the sum, each once."""
    positive = float(local[n, place] @ whole[n])
    total = 0.0 if own == "in" else math.exp(positive)
    for m in range(len(local)):
        for other in local[m]:
            if m != n or own == "in":
                total += math.exp(float(other @ whole[n]))
            elif own == "faint":
                total += math.exp(-10)
    return math.log(total) - positive


@pytest.mark.parametrize("own", ["out", "in"])
def test_own_places_are_no_negatives(own):
    torch.manual_seed(0)
    local, whole = torch.randn(2, 3, 4), torch.randn(2, 4)
    for n in (0, 1):
        expected = sum(loss_of_a_place(local, whole, n, place, own) for place in range(3)) / 3
        ours = local_global_loss(local, whole)[n].item()
        assert (ours == pytest.approx(expected, rel=1e-6)) == (own == "out")


@pytest.mark.parametrize(
    ("n", "p", "own", "expected"),
    [(2, 1, "out", 0.693147), (2, 1, "faint", 0.693170), (64, 64, "out", 8.302266),
     (64, 64, "in", 8.317766)],
)  # fmt: skip
def test_other_denominators_give_other_numbers(n, p, own, expected):
    assert loss_of_a_place(*places(n, p), 0, 0, own) == pytest.approx(expected, abs=1e-6)
    ours = local_global_loss(*places(n, p)).mean().item()
    assert (ours == pytest.approx(expected, abs=5e-6)) == (own == "out")


def test_joint_embedding():
    scores = torch.tensor([[2.0, 6.0], [1.0, 3.0]])
    # Texts: 6 - 2 + 1, 1 - 3 + 1 < 0; pictures: 1 - 2 + 1 = 0, 6 - 3 + 1.
    assert joint_embedding_loss(scores).tolist() == [2.5, 2.0]
    same = scores.masked_fill(~torch.eye(2, dtype=torch.bool), -torch.inf)
    assert joint_embedding_loss(same).tolist() == [0, 0]
