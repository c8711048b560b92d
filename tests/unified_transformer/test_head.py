"""The loss in pieces against the loss of all logits."""

import pytest
import torch
import torch.nn.functional as F

from unified_transformer import head as head_module
from unified_transformer.head import OutputHead


@pytest.fixture
def parts():
    torch.manual_seed(0)
    head = OutputHead(16, 50)
    hidden = torch.randn(3, 7, 16, requires_grad=True)
    target = torch.randint(0, 50, (3, 7))
    weight = torch.rand(3, 7) * (torch.rand(3, 7) > 0.3)
    return head, hidden, target, weight


@pytest.mark.parametrize("rows_at_once", [1, 4, 21, 100])
def test_it_equals_cross_entropy_of_all_logits(parts, monkeypatch, rows_at_once):
    monkeypatch.setitem(head_module.LOGITS_AT_ONCE, "cpu", 50 * rows_at_once)
    head, hidden, target, weight = parts
    loss, nats = head(hidden, target, weight)
    (3 * loss).backward()
    grads = [hidden.grad, head.weight.grad]
    hidden.grad = head.weight.grad = None
    expected = F.cross_entropy(head(hidden).flatten(0, 1), target.flatten(), reduction="none")
    (3 * (expected * weight.flatten()).sum()).backward()
    torch.testing.assert_close(nats, expected.reshape(3, 7).detach())
    torch.testing.assert_close(loss, (expected * weight.flatten()).sum())
    for ours, reference in zip(grads, [hidden.grad, head.weight.grad], strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-5, atol=1e-6)


def test_without_gradients_it_makes_none(parts, monkeypatch):
    head, hidden, target, weight = parts
    with torch.no_grad():
        loss, nats = head(hidden, target, weight)
    assert not loss.requires_grad and nats.shape == (3, 7)


def test_in_autocast_it_is_close_to_full_precision(parts):
    head, hidden, target, weight = parts
    exact, _ = head(hidden, target, weight)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough, _ = head(hidden, target, weight)
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, rtol=1e-2, atol=0)
    rough.backward()
    assert hidden.grad.isfinite().all() and head.weight.grad.dtype == torch.float32
