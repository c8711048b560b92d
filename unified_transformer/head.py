"""From hidden states to ids: logits, or the loss without ever holding all of them."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LOGITS_AT_ONCE = {"cpu": 2**20, "cuda": 2**26}
"""How many logits are held at a time: what a processor's cache holds, or a fraction of a GPU."""


class OutputHead(nn.Linear):
    """The logits of one modality's ids."""

    def __init__(self, hidden_size: int, vocabulary_size: int) -> None:
        super().__init__(hidden_size, vocabulary_size, bias=False)

    def forward(
        self, hidden: Tensor, target: Tensor | None = None, weight: Tensor | None = None
    ) -> Any:
        """Logits [..., vocabulary] of hidden states [..., dim], or, where `target` [...] is given,
        (the sum over them of `weight` [...] * nats, differentiable in hidden, and the nats [...]).
        """
        if target is None:
            return super().forward(hidden)
        if weight is None:
            weight = torch.ones(target.shape, device=target.device)
        # Within the function it can no longer be told whether gradients are wanted.
        head = self.weight if torch.is_grad_enabled() else self.weight.detach()
        loss, nats = WeightedNats.apply(
            hidden.flatten(0, -2), head, target.flatten(), weight.flatten()
        )
        return loss, nats.reshape(target.shape)


class WeightedNats(torch.autograd.Function):
    """Cross-entropy some rows at a time, whose gradients are made while their logits are there.

    The logits of all targets, a batch times n x 8192, would be the peak of memory; recomputing them
    in the backward pass would take a third more time. The loss is a weighted sum with weights known
    beforehand, so the forward pass can make its gradients and the backward pass only scales them.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, head: Tensor, target: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor]:
        """hidden [row, dim], head [vocabulary, dim], target and weight [row] -> (the sum of weight
        * nats, nats [row]), both float32."""
        nats = torch.empty(len(target), device=hidden.device)
        wants_hidden, wants_head = ctx.needs_input_grad[:2]
        grad_hidden = torch.empty_like(hidden) if wants_hidden else None
        grad_head = torch.zeros_like(head) if wants_head else None
        at_once = max(1, LOGITS_AT_ONCE.get(hidden.device.type, 2**24) // len(head))
        for first in range(0, len(target), at_once):
            rows = slice(first, first + at_once)
            logits = F.linear(hidden[rows], head)  # in autocast's precision
            precision = logits.dtype
            scores = logits.float().log_softmax(dim=-1)
            nats[rows] = -scores.gather(1, target[rows, None])[:, 0]
            if not (wants_hidden or wants_head):
                continue
            grad = scores.exp_()
            grad.scatter_add_(1, target[rows, None], grad.new_full((len(grad), 1), -1.0))
            grad = grad.mul_(weight[rows, None]).to(precision)
            if grad_hidden is not None:
                grad_hidden[rows] = grad @ head.to(precision)
            if grad_head is not None:
                grad_head += grad.T @ hidden[rows].to(precision)
        ctx.save_for_backward(grad_hidden, grad_head)
        ctx.mark_non_differentiable(nats)
        return (weight * nats).sum(), nats

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple:
        """Scales what the forward pass made."""
        grads = (None if made is None else made * grad for made in ctx.saved_tensors)
        return (*grads, None, None)
