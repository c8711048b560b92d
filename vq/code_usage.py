"""How often codes are used, over the *global* batch: the health of any kind of codebook."""

from collections.abc import Sequence

import torch
from torch import Tensor

from vq.config import VQGANConfig
from vq.global_batch import GlobalBatch
from vq.quantizer import Quantizer, QuantizerOutput


def perplexity(counts: Tensor) -> Tensor:
    """e to the entropy of the frequencies of codes, from their counts [codebook_size]: 1 where one
    code is used alone, the codebook's size where all are used evenly."""
    return torch.special.entr(counts / counts.sum().clamp(min=1e-12)).sum().exp()


class CodeUsage:
    """How often each code is used: all there is to do for codes that are ordinary parameters.

    Its state is the quantizer's buffers; `observe` is called for every micro-batch and `update`
    after the optimizer's step.
    """

    def __init__(
        self, quantizer: Quantizer, config: VQGANConfig, global_batch: GlobalBatch
    ) -> None:
        self.quantizer = quantizer
        self.config = config
        self.global_batch = global_batch
        self._counts: Tensor | None = None  # [codebook_size] of this step so far

    @property
    def started(self) -> bool:
        """Whether `start` has nothing more to do."""
        return True

    def start(self, vectors: Sequence[Tensor], pixels: Sequence[Tensor]) -> None:
        """Lays the codes over the first global batch, where they do not start by themselves."""

    def forget(self) -> None:
        """Drops what a step left that was broken off before its update."""
        self._counts = None

    @torch.no_grad()
    def observe(self, quantized: QuantizerOutput, pixels: Tensor) -> None:
        """Adds the uses of one micro-batch, of pictures [b, c, H, W], to this step's."""
        size = self.config.codebook_size
        counts = torch.bincount(quantized.ids.flatten(), minlength=size).float()
        self._counts = counts if self._counts is None else self._counts + counts

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Takes this step's uses into the running counts."""
        assert self._counts is not None, "observe() comes before update()"
        counts = self.global_batch.all_reduce_sum(self._counts)
        self.quantizer.ema_counts.lerp_(counts, 1 - self.config.ema_decay)
        self.quantizer.idle_steps += 1
        self.quantizer.idle_steps[counts > 0] = 0
        self._counts = None

    @torch.no_grad()
    def usage(self) -> dict[str, Tensor]:
        """Health of the codebook before this step: over a window of steps, not over one batch.

        `codebook_used` is the share of codes that had a use within the window of the running mean,
        `perplexity` that of the running use counts.
        """
        window = 1 / (1 - self.config.ema_decay)
        used = (self.quantizer.idle_steps < window).float().mean()
        return {"codebook_used": used, "perplexity": perplexity(self.quantizer.ema_counts)}
