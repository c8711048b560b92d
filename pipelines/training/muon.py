"""Muon: momentum, made orthogonal before it moves a matrix (Jordan et al., 2024)."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

# Jordan et al., 2024: five steps of the iteration x <- a x + b (x x^T) x + c (x x^T)^2 x, whose
# coefficients maximise its slope at zero; all but the smallest singular values end near 1.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
EPSILON = 1e-7
# Liu et al., 2025, "Muon is Scalable for LLM Training", section 2.2: the size of AdamW's updates.
UPDATE_RMS = 0.2


class Muon(torch.optim.Optimizer):
    """Muon over hidden matrices, all of one shape in one batched product.

    Unlike `torch.optim.Muon` it takes kernels (as the matrix [out, rest]) and weights that hold
    several matrices one below the other, such as a joint projection to queries, keys and values:
    each is made orthogonal by itself.

    Args:
        weights: pairs of a weight of two axes or more, and how many matrices it holds.
        lr, weight_decay, momentum: as in `torch.optim.Muon` with `match_rms_adamw`.
    """

    def __init__(
        self,
        weights: Iterable[tuple[nn.Parameter, int]],
        lr: float,
        weight_decay: float,
        momentum: float,
    ) -> None:
        by_count: dict[int, list[nn.Parameter]] = defaultdict(list)
        for weight, count in weights:
            by_count[count].append(weight)
        groups = [{"params": params, "matrices": count} for count, params in by_count.items()]
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Moves every weight that has a gradient."""
        same_shape: dict[torch.Size, list[Move]] = defaultdict(list)
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                update = as_matrix(self._update(weight, weight.grad, group["momentum"]))
                pieces = zip(
                    as_matrix(weight).chunk(group["matrices"]),
                    update.chunk(group["matrices"]),
                    strict=True,
                )
                for matrix, direction in pieces:
                    move = Move(lying(matrix), lying(direction), group["lr"])
                    same_shape[move.matrix.shape].append(move)
        for (_, longer), moves in same_shape.items():
            directions = orthogonalize(torch.stack([move.direction for move in moves]))
            for move, direction in zip(moves, directions, strict=True):
                move.matrix.sub_(direction, alpha=move.lr * UPDATE_RMS * longer**0.5)

    def _update(self, weight: nn.Parameter, gradient: Tensor, momentum: float) -> Tensor:
        """Nesterov's momentum with this step's gradient in it, in the weight's memory layout."""
        state = self.state[weight]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        buffer = state["momentum_buffer"].lerp_(gradient, 1 - momentum)
        return torch.empty_like(weight).copy_(gradient).lerp_(buffer, momentum)


@dataclass(frozen=True)
class Move:
    """A matrix, sharing the weight's memory, and the momentum it follows; rows <= columns."""

    matrix: Tensor
    direction: Tensor
    lr: float


def as_matrix(tensor: Tensor) -> Tensor:
    """[out, ...] -> [out, rest], sharing memory where the layout is plain or channels-last."""
    if tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        tensor = tensor.movedim(1, -1)
    return tensor.view(len(tensor), -1)


def lying(matrix: Tensor) -> Tensor:
    """The matrix, transposed where it has more rows than columns."""
    return matrix.T if matrix.shape[0] > matrix.shape[1] else matrix


def orthogonalize(matrices: Tensor) -> Tensor:
    """Moves the singular values of [batch, rows, columns], rows <= columns, close to 1; in bf16."""
    a, b, c = COEFFICIENTS
    x = matrices.bfloat16()
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=EPSILON)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return x
