"""How much of its codebook a tokenizer uses on a data set."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.evaluation.figures import Figure, Missing
from pipelines.evaluation.streaming import StreamedSums
from vq import perplexity


@dataclass(frozen=True)
class CodebookFigures:
    """`codes_used`: that some picture needs; `share_used`: of the codebook; `perplexity`: e to the
    entropy of the codes' frequencies, from 1 to the codebook's size."""

    codes_used: int
    share_used: Figure
    perplexity: Figure


class CodebookUsage(StreamedSums):
    """Counts of ids, [codebook_size]."""

    counts: Tensor

    def __init__(self, codebook_size: int) -> None:
        super().__init__(counts=(codebook_size,))

    def update(self, ids: Tensor) -> None:
        """Adds ids int64 of any shape."""
        counts = torch.bincount(ids.flatten(), minlength=len(self.counts))
        self.counts += self.double_here(counts)

    def figures(self) -> CodebookFigures:
        counts = self.sums()["counts"]
        used = int((counts > 0).sum())
        if used == 0:
            missing = Missing("there were no pictures to encode.")
            return CodebookFigures(0, missing, missing)
        return CodebookFigures(used, used / len(counts), perplexity(counts).item())
