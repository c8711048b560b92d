"""The processes of a run: who they are, and the sums they take together."""

import contextlib
import gc
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any, Self, TypeVar

import torch
import torch.distributed as dist
from accelerate import PartialState
from torch import Tensor, nn

from pipelines.command_line import UserError
from pipelines.training.processor import keep_freed_memory, share_cores

T = TypeVar("T")
Item = TypeVar("Item")

# Gradients are summed over processes in pieces of at most this many bytes: few enough messages,
# and no second copy of a large model's gradients.
BUCKET_BYTES = 64 * 2**20


LONGEST_WAIT = timedelta(hours=2)
"""Of the other processes for what the first one does alone, such as scores of captions by SPICE;
after ten minutes nccl would take it for lost. Launchers stop all processes where one ends."""


class Processes:
    """This process among those of the run, on top of accelerate's process state.

    Any launcher that sets the usual variables of torch.distributed will do; without one there is
    one process. On a CPU they talk through gloo.

    Raises:
        UserError: accelerate brings a DeepSpeed set-up of its own.

    Gradients are averaged here and not by `DistributedDataParallel`, which synchronises only in
    its own `forward`: an objective's turns call players in other ways.
    """

    def __init__(self, device: torch.device) -> None:
        if os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() == "true":
            raise UserError(
                "accelerate was told to use DeepSpeed, which our scripts set up themselves: run "
                "`accelerate launch` without it, or use the deepspeed launcher."
            )
        if device.type == "cpu":
            share_cores()
            keep_freed_memory()
            # transformers imports DeepSpeed, where there is one, to save a model: it then need not
            # announce that it found no GPU.
            os.environ.setdefault("DS_ACCELERATOR", "cpu")
        _import_deepspeed()
        state = PartialState(cpu=device.type == "cpu", timeout=LONGEST_WAIT)
        self.rank: int = state.process_index
        self.count: int = state.num_processes
        # With several processes accelerate gives each its own GPU.
        self.device: torch.device = device if self.count == 1 else state.device

        if "MASTER_ADDR" in os.environ and "RANK" not in os.environ and self.count == 1:
            # `accelerate launch --cpu --num_processes N` does that without a word.
            self.log(
                "The launcher started a single process; for several on a CPU use "
                "`accelerate launch --multi_gpu --num_processes N`."
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Leaves the group. Also needed after an error.

        Gloo's threads end with the last reference to their group. One that were still to let go of
        a tensor while the interpreter goes down would abort the process.
        """
        if not dist.is_initialized():
            return
        deepspeed = sys.modules.get("deepspeed")
        if deepspeed is not None and deepspeed.comm.is_initialized():
            deepspeed.comm.destroy_process_group()  # a group of its own as well
        else:
            dist.destroy_process_group()
        gc.collect()

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    @property
    def device_name(self) -> str:
        """As on the command line: among several processes a CPU has a number as well."""
        return "cpu" if self.device.type == "cpu" else str(self.device)

    def log(self, sentence: str) -> None:
        """One line on stderr, from the first process only."""
        if self.is_main:
            print(sentence, file=sys.stderr, flush=True)

    def wait(self) -> None:
        """Returns when every process has come here."""
        if self.count > 1:
            dist.barrier()

    def on_main(self, work: Callable[[], T]) -> T:
        """What `work` returns in the first process, given to all; its `UserError` stops all."""
        outcome: list[Any] = [None, None]
        if self.is_main:
            try:
                outcome = [work(), None]
            except UserError as error:
                outcome = [None, str(error)]
        if self.count > 1:
            dist.broadcast_object_list(outcome, src=0)
        if outcome[1] is not None:
            if self.is_main:
                raise UserError(outcome[1])
            raise SystemExit(2)
        return outcome[0]

    def together(self, work: Callable[[], T]) -> T:
        """What `work` returns in each process; the `UserError` of any of them stops all."""
        found: T | None = None
        error = None
        try:
            found = work()
        except UserError as mistake:
            error = mistake
        (failed,) = self.maximum([float(error is not None)])
        if error is not None:
            raise error
        if failed:
            raise SystemExit(2)
        return found  # type: ignore[return-value]

    def share_out(self, work: Callable[[Item], T], items: Sequence[Item]) -> list[T]:
        """What `work` makes of each item, in their order, given to all; the processes share the
        items, and the `UserError` of any of them stops all."""
        mine = self.together(lambda: [work(item) for item in items[self.rank :: self.count]])
        parts = self.gather(mine)
        return [parts[n % self.count][n // self.count] for n in range(len(items))]

    def gather(self, value: T) -> list[T]:
        """Every process's `value`, in the order of their ranks."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        dist.all_gather_object(values, value)
        return values

    def all_reduce_sum(self, tensor: Tensor) -> Tensor:
        """The sum over processes (no gradient passes); of one process its tensor itself."""
        if self.count == 1:
            return tensor
        total = tensor.detach().clone()
        dist.all_reduce(total)
        return total

    def mean(self, tensor: Tensor) -> Tensor:
        """The mean over processes of a tensor on the CPU."""
        if self.count == 1:
            return tensor
        return self.all_reduce_sum(tensor.to(self.device)).cpu() / self.count

    def make_equal(self, module: nn.Module) -> None:
        """Gives every process the weights and buffers of the first."""
        if self.count > 1:
            for tensor in module.state_dict().values():
                dist.broadcast(tensor, src=0)

    def maximum(self, values: list[float]) -> list[float]:
        """Element by element the largest over processes."""
        if self.count == 1:
            return values
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
        return tensor.tolist()

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replaces each tensor by its mean over processes, in place."""
        if self.count == 1:
            return
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            dist.all_reduce(flat)
            flat /= self.count
            pieces = flat.split([tensor.numel() for tensor in bucket])
            for tensor, piece in zip(bucket, pieces, strict=True):
                tensor.copy_(piece.view_as(tensor))


def _import_deepspeed() -> None:
    """Imports DeepSpeed, where there is one, before there is a group of several processes.

    Its functions have the group of that time among their defaults, which would keep it alive (and
    transformers imports it to save a model); see `Processes.close`.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and importlib.util.find_spec("deepspeed"):
        importlib.import_module("deepspeed")


def _buckets(tensors: Iterable[Tensor]) -> Iterable[list[Tensor]]:
    """Groups of one number format, each of at most `BUCKET_BYTES` (or one larger tensor)."""
    by_dtype: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        by_dtype.setdefault(tensor.dtype, []).append(tensor)
    for group in by_dtype.values():
        bucket: list[Tensor] = []
        size = 0
        for tensor in group:
            if bucket and size + tensor.nbytes > BUCKET_BYTES:
                yield bucket
                bucket, size = [], 0
            bucket.append(tensor)
            size += tensor.nbytes
        yield bucket


def precision_context(
    device: torch.device, precision: str
) -> Callable[[], contextlib.AbstractContextManager]:
    """A maker of contexts: autocast to bf16 or fp16, or none for fp32."""
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    if dtype is None:
        return contextlib.nullcontext
    return lambda: torch.autocast(device.type, dtype=dtype)


def started_by_deepspeed() -> bool:
    """Whether the `deepspeed` launcher started this process (it alone sets these two)."""
    return "CROSS_RANK" in os.environ and "LOCAL_SIZE" in os.environ
