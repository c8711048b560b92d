"""What the tasks have in common: batches, and refusals."""

from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from pipelines.command_line import UserError
from pipelines.data.encoded_index import AcceptIds
from pipelines.data.loader import BatchLoader
from pipelines.data.opening import open_training_data
from pipelines.data.settings import PICTURES_ALONE, DataSettings
from pipelines.data.text_batches import TextReader
from pipelines.training.contracts import Batch
from pipelines.training.distributed import Processes
from pipelines.training.settings import TrainingSettings
from unified_transformer import TransformerShape

Result = TypeVar("Result")

WHAT_WEIGHTS_ARE_FOR = tuple(
    field.name
    for field in fields(TransformerShape)
    if field.name not in ("attention_implementation", "dropout")
)
"""Settings of a transformer that go with its weights, whether or not their shapes tell."""


def build_loader(
    data: DataSettings,
    training: TrainingSettings,
    seed: int,
    processes: Processes,
    texts: TextReader | None = None,
    caption_dropout: float = 0.0,
    accept_ids: AcceptIds | None = None,
    batches: int = 1,
) -> BatchLoader:
    """This process's share of the batches, so many of them at a step; `accept_ids` as of
    `open_source`."""
    micro_batch_size, accumulation = or_user_error(lambda: training.divide_batch(processes.count))
    wanted = PICTURES_ALONE if texts is None else texts.wanted
    order, validation = open_training_data(data, wanted, seed, accept_ids)
    loader = BatchLoader(
        order,
        validation,
        size=data.height_width,
        micro_batch_size=micro_batch_size,
        accumulation=accumulation * batches,
        rank=processes.rank,
        world_size=processes.count,
        seed=seed,
        texts=texts,
        caption_dropout=caption_dropout,
        workers=data.workers,
        cropping=data.cropping,
    )
    if training.validate_every:
        loader.check_validation(training.validation_batches, wanted)
    return loader


def check_size(data: DataSettings, factor: int) -> tuple[int, int]:
    """The grid of ids of the data's pictures."""
    height, width = data.height_width
    if height % factor or width % factor:
        raise UserError(
            f"data.size is {height} x {width}, which does not divide into the tokenizer's "
            f"{factor} x {factor} squares; choose multiples of {factor}."
        )
    return height // factor, width // factor


def check_same_settings(
    section: str, ours: Any, theirs: Any, names: Iterable[str], start: Path
) -> None:
    """That the weights of `start` fit a model with the configuration `ours`.

    Raises:
        UserError: `theirs` differs in one of `names`.
    """
    for name in names:
        one, other = getattr(ours, name), getattr(theirs, name)
        if one != other:
            raise UserError(
                f"{section}.{name} is {one}, but {start}, from which training is to go on, has "
                f"{other}; give it the same."
            )


def read_by(
    loader: BatchLoader, training: TrainingSettings, device: torch.device
) -> dict[str, Any]:
    """Of a `Task`, what it reads."""
    return {
        "batches": lambda step: [on_device(batch, device) for batch in loader.step(step)],
        "validation_batches": lambda: (
            on_device(batch, device)
            for batch in loader.validation_batches(training.validation_batches)
        ),
        "reading": loader,
    }


def every_matrix(name: str, parameter: Tensor) -> int:
    """`MatricesIn` of networks all of whose matrices decay."""
    return 1 if parameter.ndim >= 2 else 0


def on_device(batch: Batch, device: torch.device) -> Batch:
    """A batch where it is computed with."""
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}


def or_user_error(build: Callable[[], Result]) -> Result:
    """Model packages refuse with ValueError and FileNotFoundError: here the user's mistakes."""
    try:
        return build()
    except (ValueError, FileNotFoundError) as error:
        raise UserError(str(error)) from error
