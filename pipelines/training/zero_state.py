"""Master weights and moments of a ZeRO engine, by the names of the parameters.

DeepSpeed keeps both as a few flat tensors, of which each process has a piece. Its own files hold
those pieces, pickled, for as many processes as wrote them. Here they are gathered parameter by
parameter and put back likewise, so that a state is the same whatever divided it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.training.optimizer import ADAMW_KEEPS, STEP, kept_shape
from pipelines.training.weights import Weights, check_fit

MOMENTS = tuple(kind for kind in ADAMW_KEEPS if kind != STEP)


def adamw_state(zero: Any, parameters: dict[str, nn.Parameter]) -> Iterator[tuple[str, Tensor]]:
    """What AdamW keeps, whole, as `KIND/PARAMETER`; every process takes all of it.

    `zero` is the engine's optimizer, around torch's.
    """
    from deepspeed.utils import safe_get_full_optimizer_state

    _name_moments(zero)
    (step,) = {float(kept[STEP]) for kept in zero.optimizer.state.values()}
    for name, parameter in parameters.items():
        yield f"{STEP}/{name}", torch.tensor(step)
        for kind in MOMENTS:
            yield f"{kind}/{name}", safe_get_full_optimizer_state(parameter, kind)


def load_master_weights_and_adamw_state(
    zero: Any,
    parameters: dict[str, nn.Parameter],
    held: Weights,
    weights: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
) -> None:
    """The counterpart of `adamw_state`, and of `held.all`, whose weights are in place already.

    Raises:
        ValueError: the state is not AdamW's over these parameters.
    """
    from deepspeed import utils

    check_fit(
        state,
        {f"{k}/{n}": kept_shape(k, shape) for n, shape in held.shapes.items() for k in ADAMW_KEEPS},
    )
    steps = {float(state[f"{STEP}/{name}"]) for name in parameters}
    if len(steps) > 1:
        raise ValueError("its parameters have taken different numbers of steps")
    _make_room(zero, steps.pop())
    _name_moments(zero)
    divided = hasattr(next(iter(parameters.values())), "ds_tensor")
    set_weight: Any = utils.safe_set_full_fp32_param
    set_moment: Any = utils.safe_set_full_optimizer_state
    if divided:
        set_weight, set_moment = (
            utils.safe_set_local_fp32_param,
            utils.safe_set_local_optimizer_state,
        )
    for name, parameter in parameters.items():
        set_weight(parameter, held.share(name, weights[name]))
        for kind in MOMENTS:
            set_moment(parameter, held.share(name, state[f"{kind}/{name}"]), kind)


def _make_room(zero: Any, step: float) -> None:
    """What AdamW makes at its first step, at a later one."""
    pieces = getattr(zero, "fp32_partitioned_groups_flat", None)  # of ZeRO 3
    for piece in pieces or zero.single_partition_of_fp32_groups:
        kept = {kind: torch.zeros_like(piece) for kind in MOMENTS}
        zero.optimizer.state[piece] = {STEP: torch.tensor(step, device=piece.device), **kept}


def _name_moments(zero: Any) -> None:
    """Lets the functions that look for a parameter's moments find them.

    Up to ZeRO 2; DeepSpeed does so itself, but when only the first group has any.
    """
    from deepspeed.utils import lazy_init_hp_params_optimizer_state

    if not hasattr(zero, "fp32_partitioned_groups_flat"):
        pieces = zip(zero.bit16_groups, zero.single_partition_of_fp32_groups, strict=True)
        for parameters, piece in pieces:
            lazy_init_hp_params_optimizer_state(parameters, piece, zero.optimizer.state)
