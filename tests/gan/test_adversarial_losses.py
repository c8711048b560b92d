"""Hinge losses, worked out by hand."""

import torch

from gan import HingeLoss


def test_discriminator():
    real = torch.tensor([[2.0, 0.5], [-1.0, 1.0]])
    fake = torch.tensor([[-2.0, 0.5], [0.0, -1.0]])
    losses = HingeLoss().discriminator(real, fake)
    # (0 + 0.5) / 2 + (0 + 1.5) / 2; (2 + 0) / 2 + (1 + 0) / 2
    assert torch.allclose(losses, torch.tensor([1.0, 1.5]))


def test_generator():
    assert torch.equal(HingeLoss().generator(torch.tensor([[2.0, 4.0]])), torch.tensor([-3.0]))


def test_one_value_per_picture_of_any_shape():
    for shape in [(3,), (3, 1), (3, 1, 5, 4)]:
        logits = torch.randn(shape)
        expected = -logits.reshape(3, -1).mean(dim=1)
        assert torch.allclose(HingeLoss().generator(logits), expected)
        assert HingeLoss().discriminator(logits, logits).shape == (3,)


def test_a_sure_discriminator_has_no_gradient():
    logits = torch.tensor([[1.5]], requires_grad=True)
    HingeLoss().discriminator(logits, -logits).sum().backward()
    assert logits.grad == 0
