"""Tensors without memory, and a meter of the memory they would take.

Code that is run on fake tensors (shapes alone, of PyTorch) allocates and frees as it would with
real ones. So what a block keeps for its backward pass is read off the block itself, and stays right
when the block changes.
"""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class MemoryMeter(TorchDispatchMode):
    """Counts the bytes of the storages that operators make while it is active.

    Attributes:
        live: bytes that are there now.
        peak: the most that were, since `restart`.

    What an operator makes and frees within itself is not seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._sizes: dict[int, int] = {}

    def restart(self) -> None:
        """The peak starts anew from what is there now."""
        self.peak = self.live

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        self._note((args, kwargs), counted=False)  # of which results may be views
        result = function(*args, **(kwargs or {}))
        self._note(result, counted=True)
        return result

    def _note(self, values: Any, counted: bool) -> None:
        for value in tree_leaves(values):
            if isinstance(value, torch.Tensor):
                self._note_storage(value.untyped_storage(), counted)

    def _note_storage(self, storage: torch.UntypedStorage, counted: bool) -> None:
        key = storage._cdata
        if key in self._sizes:
            return
        self._sizes[key] = storage.nbytes() if counted else 0
        self.live += self._sizes[key]
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.live -= self._sizes.pop(key)


@contextmanager
def without_memory() -> Iterator[None]:
    """Tensors made within have shapes and types, and nothing else."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield
