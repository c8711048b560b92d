"""Learning the codes: their start, their running means, the revival of dead ones, and their usage.

Everything here is a function of the *global* batch. Sums go through `all_reduce_sum`; choices are
made from gathered data with random numbers that belong to a picture's content, not to the process
or micro-batch it happens to be in. So two processes learn the codebook that one would.
"""

from collections.abc import Callable, Sequence

import torch
from einops import rearrange
from torch import Tensor

from vq.config import VQGANConfig
from vq.quantizer import QuantizerOutput, VectorQuantizer

# Encoder vectors per code among which the start is chosen; bounds what is gathered.
START_CANDIDATES_PER_CODE = 8


class CodebookLearner:
    """Collects what a step's micro-batches used, and updates the codebook once per optimizer step.

    Its state is the quantizer's buffers; `observe` is called for every micro-batch and `update`
    after the optimizer's step.
    """

    def __init__(
        self,
        quantizer: VectorQuantizer,
        config: VQGANConfig,
        all_reduce_sum: Callable[[Tensor], Tensor],
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.quantizer = quantizer
        self.config = config
        self.all_reduce_sum = all_reduce_sum
        self.rank = rank
        self.world_size = world_size
        self._uses: Tensor | None = None  # [codebook_size, 1 + code_dim]: counts, sums of vectors
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
        keys = self._noise(sums, len(flat) // len(sums), seed=0)
        candidates = self._gather_best(keys, flat, START_CANDIDATES_PER_CODE * config.codebook_size)
        codes = _spread(candidates, config.codebook_size)
        self._set_codes(torch.arange(len(codes), device=codes.device), codes)
        quantizer.started.fill_(True)

    @torch.no_grad()
    def observe(self, quantized: QuantizerOutput, pixels: Tensor) -> None:
        """Adds the uses of one micro-batch to this step's."""
        vectors, ids = _flatten(quantized.vectors), quantized.ids.flatten()
        if self._uses is None:
            size, dim = self.config.codebook_size, self.config.code_dim
            self._uses = vectors.new_zeros(size, 1 + dim)
        self._uses[:, 0] += torch.bincount(ids, minlength=len(self._uses))
        self._uses[:, 1:].index_add_(0, ids, vectors)
        if self._may_revive():
            codes = self.quantizer.comparable(self.quantizer.codebook)[ids]
            errors = (vectors - codes).square().sum(dim=1)
            self._errors.append((errors, vectors, picture_checksums(pixels)))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Moves the running means, the codes with them, and restarts dead codes."""
        assert self._uses is not None, "observe() comes before update()"
        quantizer, decay = self.quantizer, self.config.ema_decay
        uses = self.all_reduce_sum(self._uses)
        quantizer.ema_counts.lerp_(uses[:, 0], 1 - decay)
        quantizer.ema_sums.lerp_(uses[:, 1:], 1 - decay)
        quantizer.idle_steps += 1
        quantizer.idle_steps[uses[:, 0] > 0] = 0
        if not quantizer.learned_by_gradient:
            # An unused code's mean stays what it was while count and sum fade together.
            alive = quantizer.ema_counts > 1e-6
            means = quantizer.ema_sums / quantizer.ema_counts.clamp(min=1e-6)[:, None]
            codes = torch.where(alive[:, None], means, quantizer.codebook)
            quantizer.codebook.copy_(quantizer.comparable(codes))
        if self._may_revive():
            self._revive(step)
        self._uses, self._errors = None, []

    @torch.no_grad()
    def usage(self) -> dict[str, Tensor]:
        """Health of the codebook before this step: over a window of steps, not over one batch.

        `codebook_used` is the share of codes that had a use within the window of the running mean,
        `perplexity` the exponential of the entropy of the running use counts (at most the
        codebook's size).
        """
        window = 1 / (1 - self.config.ema_decay)
        used = (self.quantizer.idle_steps < window).float().mean()
        share = self.quantizer.ema_counts / self.quantizer.ema_counts.sum().clamp(min=1e-12)
        return {"codebook_used": used, "perplexity": torch.special.entr(share).sum().exp()}

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
        # Sampling without replacement as a top-k (Gumbel noise on log weights), which every
        # process can do for its own part.
        noise = self._noise(sums, len(errors) // len(sums), seed=step + 1)
        keys = torch.log(errors + 1e-12) - torch.log(-torch.log(noise))
        chosen = self._gather_best(keys, vectors, len(dead))
        self._set_codes(dead[: len(chosen)], chosen)

    def _set_codes(self, ids: Tensor, codes: Tensor) -> None:
        quantizer = self.quantizer
        quantizer.codebook.data[ids] = codes
        quantizer.ema_counts[ids] = 1.0
        quantizer.ema_sums[ids] = codes
        quantizer.idle_steps[ids] = 0

    def _noise(self, checksums: Tensor, positions: int, seed: int) -> Tensor:
        """Uniform noise in (0, 1) for this process's positions, [b * positions].

        Drawn for the pictures of the global batch in the order of their checksums, so that a
        picture gets the same numbers wherever it is.
        """
        everyone, offset = self._gather(checksums)
        order = torch.empty_like(everyone)
        order[everyone.argsort(stable=True)] = torch.arange(len(everyone), device=order.device)
        mine = order[offset : offset + len(checksums)].cpu()
        generator = torch.Generator().manual_seed(seed)
        noise = torch.rand(len(everyone), positions, generator=generator, dtype=torch.float64)
        noise = noise[mine].clamp(1e-9, 1 - 1e-9)
        return noise.flatten().float().to(checksums.device)

    def _gather_best(self, keys: Tensor, vectors: Tensor, count: int) -> Tensor:
        """The vectors [<= count, d] with the largest keys of all processes, in order of keys."""
        best = keys.topk(min(count, len(keys))).indices
        rows = torch.cat([keys[best, None], vectors[best]], dim=1)
        rows, _ = self._gather(rows)
        order = rows[:, 0].argsort(descending=True, stable=True)
        return rows[order[:count], 1:]

    def _gather(self, rows: Tensor) -> tuple[Tensor, int]:
        """Rows [n, ...] of all processes in order of rank, and where this process's begin."""
        sizes = torch.zeros(self.world_size, dtype=torch.int64, device=rows.device)
        sizes[self.rank] = len(rows)
        sizes = self.all_reduce_sum(sizes)
        offset = int(sizes[: self.rank].sum())
        everyone = rows.new_zeros(int(sizes.sum()), *rows.shape[1:])
        everyone[offset : offset + len(rows)] = rows
        return self.all_reduce_sum(everyone), offset


def picture_checksums(pixels: Tensor) -> Tensor:
    """An integer per picture [b] that depends on its pixels' exact values alone."""
    bits = pixels.float().contiguous().view(torch.int32).flatten(start_dim=1).long()
    # Any fixed, position-dependent integer weights will do; products stay below 2^53.
    weights = torch.arange(1, bits.shape[1] + 1, device=bits.device) * 48271 % 2097143
    return (bits * weights % 2147483647).sum(dim=1)


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
        keys = torch.log(distances) - torch.log(-torch.log(noise))
        newest = candidates[keys.topk(min(len(chosen), count - len(chosen), left)).indices]
        chosen = torch.cat([chosen, newest])
    missing = count - len(chosen)
    if missing:
        copies = chosen[torch.arange(missing, device=chosen.device) % len(chosen)]
        jitter = torch.randn(copies.shape, generator=generator).to(copies)
        chosen = torch.cat([chosen, copies + 1e-2 * jitter])
    return chosen
