"""Looking at a run from outside: with averaged weights, and without touching its course."""

import contextlib
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from pipelines.command_line import UserError
from pipelines.training.contracts import Batch, Objective
from pipelines.training.distributed import Processes
from pipelines.training.state import RunParts, random_state, restore_random_state


@contextlib.contextmanager
def averaged_weights(
    parts: RunParts, device: torch.device, seed: int, gathered_on: torch.device | None = None
) -> Iterator[None]:
    """The averaged weights in place, in evaluation mode, with random numbers of their own.

    Weights that are divided between processes compute only where all take part, unless they are
    `gathered_on` a device: then the first process can do without the others.
    """
    with contextlib.ExitStack() as stack:
        for average in parts.averages.values():
            stack.enter_context(average.in_place())
        if gathered_on is not None:
            for player in parts.players.values():
                stack.enter_context(player.weights.gathered(gathered_on))
        stack.callback(restore_random_state, random_state(device), device)
        torch.manual_seed(seed)
        for player in parts.players.values():
            player.module.eval()
        try:
            yield
        finally:
            for player in parts.players.values():
                player.module.train()


@torch.no_grad()
def validate(
    objective: Objective,
    batches: Iterable[Batch],
    processes: Processes,
    autocast: Callable[[], contextlib.AbstractContextManager],
) -> dict[str, float]:
    """The objective's figures over this process's `batches` and those of all others.

    Raises:
        UserError: there are none: a GAN measures no single picture.
    """
    sums: dict[str, Tensor] = {}
    for batch, ours in _in_step(batches, processes):
        with autocast():
            figures = objective.evaluate(batch)
        for name, (total, count) in figures.items() if ours else ():
            pair = torch.stack([total.cpu().double(), count.cpu().double()])  # MPS has no doubles
            sums[name] = sums[name] + pair if name in sums else pair
    # A process whose part of the rows is empty still takes part in the sum.
    names = sorted(set().union(*processes.gather(set(sums))))
    if not names:
        raise UserError(
            "the validation rows are too few to measure anything; raise data.validation_rows, or "
            "set training.validate_every to 0."
        )
    empty = torch.zeros(2, dtype=torch.float64)
    table = processes.mean(torch.stack([sums.get(name, empty) for name in names]))
    means = {n: float(total / count) for n, (total, count) in zip(names, table, strict=True)}
    return means | {"loss": objective.validation_loss(means)}


def _in_step(batches: Iterable[Batch], processes: Processes) -> Iterator[tuple[Batch, bool]]:
    """The batches of this process, and as long as others have more, one of theirs.

    Every process passes equally many through the model, which where its weights are divided takes
    all of them. The second of each pair tells whether the batch is this process's own.
    """
    own = iter(batches)
    while True:
        batch = next(own, None)
        present = processes.gather(batch is not None)
        if not any(present):
            return
        if not all(present):
            on_cpu = {name: tensor.cpu() for name, tensor in batch.items()} if batch else None
            other = next(found for found in processes.gather(on_cpu) if found)
            borrowed = {name: tensor.to(processes.device) for name, tensor in other.items()}
        yield (batch, True) if batch is not None else (borrowed, False)
