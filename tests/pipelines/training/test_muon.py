import pytest
import torch
from torch import nn

from pipelines.training.muon import Muon, orthogonalize


def references(matrices, gradients, steps):
    """What torch's Muon makes of each matrix by itself."""
    twins = [nn.Parameter(matrix.clone()) for matrix in matrices]
    optimizer = torch.optim.Muon(
        twins, lr=0.1, weight_decay=0.3, momentum=0.9, adjust_lr_fn="match_rms_adamw"
    )
    for step in range(steps):
        for twin, gradient in zip(twins, gradients, strict=True):
            twin.grad = gradient * (1 + step)
        optimizer.step()
    return [twin.detach() for twin in twins]


def stepped(weights_and_gradients, steps):
    optimizer = Muon(
        [(weight, count) for weight, _, count in weights_and_gradients],
        lr=0.1,
        weight_decay=0.3,
        momentum=0.9,
    )
    for step in range(steps):
        for weight, gradient, _ in weights_and_gradients:
            weight.grad = gradient * (1 + step)
        optimizer.step()


def assert_same_matrix(ours, reference):
    # Sums in bf16 come in another order.
    assert (ours - reference).norm() < 0.02 * reference.norm()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [(6, 4, 3, 3), (4, 6, 1, 1), (40, 3, 3, 3), (6, 4), (4, 6)])
def test_a_kernel_steps_as_the_matrix_it_is(shape, layout):
    torch.manual_seed(0)
    weight, gradient = nn.Parameter(torch.randn(shape)), torch.randn(shape)
    (reference,) = references([weight.detach().flatten(1)], [gradient.flatten(1)], steps=3)
    if len(shape) == 4:
        weight.data = weight.data.to(memory_format=layout)
    stepped([(weight, gradient, 1)], steps=3)
    assert_same_matrix(weight.detach().flatten(1), reference)


def test_matrices_in_one_weight_step_each_by_itself():
    torch.manual_seed(0)
    joint = nn.Parameter(torch.randn(12, 4))
    # Of very different sizes: together, the largest would be all that moves.
    gradient = torch.randn(12, 4) * torch.tensor([100.0, 1.0, 0.01]).repeat_interleave(4)[:, None]
    other, other_gradient = nn.Parameter(torch.randn(4, 4)), torch.randn(4, 4)
    matrices = [*joint.detach().chunk(3), other.detach()]
    reference = references(matrices, [*gradient.chunk(3), other_gradient], steps=2)
    stepped([(joint, gradient, 3), (other, other_gradient, 1)], steps=2)
    for ours, theirs in zip([*joint.detach().chunk(3), other.detach()], reference, strict=True):
        assert_same_matrix(ours, theirs)


def test_a_weight_without_gradient_stays():
    weight, still = nn.Parameter(torch.ones(2, 3)), nn.Parameter(torch.ones(2, 3))
    optimizer = Muon([(weight, 1), (still, 1)], lr=0.1, weight_decay=0.3, momentum=0.9)
    weight.grad = torch.randn(2, 3)
    optimizer.step()
    assert torch.equal(still, torch.ones(2, 3)) and not torch.equal(weight, still)


def test_orthogonal_directions():
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalize(torch.randn(3, 8, 20)).float())
    assert values.min() > 0.6 and values.max() < 1.3
