"""What a run logs about the work it does: tokens, operations, and which codes its ids use."""

from collections.abc import Callable

import torch
from torch import Tensor

from pipelines.planning.flops import encoding_flops, reconstruction_flops
from pipelines.training.contracts import Batch, Work
from pipelines.training.distributed import Processes
from unified_transformer import Reconstructor, UnifiedTransformerConfig
from unified_transformer.flops import TRAINING_PASSES, positions, training_flops
from unified_transformer.losses import HAS_TEXT, TEXT_IDS
from unified_transformer.sequence import Task
from vq import VQGANConfig, perplexity


def transformer_work(
    config: UnifiedTransformerConfig,
    tasks: tuple[Task, ...],
    reconstructor: Reconstructor | None,
    own_ids: bool,
    frozen: bool = False,
) -> Callable[[Batch], Work]:
    """Of the second stage (`own_ids` and `frozen` as of `training_flops`); the tokenizer's encoding
    is left out."""
    painting = 0 if reconstructor is None else reconstruction_flops(reconstructor)

    def work(batch: Batch) -> Work:
        tokens, flops = 0, len(batch["image_ids"]) * painting
        for task in tasks:
            count, text_length = batch[TEXT_IDS[task]].shape
            if (has_text := batch.get(HAS_TEXT[task])) is not None:
                count = int(has_text.sum())
            tokens += count * positions(config, text_length)
            drawing = own_ids and task == "text_to_image"
            flops += count * training_flops(config, text_length, (task,), drawing, frozen)
        return Work(tokens, flops)

    return work


def tokenizer_work(config: VQGANConfig, size: tuple[int, int]) -> Callable[[Batch], Work]:
    """Of the first stage: encoder and decoder, without what judges their pictures."""
    flops = TRAINING_PASSES * encoding_flops(config, size, decoded=True)
    return lambda batch: Work(flops=len(batch["pixels"]) * flops)


class IdUsage:
    """How evenly the ids that were trained on since the last report use the codebook."""

    def __init__(self, codebook_size: int, processes: Processes) -> None:
        self.codebook_size, self.processes = codebook_size, processes
        self._counts: Tensor | None = None

    def add(self, ids: Tensor) -> None:
        counts = torch.bincount(ids.flatten(), minlength=self.codebook_size)
        self._counts = counts if self._counts is None else self._counts + counts

    def figures(self) -> dict[str, float]:
        """`codebook_used`, the share of codes that occurred, and `perplexity`; over all
        processes."""
        assert self._counts is not None
        counts = self.processes.all_reduce_sum(self._counts).double().cpu()
        self._counts = None
        return {
            "codebook_used": float((counts > 0).double().mean()),
            "perplexity": float(perplexity(counts)),
        }
