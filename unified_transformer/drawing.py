"""Text -> image ids, one by one or several at a time: the same ids either way."""

from collections.abc import Callable
from functools import partial

import torch
from einops import rearrange, repeat
from torch import Tensor

from unified_transformer.generation import image_step, prefill_prompt
from unified_transformer.kv_cache import ImageSteps
from unified_transformer.model import UnifiedTransformer
from unified_transformer.noise import gumbel_noise
from unified_transformer.sampling import SamplingSettings, guide, sample

compiled_image_step = torch.compile(image_step, dynamic=False)
"""Compiled once for every batch size and window."""


@torch.no_grad()
def generate_image_ids(
    model: UnifiedTransformer,
    text_ids: Tensor,
    text_length: Tensor,
    seeds: list[list[int]],
    settings: SamplingSettings | None = None,
    window: int | None = None,
    progress: Callable[[int], None] = lambda done: None,
    compiled: bool = False,
) -> Tensor:
    """Draw pictures: ids [batch * pictures, h, w], the pictures of one prompt side by side.

    `text_ids` [batch, T] is `[CLS] text [SEP]`, padded; `seeds` holds as many seeds for every
    prompt as pictures are wanted of it. A picture depends on its prompt, its seed and the settings,
    not on its batch. `window` is how many ids a pass of the model tries at once: it changes how
    many passes are needed, and no picture; None is what is fastest where that was measured.
    `progress` is called after every pass with the number of ids that every picture had before it.
    `compiled` runs the passes through `torch.compile`.
    """
    settings = settings or SamplingSettings()
    config, pictures = model.config, len(seeds[0])
    seed = torch.tensor([s for row in seeds for s in row], device=text_ids.device)
    if settings.branches == 2:
        text_ids, text_length = with_empty_prompts(model, text_ids, text_length)
    logits, cache = prefill_prompt(model, text_ids, text_length)
    logits, steps = logits.repeat_interleave(pictures, 0), ImageSteps(cache.repeat(pictures))

    step = compiled_image_step if compiled else image_step

    def sampled(logits: Tensor, places: Tensor) -> Tensor:
        """Ids [picture, new] for the raster indices `places` from logits of all branches."""
        scores = guide(logits, settings.guidance_scale) if settings.branches == 2 else logits
        noise = partial(gumbel_noise, seed[:, None], places, scores.shape[-1])
        return sample(scores, settings, noise)

    def continue_from(ids: Tensor, places: Tensor) -> Tensor:
        """Ids [picture, new] that follow `ids` at `places`, both [picture, new]."""
        both = partial(repeat, pattern="b new -> (branch b) new", branch=settings.branches)
        hidden = step(model, steps, both(ids), both(places))
        return sampled(model.image_head(hidden), places + 1)

    window = window or fastest_window(len(logits), text_ids.device)
    first = sampled(logits[:, None], torch.zeros_like(seed)[:, None])
    ids = draw(first, continue_from, config.grid, window, progress)
    return rearrange(ids, "b (h w) -> b h w", h=config.grid_height)


def fastest_window(sequences: int, device: torch.device) -> int:
    """How many ids a pass tries at once: where few sequences are drawn on a CPU, a pass costs
    reading the weights, and eight tries cost little more than one; where many are, one by one is
    faster (docs/performance.md). Not measured on a GPU yet."""
    return 8 if device.type == "cpu" and sequences <= 16 else 1


def draw(
    first: Tensor,
    continue_from: Callable[[Tensor, Tensor], Tensor],
    grid: tuple[int, int],
    window: int,
    progress: Callable[[int], None],
) -> Tensor:
    """Ids [picture, h * w] that begin with `first` [picture, 1], `window` at a time.

    Jacobi decoding with fixed noise: each pass draws the next `window` ids of every picture from
    drafts of those between, which are the draws of the pass before. As noise belongs to places, an
    id depends on the ids before it alone: what was drawn from right drafts is final, and the draw
    that finds the first wrong draft puts it right, so that every pass finishes at least one id and
    the result is what drawing one by one gives. Speculative Jacobi decoding (2410.01699) keeps the
    distribution by rejection in the same way, but not the picture of a seed.

    The first draft of an id is the one above it, and on the first row `first`.
    """
    height, width = grid
    last = height * width - 1
    window = min(window, width)  # else first drafts would overwrite later ones
    ids = repeat(first, "b 1 -> b n", n=(height + 1) * width).clone()  # one row below the picture
    done = torch.ones_like(first)  # how many ids of each picture are final, [picture, 1]
    ahead = torch.arange(window, device=first.device)
    while (least := int(done.min())) <= last:
        places = (done - 1 + ahead).clamp(max=last - 1)
        drafts = ids.gather(1, places + 1)
        drawn = continue_from(ids.gather(1, places), places)
        ids.scatter_(1, places + 1, drawn)
        ids.scatter_(1, places + 1 + width, drawn)
        right = (drawn == drafts)[:, :-1].cumprod(dim=1).sum(dim=1, keepdim=True)
        done = (done + 1 + right).clamp(max=last + 1)
        progress(least)
    return ids[:, : last + 1]


def with_empty_prompts(
    model: UnifiedTransformer, text_ids: Tensor, text_length: Tensor
) -> tuple[Tensor, Tensor]:
    """The prompts, then as many empty ones, `[CLS][SEP]`: both branches of guidance."""
    empty = torch.full_like(text_ids, model.config.pad_token_id)
    empty[:, 0], empty[:, 1] = model.config.cls_token_id, model.config.sep_token_id
    return torch.cat([text_ids, empty]), torch.cat([text_length, torch.full_like(text_length, 2)])
