"""A prefix in which some ids are the model's own draws, so that it meets its own mistakes."""

import torch
from einops import rearrange
from torch import Tensor, nn

from unified_transformer.config import UnifiedTransformerConfig
from unified_transformer.losses import Batch, image_pass
from unified_transformer.noise import gumbel_noise, mix

MOST_LOGITS = 2**24
"""That are there at once: their noise takes three times their memory."""


@torch.no_grad()
def mix_in_own_ids(
    model: nn.Module, batch: Batch, config: UnifiedTransformerConfig, share: float, step: int
) -> Tensor:
    """`image_ids` [batch, h, w] with about a `share` of them drawn anew by the model.

    Scheduled sampling (1506.03099) in one pass for all positions, as for transformers in
    1906.07651: each id is drawn after the given ids before it, at temperature 1. But for dropout,
    the draws depend on picture and step alone, not on how pictures are dealt over processes.
    """
    pictures = max(1, MOST_LOGITS // (config.image_positions * config.image_vocab_size))
    parts = zip(*(tensor.split(pictures) for tensor in batch.values()), strict=True)
    mixed = []
    for part in parts:
        some = dict(zip(batch, part, strict=True))
        logits = image_pass(model, some, config, scale=None).image_logits.float()
        mixed.append(_mixed(some["image_ids"], logits, share, step))
    # Autocast would hand the weights it cast without a graph to the next pass, which needs one.
    torch.clear_autocast_cache()
    return torch.cat(mixed)


def _mixed(image_ids: Tensor, logits: Tensor, share: float, step: int) -> Tensor:
    """`image_ids` [batch, h, w] with a share drawn from `logits` [batch, n, vocabulary]."""
    given = rearrange(image_ids, "b h w -> b (h w)")
    places = torch.arange(given.shape[1], device=given.device)
    seeds = mix(mix(given + (places << 32)).sum(dim=1) + step)[:, None]
    drawn = (logits + gumbel_noise(seeds, places, logits.shape[-1])).argmax(dim=-1)
    # The distribution function of the Gumbel distribution makes a uniform number of it.
    uniform = torch.exp(-torch.exp(-gumbel_noise(seeds + 1, places, 1)))[..., 0]
    return torch.where(uniform < share, drawn, given).view_as(image_ids)
