"""Optimizers and the course of their learning rates."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.training.settings import OptimizerSettings

# Whether a parameter, by name and value, is a hidden matrix: weight decay and Muon are for those.
IsMatrix = Callable[[str, Tensor], bool]


def has_two_axes(name: str, parameter: Tensor) -> bool:
    """The plain rule: everything with two axes or more is a matrix (convolutions too)."""
    return parameter.ndim >= 2


def schedule_factor(settings: OptimizerSettings, step: int, progress: float) -> float:
    """The learning rate at `step` (from 0) as a share of the peak.

    Args:
        progress: the share of the run that is done, from 0 to 1. It is given besides the step
            because a run's length may be a time.
    """
    warmup = min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
    progress = min(max(progress, 0.0), 1.0)
    if settings.schedule == "cosine":
        height = 0.5 * (1 + math.cos(math.pi * progress))
    elif settings.schedule == "linear":
        height = 1 - max(0.0, progress - settings.decay_start) / max(1 - settings.decay_start, 1e-9)
    else:
        height = 1.0
    return warmup * (settings.final_fraction + (1 - settings.final_fraction) * height)


class Optimizers:
    """Several torch optimizers over disjoint parameters, with the face of one."""

    def __init__(self, parts: list[torch.optim.Optimizer]) -> None:
        self.parts = parts

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [group for part in self.parts for group in part.param_groups]

    def step(self) -> None:
        for part in self.parts:
            part.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none=set_to_none)

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for part, part_state in zip(self.parts, state["parts"], strict=True):
            part.load_state_dict(part_state)


Optimizer = torch.optim.Optimizer | Optimizers


def build_optimizer(
    module: nn.Module, settings: OptimizerSettings, is_matrix: IsMatrix = has_two_axes
) -> Optimizer:
    """The optimizer of one player's trainable parameters.

    Matrices by `is_matrix` decay; everything else (gains, biases, embeddings, heads) does not.
    Under `muon` the matrices go to Muon, a convolution's kernel as the matrix [out, rest], and
    everything else to AdamW. Muon's update is scaled to AdamW's usual size (0.2 · sqrt of the
    longer side; Liu et al. 2025, "Muon is Scalable for LLM Training", section 2.2), so that one
    learning rate serves both.
    """
    named = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
    matrices = [p for n, p in named if is_matrix(n, p)]
    others = [p for n, p in named if not is_matrix(n, p)]
    if settings.name == "adamw" or not matrices:
        return _adamw(matrices, others, settings)
    parts: list[torch.optim.Optimizer] = [MatrixMuon(matrices, settings)]
    return Optimizers([*parts, _adamw([], others, settings)] if others else parts)


def as_matrix(tensor: Tensor) -> Tensor:
    """[out, ...] -> [out, rest], sharing memory where the layout is plain or channels-last."""
    if tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        tensor = tensor.movedim(1, -1)
    return tensor.flatten(1)


class MatrixMuon(torch.optim.Muon):
    """`torch.optim.Muon`, which takes two axes only, over kernels of any number of them.

    It holds a flat view of every weight, and is given a flat view of its gradient at every step.
    """

    def __init__(self, weights: list[nn.Parameter], settings: OptimizerSettings) -> None:
        self.weights = weights
        self.matrices = [nn.Parameter(as_matrix(weight.detach())) for weight in weights]
        for weight, matrix in zip(weights, self.matrices, strict=True):
            assert matrix.data_ptr() == weight.data_ptr(), "a copy would be stepped in its place"
        super().__init__(
            self.matrices,
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            momentum=settings.muon_momentum,
            adjust_lr_fn="match_rms_adamw",
        )

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for weight, matrix in zip(self.weights, self.matrices, strict=True):
            if weight.grad is not None:
                # In the order of the weight, whatever order the backward pass has chosen.
                gradient = torch.empty_like(weight).copy_(weight.grad)
                matrix.grad = as_matrix(gradient)
        super().step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        super().zero_grad(set_to_none)
        for weight in self.weights:
            weight.grad = None


def _adamw(
    decayed: list[nn.Parameter], others: list[nn.Parameter], settings: OptimizerSettings
) -> torch.optim.AdamW:
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=settings.learning_rate,
        betas=settings.betas,
        eps=settings.epsilon,
        fused=True,
    )


def load_optimizer_state(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Takes up a saved state, in the memory layout that the parameters have."""
    optimizer.load_state_dict(state)
    for part in optimizer.parts if isinstance(optimizer, Optimizers) else [optimizer]:
        for parameter, values in part.state.items():
            for name, value in values.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    # Files hold the plain layout; fused kernels walk both side by side.
                    values[name] = torch.empty_like(parameter).copy_(value)


def set_learning_rate(optimizer: Optimizer, learning_rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def clip_gradients(parameters: Iterable[Tensor], largest: float | None) -> Tensor:
    """Scales the gradients down to a joint norm of `largest`; returns the norm before (scalar)."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    if largest is not None:
        factor = torch.clamp(largest / (norm + 1e-6), max=1.0)
        torch._foreach_mul_(gradients, factor)
    return norm
