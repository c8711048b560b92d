"""Choices that concern the whole global batch, made alike by every process.

With sums over processes as the only means: what all must see is gathered by summing buffers that
are zero but for one's own part. Random numbers belong to a picture's content, not to the process
or micro-batch it happens to be in.
"""

from collections.abc import Callable

import torch
from torch import Tensor


class GlobalBatch:
    """The batch that all processes share.

    Args:
        all_reduce_sum: a tensor's sum over processes.
        rank, world_size: of this process.
    """

    def __init__(
        self, all_reduce_sum: Callable[[Tensor], Tensor], rank: int = 0, world_size: int = 1
    ) -> None:
        self.all_reduce_sum = all_reduce_sum
        self.rank = rank
        self.world_size = world_size

    def gather(self, rows: Tensor) -> tuple[Tensor, int]:
        """Rows [n, ...] of all processes in order of rank, and where this process's begin."""
        sizes = torch.zeros(self.world_size, dtype=torch.int64, device=rows.device)
        sizes[self.rank] = len(rows)
        sizes = self.all_reduce_sum(sizes)
        offset = int(sizes[: self.rank].sum())
        everyone = rows.new_zeros(int(sizes.sum()), *rows.shape[1:])
        everyone[offset : offset + len(rows)] = rows
        return self.all_reduce_sum(everyone), offset

    def with_gradients(self, rows: Tensor) -> Tensor:
        """Rows [n, ...] of all processes, for a loss of the whole batch that each process computes.

        This one's gradient counts as often as there are processes: gradients are averaged over them
        afterwards, and each has that of its own rows alone.
        """
        if self.world_size == 1:
            return rows
        everyone, first = self.gather(rows.detach())
        own = rows
        if rows.requires_grad:
            own = rows.detach() + self.world_size * (rows - rows.detach())
        return torch.cat([everyone[:first], own, everyone[first + len(rows) :]])

    def best(self, keys: Tensor, rows: Tensor, count: int) -> Tensor:
        """The rows [<= count, d] with the largest keys [n] of all processes, largest first."""
        chosen = keys.topk(min(count, len(keys))).indices
        candidates, _ = self.gather(torch.cat([keys[chosen, None], rows[chosen]], dim=1))
        order = candidates[:, 0].argsort(descending=True, stable=True)
        return candidates[order[:count], 1:]

    def noise(self, checksums: Tensor, positions: int, seed: int) -> Tensor:
        """Uniform noise in (0, 1) for each position of this process's pictures, [b * positions].

        Drawn for all pictures in the order of their checksums [b], so that a picture gets the same
        numbers wherever it is.
        """
        everyone, offset = self.gather(checksums)
        order = torch.empty_like(everyone)
        order[everyone.argsort(stable=True)] = torch.arange(len(everyone), device=order.device)
        mine = order[offset : offset + len(checksums)].cpu()
        generator = torch.Generator().manual_seed(seed)
        noise = torch.rand(len(everyone), positions, generator=generator)[mine]
        return noise.clamp(1e-7, 1 - 1e-7).flatten().to(checksums.device)


def picture_checksums(pixels: Tensor) -> Tensor:
    """An integer per picture [b] that depends on its pixels' exact values alone."""
    bits = pixels.float().contiguous().view(torch.int32).flatten(start_dim=1).long()
    # Any fixed, position-dependent integer weights will do; products stay below 2^53.
    weights = torch.arange(1, bits.shape[1] + 1, device=bits.device) * 48271 % 2097143
    return (bits * weights % 2147483647).sum(dim=1)


def gumbel_keys(weights: Tensor, noise: Tensor) -> Tensor:
    """Keys [n] whose largest are a sample without replacement, in proportion to weights [n].

    The Gumbel top-k trick (Kool et al. 2019); every process can do it for its own part.
    """
    return torch.log(weights + 1e-12) - torch.log(-torch.log(noise))
