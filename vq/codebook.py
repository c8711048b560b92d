"""Learning the codes: their start, their running means, and the revival of dead ones.

Everything here is a function of the *global* batch: two processes learn the codebook that one
would, however the pictures are dealt over micro-batches.
"""

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor

from vq.code_usage import CodeUsage
from vq.config import VQGANConfig
from vq.global_batch import GlobalBatch, gumbel_keys, picture_checksums
from vq.quantizer import Quantizer, QuantizerOutput, VectorQuantizer

# Encoder vectors per code among which the start is chosen; bounds what is gathered.
START_CANDIDATES_PER_CODE = 8


class CodebookLearner(CodeUsage):
    """Codes that stand for the encoder's vectors nearest to them: laid over the first batch, moved
    once per optimizer step, and restarted where nothing uses them."""

    quantizer: VectorQuantizer

    def __init__(
        self, quantizer: VectorQuantizer, config: VQGANConfig, global_batch: GlobalBatch
    ) -> None:
        super().__init__(quantizer, config, global_batch)
        self._sums: Tensor | None = None  # [codebook_size, code_dim] of this step's vectors so far
        self._errors: list[tuple[Tensor, Tensor, Tensor]] = []  # errors, vectors, checksums

    @property
    def started(self) -> bool:
        return bool(self.quantizer.started)

    @torch.no_grad()
    def start(self, vectors: Sequence[Tensor], pixels: Sequence[Tensor]) -> None:
        """Lays the codes over the encoder's vectors of the first global batch.

        Takes the [b, d, h, w] vectors and the [b, c, H, W] pictures of each micro-batch. The codes
        are chosen as in k-means++ (Arthur and Vassilvitskii 2007: in proportion to the squared
        distance from those already chosen), in rounds of doubling size.
        """
        quantizer, config = self.quantizer, self.config
        flat = torch.cat([quantizer.comparable(_flatten(v)) for v in vectors])
        sums = torch.cat([picture_checksums(p) for p in pixels])
        keys = self.global_batch.noise(sums, len(flat) // len(sums), seed=0)
        limit = START_CANDIDATES_PER_CODE * config.codebook_size
        candidates = self.global_batch.best(keys, flat, limit)
        codes = _spread(candidates, config.codebook_size)
        self._set_codes(torch.arange(len(codes), device=codes.device), codes)
        quantizer.started.fill_(True)

    def forget(self) -> None:
        super().forget()
        self._sums, self._errors = None, []

    @torch.no_grad()
    def observe(self, quantized: QuantizerOutput, pixels: Tensor) -> None:
        """Adds the uses of one micro-batch, of pictures [b, c, H, W], to this step's."""
        super().observe(quantized, pixels)
        vectors, ids = _flatten(quantized.vectors), quantized.ids.flatten()
        if self._sums is None:
            self._sums = vectors.new_zeros(self.quantizer.codebook.shape)
        self._sums.index_add_(0, ids, vectors)
        if self._may_revive():
            codes = self.quantizer.comparable(self.quantizer.codebook)[ids]
            errors = (vectors - codes).square().sum(dim=1)
            self._errors.append((errors, vectors, picture_checksums(pixels)))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Moves the running means, the codes with them, and restarts dead codes."""
        super().update(step)
        assert self._sums is not None, "observe() comes before update()"
        quantizer = self.quantizer
        sums = self.global_batch.all_reduce_sum(self._sums)
        quantizer.ema_sums.lerp_(sums, 1 - self.config.ema_decay)
        if not quantizer.learned_by_gradient:
            # An unused code's mean stays what it was while count and sum fade together.
            alive = quantizer.ema_counts > 1e-6
            means = quantizer.ema_sums / quantizer.ema_counts.clamp(min=1e-6)[:, None]
            codes = torch.where(alive[:, None], means, quantizer.codebook)
            quantizer.codebook.copy_(quantizer.comparable(codes))
        if self._may_revive():
            self._revive(step)
        self.forget()

    def _may_revive(self) -> bool:
        """Whether some code is dead already, or will be if this step does not use it."""
        limit = self.config.revive_after_steps
        return limit > 0 and bool((self.quantizer.idle_steps >= limit - 1).any())

    def _revive(self, step: int) -> None:
        """Restarts dead codes at vectors drawn in proportion to their squared error."""
        limit = self.config.revive_after_steps
        dead = torch.nonzero(self.quantizer.idle_steps >= limit).flatten()
        if len(dead) == 0 or not self._errors:
            return
        errors = torch.cat([e for e, _, _ in self._errors])
        vectors = torch.cat([v for _, v, _ in self._errors])
        sums = torch.cat([s for _, _, s in self._errors])
        noise = self.global_batch.noise(sums, len(errors) // len(sums), seed=step + 1)
        chosen = self.global_batch.best(gumbel_keys(errors, noise), vectors, len(dead))
        self._set_codes(dead[: len(chosen)], chosen)

    def _set_codes(self, ids: Tensor, codes: Tensor) -> None:
        quantizer = self.quantizer
        quantizer.codebook.data[ids] = codes
        quantizer.ema_counts[ids] = 1.0
        quantizer.ema_sums[ids] = codes
        quantizer.idle_steps[ids] = 0


def codebook_learner(
    quantizer: Quantizer, config: VQGANConfig, global_batch: GlobalBatch
) -> CodeUsage:
    """What this kind of quantizer needs beside its gradients."""
    if isinstance(quantizer, VectorQuantizer):
        return CodebookLearner(quantizer, config, global_batch)
    return CodeUsage(quantizer, config, global_batch)


def _flatten(grid: Tensor) -> Tensor:
    return rearrange(grid, "b d h w -> (b h w) d")


def _spread(candidates: Tensor, count: int) -> Tensor:
    """`count` of the vectors [n, d], far apart; where too few differ, jittered copies fill up."""
    generator = torch.Generator().manual_seed(0)
    chosen = candidates[:1]
    newest = chosen
    distances = torch.full((len(candidates),), torch.inf, device=candidates.device)
    same = 1e-5 * candidates.square().sum(dim=1).mean()  # what rounding makes of no distance
    while len(chosen) < count:
        distances = torch.minimum(distances, torch.cdist(candidates, newest).square().amin(dim=1))
        distances[distances <= same] = 0
        left = int((distances > 0).sum())
        if left == 0:
            break
        noise = torch.rand(len(candidates), generator=generator).clamp(1e-7).to(distances.device)
        keys = gumbel_keys(distances, noise)
        newest = candidates[keys.topk(min(len(chosen), count - len(chosen), left)).indices]
        chosen = torch.cat([chosen, newest])
    missing = count - len(chosen)
    if missing:
        copies = chosen[torch.arange(missing, device=chosen.device) % len(chosen)]
        jitter = torch.randn(copies.shape, generator=generator).to(copies)
        chosen = torch.cat([chosen, copies + 1e-2 * jitter])
    return chosen
