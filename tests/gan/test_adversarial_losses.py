"""Adversarial losses, worked out by hand."""

import math

import pytest
import torch
from torch.nn import functional as F

from gan import DualContrastiveLoss, HingeLoss, NonSaturatingLoss, matching_aware
from gan.adversarial_losses import (
    attribute_discriminator_loss,
    attribute_generator_loss,
    attribute_targets,
)

EVERY_LOSS = [HingeLoss(), NonSaturatingLoss(), DualContrastiveLoss()]


def logit(score: float) -> torch.Tensor:
    return torch.tensor([score]).logit()


def test_hinge_of_the_discriminator():
    real = torch.tensor([[2.0, 0.5], [-1.0, 1.0]])
    fake = torch.tensor([[-2.0, 0.5], [0.0, -1.0]])
    losses = HingeLoss().discriminator(real, fake)
    # (0 + 0.5) / 2 + (0 + 1.5) / 2; (2 + 0) / 2 + (1 + 0) / 2
    assert torch.allclose(losses, torch.tensor([1.0, 1.5]))


def test_hinge_of_the_generator():
    assert torch.equal(HingeLoss().generator(torch.tensor([[2.0, 4.0]])), torch.tensor([-3.0]))


@pytest.mark.parametrize("loss", EVERY_LOSS)
@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 1, 5, 4)])
def test_one_value_per_picture_of_any_shape(loss, shape):
    torch.manual_seed(0)
    real, fake = torch.randn(shape), torch.randn(shape)
    means = [logits.reshape(3, -1).mean(dim=1) for logits in (real, fake)]
    assert loss.discriminator(real, fake).shape == loss.generator(fake, real).shape == (3,)
    if not isinstance(loss, NonSaturatingLoss):  # which bends each logit before the mean
        assert torch.allclose(loss.generator(fake, real), loss.generator(means[1], means[0]))


def test_a_sure_discriminator_has_no_gradient():
    logits = torch.tensor([[1.5]], requires_grad=True)
    HingeLoss().discriminator(logits, -logits).sum().backward()
    assert logits.grad == 0


def test_non_saturating_loss_without_knowledge():
    half = logit(0.5)
    plain = NonSaturatingLoss().discriminator(half, half)
    assert plain.item() == pytest.approx(2 * math.log(2))
    told = matching_aware(NonSaturatingLoss(), [half] * 3, weight=0.5)
    assert told.item() == pytest.approx(1.386294)


@pytest.mark.parametrize(
    ("weight", "expected"), [(0.0, 0.733969), (0.3, 0.687724), (0.5, 0.656894)]
)
def test_matching_aware_scores(weight, expected):
    logits = [logit(score) for score in (0.8, 0.4, 0.3)]  # real, fake, wrong
    told = matching_aware(NonSaturatingLoss(), logits, weight)
    assert told.item() == pytest.approx(expected, abs=1e-6)


def test_matching_aware_hinge_without_knowledge():
    assert matching_aware(HingeLoss(), [torch.zeros(1)] * 3, weight=0.5).item() == 2.0


@pytest.mark.parametrize("loss", EVERY_LOSS)
def test_wrong_pairs_count_by_their_weight(loss):
    torch.manual_seed(0)
    real, fake, wrong = torch.randn(3, 4)
    wrong.requires_grad_()
    assert torch.equal(
        matching_aware(loss, [real, fake, wrong], weight=0.0), loss.discriminator(real, fake)
    )
    each = [
        torch.autograd.grad(matching_aware(loss, [real, fake, wrong], weight).sum(), wrong)[0]
        for weight in (0.3, 0.5)
    ]
    assert torch.allclose(each[0] / 0.3, each[1] / 0.5) and (each[0] != 0).any()


def dual(real: list[float], fake: list[float]) -> torch.Tensor:
    return DualContrastiveLoss().discriminator(torch.tensor(real), torch.tensor(fake)).mean()


@pytest.mark.parametrize(("n", "expected"), [(1, 1.386294), (4, 3.218876), (32, 6.993015)])
def test_dual_contrastive_loss_without_knowledge(n, expected):
    assert dual([0.0] * n, [0.0] * n).item() == pytest.approx(expected, abs=1e-6)


def test_dual_contrastive_loss_of_one_pair_is_logistic():
    expected = 2 * F.softplus(torch.tensor(-0.4 - 1.3))
    assert dual([1.3], [-0.4]).item() == pytest.approx(expected.item())


def test_dual_contrastive_loss_and_its_gradients():
    real = torch.tensor([1.0, 0.0], requires_grad=True)
    fake = torch.tensor([0.0, -1.0], requires_grad=True)
    loss = DualContrastiveLoss().discriminator(real, fake).mean()
    loss.backward()
    assert loss.item() == pytest.approx(1.269601, abs=1e-6)
    assert torch.allclose(real.grad, torch.tensor([-0.290076, -0.622364]), atol=1e-6)
    assert torch.allclose(fake.grad, torch.tensor([0.622364, 0.290076]), atol=1e-6)
    swapped = DualContrastiveLoss("swap").generator(fake, real).mean()
    assert swapped.item() == pytest.approx(3.959051, abs=1e-6)
    minimax = DualContrastiveLoss("minimax").generator(fake, real).mean()
    assert minimax.item() == pytest.approx(-1.269601, abs=1e-6)


def test_dual_contrastive_loss_sees_differences_alone():
    torch.manual_seed(0)
    real, fake = torch.randn(2, 5)
    loss = DualContrastiveLoss().discriminator
    value = loss(real, fake).mean()
    assert torch.allclose(loss(real + 3, fake + 3).mean(), value)
    assert torch.allclose(loss(-fake, -real).mean(), value)
    assert not torch.allclose(loss(fake, real).mean(), value)
    halves = torch.cat([loss(real[:2], fake[:2]), loss(real[2:], fake[2:])]).mean()
    assert halves < value - 0.1


@pytest.mark.parametrize(("side", "expected"), [("swap", 0.5), ("minimax", 4.122e-9)])
def test_pull_of_a_sure_discriminator_on_the_generator(side, expected):
    """2 / 4 and 2 e^-20 a fake."""
    real = torch.full((4,), 10.0)
    fake = torch.full((4,), -10.0, requires_grad=True)
    DualContrastiveLoss(side).generator(fake, real).mean().backward()
    # Below 0: the loss is lower where fakes look more real.
    assert fake.grad.tolist() == pytest.approx([-expected] * 4, rel=1e-3)


def test_dual_contrastive_loss_beside_a_plain_loop():
    torch.manual_seed(0)
    real, fake = (torch.randn(5, dtype=torch.double, requires_grad=True) for _ in range(2))
    r, f = real.tolist(), fake.tolist()
    expected = [
        math.log(1 + sum(math.exp(other - r[i]) for other in f))
        + math.log(1 + sum(math.exp(f[i] - other) for other in r))
        for i in range(5)
    ]
    losses = DualContrastiveLoss().discriminator(real, fake)
    assert losses.tolist() == pytest.approx(expected, rel=1e-6)
    losses.mean().backward()
    assert (real.grad.sum() + fake.grad.sum()).item() == pytest.approx(0, abs=1e-7)
    assert (real.grad < 0).all() and (fake.grad > 0).all()


def test_dual_contrastive_generator_needs_real_pictures():
    with pytest.raises(ValueError, match="real pictures"):
        DualContrastiveLoss().generator(torch.zeros(2))


def test_targets_of_attributes_take_turns():
    attributes = torch.tensor([[1, 0, 1]])
    real = attribute_targets(attributes, real=True)
    fake = attribute_targets(attributes, real=False)
    assert real.tolist() == [[1, 0, 0, 0, 1, 0]]
    assert torch.equal(fake, real.roll(1, dims=1))


def test_repeated_targets_would_say_less():
    """The authors' code has each twice, and for a fake all moved by one: within a run of attributes
    that are there, or are not, real and fake is the same."""
    attributes = torch.tensor([[1, 0, 1]])
    real = attributes.repeat_interleave(2, dim=1)
    fake = F.pad(real[:, :-1], (1, 0))
    assert real.tolist() == [[1, 1, 0, 0, 1, 1]] and fake.tolist() == [[0, 1, 1, 0, 0, 1]]
    ours = [attribute_targets(attributes, real=kind) for kind in (True, False)]
    assert (ours[0] != ours[1]).sum() == 4 and (real != fake).sum() == 3  # at the ends of runs


def test_attributes_without_knowledge():
    zeros = torch.zeros(2, 6)
    loss = attribute_discriminator_loss(zeros, zeros, torch.tensor([[1, 0, 1], [0, 0, 0]]))
    assert torch.allclose(loss, torch.tensor(2 * math.log(2)))


def test_attributes_of_real_and_fake_pictures():
    """Of two, of which the first is present: it is to be real in the one, fake in the other."""
    real = torch.tensor([[0.8, 0.4, 0.3, 0.5]]).logit()
    fake = torch.tensor([[0.2, 0.9, 0.5, 0.4]]).logit()
    loss = attribute_discriminator_loss(real, fake, torch.tensor([[1, 0]]))
    # - (ln 0.8 0.6 0.7 0.5) / 4 - (ln 0.8 0.9 0.5 0.6) / 4
    assert loss.tolist() == pytest.approx([0.445948 + 0.383119], abs=1e-6)


def test_attributes_of_the_generator_are_linear_in_present_ones():
    torch.manual_seed(0)
    attributes = torch.tensor([[1, 0, 1]])
    logits = torch.randn(1, 6, dtype=torch.double, requires_grad=True)
    loss = attribute_generator_loss(logits, attributes)
    pairs = logits.reshape(3, 2)
    expected = -(pairs[[0, 2], 0] - pairs[[0, 2], 1]).sum() / 6
    assert loss.item() == pytest.approx(expected.item(), abs=1e-12)
    loss.sum().backward()
    expected = torch.tensor([[-1, 1, 0, 0, -1, 1]], dtype=torch.double) / 6
    assert torch.allclose(logits.grad, expected, atol=1e-15)
