"""Gradient penalties of functions whose gradients are known."""

import pytest
import torch

from gan.regularization import gradient_penalty


def test_penalty_of_a_linear_discriminator():
    a, b = (torch.tensor(value, requires_grad=True) for value in (3.0, 4.0))
    picture, text = (torch.ones(1, 1, requires_grad=True) for _ in range(2))
    penalty = gradient_penalty(a * picture + b * text, [picture, text], weight=2, power=6)
    assert penalty.item() == pytest.approx(2 * 5**6)


def test_penalty_is_of_one_norm_and_has_gradients():
    a, b = (torch.tensor(value, requires_grad=True) for value in (1.0, 2.0))
    picture, text = (torch.ones(1, 1, requires_grad=True) for _ in range(2))
    penalty = gradient_penalty(a * picture + b * text, [picture, text], weight=2, power=6)
    penalty.sum().backward()
    assert penalty.item() == pytest.approx(250)
    assert a.grad.item() == pytest.approx(300) and b.grad.item() == pytest.approx(600)


def test_the_papers_sum_of_two_norms_is_another_number():
    picture, text = (torch.ones(1, 1, requires_grad=True) for _ in range(2))
    ours = gradient_penalty(1 * picture + 2 * text, [picture, text], weight=2, power=6).item()
    norms = [
        torch.autograd.grad((1 * picture + 2 * text).sum(), part)[0] for part in (picture, text)
    ]
    papers = 2 * sum(float(norm.abs().sum()) for norm in norms) ** 6
    assert (ours, papers) == (pytest.approx(250), pytest.approx(1458))


def test_a_constant_discriminator_pays_nothing():
    weight = torch.zeros((), requires_grad=True)
    picture = torch.randn(3, 2, requires_grad=True)
    penalty = gradient_penalty((weight * picture).sum(dim=1), [picture], weight=2, power=6)
    penalty.sum().backward()
    assert penalty.tolist() == [0, 0, 0] and weight.grad == 0


def test_r1():
    picture = torch.tensor([[1.0, 2.0]], requires_grad=True)
    logits = (picture**2).sum(dim=1)  # whose gradient is 2, 4
    assert gradient_penalty(logits, [picture], weight=0.5, power=2).item() == pytest.approx(10)
