"""What the second stage is trained on: ids, encoded as they are read or once before."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial

from pipelines.configuration.assembly.parts import on_device
from pipelines.configuration.assembly.work import IdUsage
from pipelines.data.encoded_index import AcceptIds, tokenizer_fingerprint
from pipelines.data.loader import BatchLoader
from pipelines.training.contracts import Batch
from vq import VQGAN


@dataclass(frozen=True)
class IdBatches:
    """A loader's batches, where they are computed with, as ids: encoded here, unless they are."""

    loader: BatchLoader
    tokenizer: VQGAN
    usage: IdUsage

    def training(self, step: int) -> list[Batch]:
        """This process's micro-batches at a step; their ids are counted."""
        batches = [self._encode(batch) for batch in self.loader.step(step)]
        for batch in batches:
            self.usage.add(batch["image_ids"])
        return batches

    def validation(self, number: int) -> Iterator[Batch]:
        """This process's part of the first `number` global batches of the validation rows."""
        return map(self._encode, self.loader.validation_batches(number))

    def _encode(self, batch: Batch) -> Batch:
        batch = on_device(batch, next(self.tokenizer.parameters()).device)
        if "image_ids" in batch:
            return batch
        return {**batch, "image_ids": self.tokenizer.encode_to_ids(batch["pixels"])}


def accept_ids_of(tokenizer: VQGAN) -> AcceptIds:
    """Lets ids pass that this tokenizer would compute."""
    fingerprint = cache(
        partial(tokenizer_fingerprint, tokenizer)
    )  # once, where ids are read at all
    return lambda index, data: index.refuse_other_ids(fingerprint(), data)
