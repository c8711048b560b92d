"""The weights of a module under ZeRO 3: each process holds its share of every one.

Of N processes the n-th holds the n-th part of the flattened weight, the last part padded. DeepSpeed
gathers a module's own weights around its forward and backward pass.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from pipelines.training.distributed import Processes
from pipelines.training.weights import check_fit


def divide(module: nn.Module, config: dict[str, Any], device: torch.device) -> None:
    """Gives each process its share of the first one's weights, one weight at a time.

    So no more than one whole weight is ever on a device, and only the first process needs to have
    built the module with memory behind it: the others may have it on the meta device.
    """
    import deepspeed
    from deepspeed.accelerator import get_accelerator

    backend = get_accelerator().communication_backend_name()
    deepspeed.init_distributed(dist_backend=backend, dist_init_required=False)
    convert: Any = None
    for part in module.modules():
        if any(parameter.is_meta for parameter in part.parameters(recurse=False)):
            part.to_empty(device=device, recurse=False)
        for parameter in part.parameters(recurse=False):
            if convert is None:
                first = nn.ParameterList([parameter])
                deepspeed.zero.Init(module=first, config_dict_or_path=config)
                convert = parameter.convert_to_zero_parameters  # type: ignore[attr-defined]
            else:
                convert(param_list=[parameter])
    for buffer in module.buffers():
        buffer.data = buffer.data.to(device)
        deepspeed.comm.broadcast(buffer, src=0)


def let_go_of_processes(module: nn.Module, *keepers: Any) -> None:
    """Empties the objects that know the group of processes.

    Some of what ZeRO 3 puts around each module outlives its engine, out of the garbage collector's
    sight, and keeps all of them; see `Processes.close` for what a group that is left over does.
    """
    from deepspeed.runtime.zero import parameter_offload

    parameter_offload.FWD_MODULE_STACK.clear()
    for keeper in (*module.parameters(), *keepers):
        vars(keeper).clear()


class DividedWeights:
    """See `weights.Weights`."""

    def __init__(self, module: nn.Module, zero: Any, processes: Processes) -> None:
        """`zero` is the engine's optimizer."""
        self._module, self._zero, self._processes = module, zero, processes
        self._parameters: dict[str, Any] = dict(module.named_parameters())
        trained = {n: p for n, p in self._parameters.items() if p.requires_grad}
        self.held: dict[str, Tensor] = {name: p.ds_tensor for name, p in trained.items()}
        self.shapes: dict[str, torch.Size] = {name: p.ds_shape for name, p in trained.items()}
        self.size = sum(parameter.ds_numel for parameter in self._parameters.values())

    def whole(self, name: str, share: Tensor) -> Tensor:
        return self._gather(self._parameters[name], share)

    def share(self, name: str, whole: Tensor) -> Tensor:
        size = self._parameters[name].ds_tensor.numel()
        first = self._processes.rank * size
        own = whole.reshape(-1)[first : first + size]
        return F.pad(own, (0, size - len(own)))

    def all(self) -> Iterator[tuple[str, Tensor]]:
        for name, value in self._module.state_dict(keep_vars=True).items():
            divided = hasattr(value, "ds_tensor")
            yield name, self._gather(value, value.ds_tensor) if divided else value

    def load(self, weights: Mapping[str, Tensor]) -> None:
        own = self._module.state_dict(keep_vars=True)
        check_fit(weights, {n: getattr(value, "ds_shape", value.shape) for n, value in own.items()})
        with self.changing(), torch.no_grad():
            for name, value in own.items():
                if hasattr(value, "ds_tensor"):
                    value.ds_tensor.copy_(self.share(name, weights[name]))
                else:
                    value.copy_(weights[name])

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Nothing gathered before outlives the change; what is small is whole at all times."""
        self._zero.empty_partition_cache()
        try:
            yield
        finally:
            if small := self._zero.persistent_parameters:
                small[0].all_gather(small)

    @contextlib.contextmanager
    def gathered(self, device: torch.device) -> Iterator[None]:
        # One after the other, so that the other processes never hold more than one.
        main = self._processes.is_main
        before: dict[str, Tensor] = {}
        for name, parameter in self._parameters.items():
            whole = self._gather(parameter, parameter.ds_tensor)
            if main:
                before[name], parameter.data = parameter.data, whole.to(device)
        try:
            with _without_hooks(self._module):
                yield
        finally:
            for name, data in before.items():
                self._parameters[name].data = data

    def _gather(self, parameter: Any, share: Tensor) -> Tensor:
        share = share.to(self._processes.device)
        if self._processes.count > 1:
            whole = share.new_empty(self._processes.count * len(share))
            dist.all_gather_into_tensor(whole, share)
        else:
            whole = share.clone()
        return whole[: parameter.ds_numel].view(parameter.ds_shape)


@contextlib.contextmanager
def _without_hooks(module: nn.Module) -> Iterator[None]:
    """While inside, calling the module or its parts gathers nothing."""
    kinds = ("_forward_pre_hooks", "_forward_hooks")
    taken = [(part, kind, getattr(part, kind)) for part in module.modules() for kind in kinds]
    for part, kind, hooks in taken:
        setattr(part, kind, type(hooks)())
    try:
        yield
    finally:
        for part, kind, hooks in taken:
            setattr(part, kind, hooks)
