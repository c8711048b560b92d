"""Vectors -> ids of their nearest codes. Looking up changes nothing; learning the codes is
`codebook.py`'s job."""

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from vq.config import VQGANConfig

# Elements of one block of the position x code distance matrix: 256 MB in float32.
DISTANCE_BLOCK = 2**26


@dataclass
class QuantizerOutput:
    """What quantizing a batch of [b, d, h, w] vectors gives.

    Attributes:
        codes: [b, d, h, w] the nearest codes; gradients pass straight through to the encoder (and
            no further).
        ids: int64 [b, h, w] their indices.
        vectors: [b, d, h, w] the encoder's vectors as compared (on the unit sphere for cosine),
            detached.
        commitment_loss: [b] mean squared distance of vectors to their codes; reaches the encoder
            only.
        codebook_loss: [b] the same distance; reaches the codebook only, and only when codes follow
            the gradient.
    """

    codes: Tensor
    ids: Tensor
    vectors: Tensor
    commitment_loss: Tensor
    codebook_loss: Tensor


class VectorQuantizer(nn.Module):
    """A codebook of `codebook_size` codes and the nearest-code look-up (van den Oord et al. 2017).

    Everything is computed in float32, also under autocast: ids decide what is learned next.
    """

    codebook: Tensor  # [codebook_size, code_dim]
    started: Tensor  # bool [], whether the codes have been laid over the first batch
    ema_counts: Tensor  # [codebook_size] running mean of uses per step
    ema_sums: Tensor  # [codebook_size, code_dim] running mean of the sum of vectors per step
    idle_steps: Tensor  # int64 [codebook_size] steps since last used

    # What only training needs: part of the training state, left out of an exported checkpoint.
    TRAINING_BUFFERS = ("started", "ema_counts", "ema_sums", "idle_steps")

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        self.normalized = config.codebook_distance == "cosine"
        self.learned_by_gradient = config.codebook_update == "gradient"
        codes = self.comparable(torch.randn(config.codebook_size, config.code_dim))
        if self.learned_by_gradient:
            self.codebook = nn.Parameter(codes)
        else:
            self.register_buffer("codebook", codes)
        self.register_buffer("started", torch.tensor(config.codebook_start == "random"))
        self.register_buffer("ema_counts", torch.ones(config.codebook_size))
        self.register_buffer("ema_sums", codes.clone())
        self.register_buffer("idle_steps", torch.zeros(config.codebook_size, dtype=torch.int64))

    def comparable(self, vectors: Tensor) -> Tensor:
        """Vectors [n, d] as distances are taken between them: on the unit sphere for cosine, in
        float32."""
        vectors = vectors.float()
        return F.normalize(vectors, dim=-1) if self.normalized else vectors

    @torch.no_grad()
    def nearest(self, vectors: Tensor, codes: Tensor) -> Tensor:
        """Ids [n] of the codes [k, d] nearest to vectors [n, d]."""
        # |v - c|^2 without |v|^2, which is the same for all codes.
        squared_norms = codes.square().sum(dim=1)
        rows = max(1, DISTANCE_BLOCK // len(codes))
        blocks = [
            torch.addmm(squared_norms, block, codes.T, alpha=-2).argmin(dim=1)
            for block in vectors.split(rows)
        ]
        return torch.cat(blocks)

    def look_up(self, ids: Tensor) -> Tensor:
        """Ids [b, h, w] -> codes [b, d, h, w]."""
        return rearrange(F.embedding(ids, self.comparable(self.codebook)), "b h w d -> b d h w")

    def forward(self, vectors: Tensor) -> QuantizerOutput:
        """Vectors [b, d, h, w] -> their nearest codes."""
        batch, _, height, _ = vectors.shape
        with torch.autocast(vectors.device.type, enabled=False):
            flat = self.comparable(rearrange(vectors, "b d h w -> (b h w) d"))
            codebook = self.comparable(self.codebook)
            ids = self.nearest(flat.detach(), codebook.detach())
            chosen = F.embedding(ids, codebook)
            commitment = (flat - chosen.detach()).square()
            codebook_loss = (flat.detach() - chosen).square()
            # In this order its value is exactly the code's.
            straight_through = chosen.detach() + (flat - flat.detach())

        def to_grid(x: Tensor) -> Tensor:
            return rearrange(x, "(b h w) d -> b d h w", b=batch, h=height)

        return QuantizerOutput(
            codes=to_grid(straight_through),
            ids=rearrange(ids, "(b h w) -> b h w", b=batch, h=height),
            vectors=to_grid(flat.detach()),
            commitment_loss=rearrange(commitment, "(b n) d -> b (n d)", b=batch).mean(dim=1),
            codebook_loss=rearrange(codebook_loss, "(b n) d -> b (n d)", b=batch).mean(dim=1),
        )
