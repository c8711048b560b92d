"""Optimizers and the course of their learning rates."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.training.muon import Muon
from pipelines.training.settings import OptimizerSettings
from pipelines.training.weights import check_fit

# How many hidden matrices a parameter holds, by name and value: weight decay and Muon are for
# those, and Muon steps each of them by itself.
MatricesIn = Callable[[str, Tensor], int]


def one_per_weight(name: str, parameter: Tensor) -> int:
    """The plain rule: everything with two axes or more is one matrix (convolutions too)."""
    return 1 if parameter.ndim >= 2 else 0


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

    def zero_grad(self, set_to_none: bool = True) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none=set_to_none)


Optimizer = torch.optim.Optimizer | Optimizers

# What an optimizer keeps of each parameter.
STEP = "step"
ADAMW_KEEPS = (STEP, "exp_avg", "exp_avg_sq")
KEPT: dict[type, tuple[str, ...]] = {torch.optim.AdamW: ADAMW_KEEPS, Muon: ("momentum_buffer",)}


def build_optimizer(
    module: nn.Module, settings: OptimizerSettings, matrices_in: MatricesIn = one_per_weight
) -> Optimizer:
    """The optimizer of one player's trainable parameters.

    Matrices by `matrices_in` decay; everything else (gains, biases, embeddings, heads) does not.
    Under `muon` the matrices go to Muon and everything else to AdamW; one learning rate serves
    both, since Muon's updates have AdamW's usual size.
    """
    named = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
    matrices = [(p, matrices_in(n, p)) for n, p in named if matrices_in(n, p)]
    others = [p for n, p in named if not matrices_in(n, p)]
    if settings.name == "adamw" or not matrices:
        return _adamw([weight for weight, _ in matrices], others, settings)
    muon = Muon(
        matrices, settings.learning_rate, settings.weight_decay, momentum=settings.muon_momentum
    )
    return Optimizers([muon, _adamw([], others, settings)] if others else [muon])


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


def optimizer_state(module: nn.Module, optimizer: Optimizer) -> Iterator[tuple[str, Tensor]]:
    """What the optimizer keeps, as `KIND/PARAMETER` (`exp_avg/head.weight`)."""
    names: dict[Tensor, str] = {p: name for name, p in module.named_parameters()}
    for part in parts_of(optimizer):
        for parameter, kept in part.state.items():
            for kind, value in kept.items():
                yield f"{kind}/{names[parameter]}", value


def load_optimizer_state(
    module: nn.Module, optimizer: Optimizer, state: Mapping[str, Tensor]
) -> None:
    """Takes up a saved state, in the memory layout that the parameters have.

    Settings (weight decay, betas, …) stay those that the optimizer was built with: a configuration
    that was changed for the rest of a run counts.

    Raises:
        ValueError: it is not this optimizer's over these parameters.
    """
    if not state:
        return  # of a player that has not stepped yet
    names: dict[Tensor, str] = {p: name for name, p in module.named_parameters()}
    own = {
        f"{kind}/{names[parameter]}": (part, parameter, kind)
        for part in parts_of(optimizer)
        for group in part.param_groups
        for parameter in group["params"]
        for kind in KEPT[type(part)]
    }
    check_fit(state, {entry: kept_shape(kind, p.shape) for entry, (_, p, kind) in own.items()})
    for entry, (part, parameter, kind) in own.items():
        # Files hold the plain layout; fused kernels walk moments and parameters side by side.
        new = (
            torch.empty_like(parameter)
            if kind != STEP
            else torch.empty((), device=parameter.device)
        )
        part.state[parameter][kind] = new.copy_(state[entry])


def kept_shape(kind: str, parameter: torch.Size) -> torch.Size:
    """The shape of what is kept of a parameter of this shape."""
    return torch.Size() if kind == STEP else parameter


def parts_of(optimizer: Optimizer) -> list[torch.optim.Optimizer]:
    return optimizer.parts if isinstance(optimizer, Optimizers) else [optimizer]


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
