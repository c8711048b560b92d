"""Vectors -> ids of their nearest codes, and what all quantizers have in common. Looking up changes
nothing; learning the codes is `codebook.py`'s job."""

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
    """What quantizing a batch of the encoder's outputs [b, c, h, w] gives.

    Attributes:
        codes: [b, code_dim, h, w] what the decoder gets; gradients reach the encoder through them.
        ids: int64 [b, h, w] the chosen codes.
        vectors: [b, c, h, w] the encoder's outputs as the choice was made from them (on the unit
            sphere for cosine), detached.
        losses: name -> [b], the quantizer's own terms; the objective weighs them by name.
    """

    codes: Tensor
    ids: Tensor
    vectors: Tensor
    losses: dict[str, Tensor]


class Quantizer(nn.Module):
    """What every kind of quantizer has: a codebook and how often each code is used. A kind's
    `forward` takes the encoder's outputs [b, c, h, w] to a `QuantizerOutput`.

    Everything is computed in float32, also under autocast: ids decide what is learned next.
    """

    codebook: Tensor  # [codebook_size, code_dim]
    ema_counts: Tensor  # [codebook_size] running mean of uses per step
    idle_steps: Tensor  # int64 [codebook_size] steps since last used

    # What only training needs: part of the training state, left out of an exported checkpoint.
    TRAINING_BUFFERS: tuple[str, ...] = ("ema_counts", "idle_steps")

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        self.register_buffer("ema_counts", torch.ones(config.codebook_size))
        self.register_buffer("idle_steps", torch.zeros(config.codebook_size, dtype=torch.int64))

    def comparable(self, vectors: Tensor) -> Tensor:
        """Vectors [n, d] as codes are compared and handed on, in float32."""
        return vectors.float()

    def look_up(self, ids: Tensor) -> Tensor:
        """Ids [b, h, w] -> codes [b, code_dim, h, w]."""
        return rearrange(F.embedding(ids, self.comparable(self.codebook)), "b h w d -> b d h w")

    def initialize_projection(self, layer: nn.Conv2d) -> None:
        """Adjusts the start of the encoder's last layer, for a quantizer that needs another."""

    def anneal(self, temperature: float) -> None:
        """Sets the temperature of the relaxation in training, for a quantizer that has one."""

    def adopt_codes(self) -> None:
        """Starts training statistics that belong to the codes anew, after those were loaded."""


class VectorQuantizer(Quantizer):
    """A codebook of `codebook_size` codes and the nearest-code look-up (van den Oord et al. 2017).

    Gradients of the codes pass straight through to the encoder's vectors (and no further). Losses:

    - "commitment": mean squared distance of vectors to their codes; reaches the encoder only.
    - "codebook": the same distance, where codes follow the gradient; reaches the codebook only.
    """

    started: Tensor  # bool [], whether the codes have been laid over the first batch
    ema_sums: Tensor  # [codebook_size, code_dim] running mean of the sum of vectors per step

    TRAINING_BUFFERS = ("started", "ema_counts", "ema_sums", "idle_steps")

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__(config)
        self.normalized = config.codebook_distance == "cosine"
        self.learned_by_gradient = config.codebook_update == "gradient"
        codes = self.comparable(torch.randn(config.codebook_size, config.code_dim))
        if self.learned_by_gradient:
            self.codebook = nn.Parameter(codes)
        else:
            self.register_buffer("codebook", codes)
        self.register_buffer("started", torch.tensor(config.codebook_start == "random"))
        self.register_buffer("ema_sums", codes.clone())

    def comparable(self, vectors: Tensor) -> Tensor:
        """Vectors [n, d] as distances are taken between them: on the unit sphere for cosine, in
        float32."""
        vectors = super().comparable(vectors)
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

    def forward(self, vectors: Tensor) -> QuantizerOutput:
        """Vectors [b, d, h, w] -> their nearest codes."""
        batch, _, height, _ = vectors.shape
        with torch.autocast(vectors.device.type, enabled=False):
            flat = self.comparable(rearrange(vectors, "b d h w -> (b h w) d"))
            codebook = self.comparable(self.codebook)
            ids = self.nearest(flat.detach(), codebook.detach())
            chosen = F.embedding(ids, codebook)
            losses = {"commitment": (flat - chosen.detach()).square()}
            if self.learned_by_gradient:
                losses["codebook"] = (flat.detach() - chosen).square()
            # In this order its value is exactly the code's.
            straight_through = chosen.detach() + (flat - flat.detach())

        def to_grid(x: Tensor) -> Tensor:
            return rearrange(x, "(b h w) d -> b d h w", b=batch, h=height)

        return QuantizerOutput(
            codes=to_grid(straight_through),
            ids=rearrange(ids, "(b h w) -> b h w", b=batch, h=height),
            vectors=to_grid(flat.detach()),
            losses={
                name: rearrange(squares, "(b n) d -> b (n d)", b=batch).mean(dim=1)
                for name, squares in losses.items()
            },
        )

    def adopt_codes(self) -> None:
        """No new start; running means begin at the codes."""
        self.started.fill_(True)
        self.ema_sums.copy_(self.comparable(self.codebook.detach()))
