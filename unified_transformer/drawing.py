"""Text -> image ids."""

from collections.abc import Callable

import torch
from einops import rearrange, repeat
from torch import Tensor

from unified_transformer.generation import image_step, prefill_prompt
from unified_transformer.model import UnifiedTransformer
from unified_transformer.sampling import SamplingSettings, guide, noise_for, sample


@torch.no_grad()
def generate_image_ids(
    model: UnifiedTransformer,
    text_ids: Tensor,
    text_length: Tensor,
    seeds: list[list[int]],
    settings: SamplingSettings | None = None,
    progress: Callable[[int], None] = lambda index: None,
) -> Tensor:
    """Draw pictures: ids [batch * pictures, h, w], the pictures of one prompt side by side.

    `text_ids` [batch, T] is `[CLS] text [SEP]`, padded; `seeds` holds as many seeds for every
    prompt as pictures are wanted of it. A picture depends on its prompt, its seed and the settings,
    not on its batch. `progress` is called with each raster index that is done.
    """
    settings = settings or SamplingSettings()
    config, pictures = model.config, len(seeds[0])
    noise = noise_for([seed for row in seeds for seed in row], config.image_positions)
    guided = settings.branches == 2
    if guided:
        text_ids, text_length = with_empty_prompts(model, text_ids, text_length)
    logits, cache = prefill_prompt(model, text_ids, text_length)
    logits, cache = logits.repeat_interleave(pictures, 0), cache.repeat(pictures)
    ids = torch.empty(len(noise), config.image_positions, dtype=torch.long, device=text_ids.device)
    for index in range(config.image_positions):
        if index:
            previous = index - 1
            new = repeat(ids[:, previous], "b -> (branch b)", branch=settings.branches)
            logits = model.image_head(image_step(model, cache, new, previous))
        scores = guide(logits, settings.guidance_scale) if guided else logits
        ids[:, index] = sample(scores, settings, noise[:, index])
        progress(index)
    return rearrange(ids, "b (h w) -> b h w", h=config.grid_height)


def with_empty_prompts(
    model: UnifiedTransformer, text_ids: Tensor, text_length: Tensor
) -> tuple[Tensor, Tensor]:
    """The prompts, then as many empty ones, `[CLS][SEP]`: both branches of guidance."""
    empty = torch.full_like(text_ids, model.config.pad_token_id)
    empty[:, 0], empty[:, 1] = model.config.cls_token_id, model.config.sep_token_id
    return torch.cat([text_ids, empty]), torch.cat([text_length, torch.full_like(text_length, 2)])
