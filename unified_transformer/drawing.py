"""Text -> image ids, one by one or several at a time: the same ids either way."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch
from einops import rearrange, repeat
from torch import Tensor

from unified_transformer.end_to_end import HiddenState, standing_for_ids
from unified_transformer.generation import image_step, prefill_prompt
from unified_transformer.kv_cache import ImageSteps
from unified_transformer.model import UnifiedTransformer
from unified_transformer.noise import gumbel_noise
from unified_transformer.sampling import SamplingSettings, guide, sample


@lru_cache
def compiled_image_step() -> Callable:
    """Compiled once for every batch size and window, and loaded where it is needed: the compiler
    alone takes seconds."""
    return torch.compile(image_step, dynamic=False)


@dataclass
class Drawings:
    """`ids` [picture, h, w]; `hidden` [picture, n, dim], the last hidden state that stands for each
    id, where it was asked for."""

    ids: Tensor
    hidden: Tensor | None = None


@torch.no_grad()
def generate_image_ids(
    model: UnifiedTransformer,
    text_ids: Tensor,
    text_length: Tensor,
    seeds: list[list[int]],
    settings: SamplingSettings | None = None,
    window: int | None = None,
    watch: Callable[[Tensor, Tensor], None] = lambda ids, known: None,
    compiled: bool = False,
    given: Tensor | None = None,
    hidden_state: HiddenState | None = None,
) -> Drawings:
    """Draw pictures; those of one prompt side by side.

    `text_ids` [batch, T] is `[CLS] text [SEP]`, padded; `seeds` holds as many seeds for every
    prompt as pictures are wanted of it. A picture depends on its prompt, its seed and the settings,
    not on its batch. `window` is how many ids a pass of the model tries at once: it changes how
    many passes are needed, and no picture; None is what is fastest where that was measured.
    `watch` is called after every pass with the ids so far [picture, h, w], which the next pass
    writes over, and with how many of each picture's are final, in raster order, [picture].
    `compiled` runs the passes through `torch.compile`. `given` [batch, rows, w] are the first rows
    of the prompts' pictures, fewer than h, which the rest continues. With `hidden_state` the hidden
    states of the prompt's branch are collected on the way, those of a teacher-forced pass over the
    finished picture; `consumed` takes one more pass of a single position.
    """
    settings = settings or SamplingSettings()
    config, pictures = model.config, len(seeds[0])
    seed = torch.tensor([s for row in seeds for s in row], device=text_ids.device)
    if settings.branches == 2:
        text_ids, text_length = with_empty_prompts(model, text_ids, text_length)
    begin, cache = prefill_prompt(model, text_ids, text_length)
    begin, steps = begin.repeat_interleave(pictures, 0), ImageSteps(cache.repeat(pictures))
    states = HiddenStates(begin[: len(seed)], config.image_positions) if hidden_state else None

    def sampled(hidden: Tensor, places: Tensor) -> Tensor:
        """Ids [picture, new] for the raster indices `places` from hidden states of all branches."""
        logits = model.image_head(hidden)
        scores = guide(logits, settings.guidance_scale) if settings.branches == 2 else logits
        noise = partial(gumbel_noise, seed[:, None], places, scores.shape[-1])
        return sample(scores, settings, noise)

    def read(ids: Tensor, places: Tensor, step: Callable = image_step) -> Tensor:
        """Hidden states [branch * picture, new, dim] of `ids` at `places`, both [picture, new]."""
        both = partial(repeat, pattern="b new -> (branch b) new", branch=settings.branches)
        hidden = step(model, steps, both(ids), both(places))
        if states is not None:
            states.keep(hidden[: len(seed)], places)
        return hidden

    def continue_from(ids: Tensor, places: Tensor) -> Tensor:
        """Ids [picture, new] that follow `ids` at `places`, both [picture, new]."""
        step = compiled_image_step() if compiled else image_step
        return sampled(read(ids, places, step), places + 1)

    if given is None:
        first = sampled(begin[:, None], torch.zeros_like(seed)[:, None])
    else:
        first = rearrange(given, "b rows w -> b (rows w)").repeat_interleave(pictures, 0)
        read_rows(first[:, :-1], config.grid_width, read)
    window = window or fastest_window(len(begin), text_ids.device)
    ids = draw(first, continue_from, config.grid, window, watch)
    if hidden_state == "consumed":
        read(ids[:, -1, -1:], torch.full_like(seed[:, None], config.image_positions - 1))
    hidden = standing_for_ids(states.all, hidden_state) if states and hidden_state else None
    return Drawings(ids, hidden)


class HiddenStates:
    """Hidden states, `all` [picture, 1 + n, dim], of [BOI] and of the image positions.

    A later pass over a place overwrites an earlier one: each place is passed once more, at the
    latest, after the ids up to it are final.
    """

    def __init__(self, begin: Tensor, image_positions: int) -> None:
        """`begin` [picture, dim] is that of [BOI]."""
        self.all = begin.new_zeros(len(begin), 1 + image_positions, begin.shape[-1])
        self.all[:, 0] = begin
        self._rows = torch.arange(len(begin), device=begin.device)[:, None]

    def keep(self, hidden: Tensor, places: Tensor) -> None:
        """`hidden` [picture, new, dim] at the raster indices `places` [picture, new]."""
        self.all[self._rows, places + 1] = hidden


def read_rows(ids: Tensor, width: int, read: Callable[[Tensor, Tensor], Any]) -> None:
    """Passes given ids [picture, m] through the model, a row of the grid at a time."""
    for first in range(0, ids.shape[1], width):
        some = ids[:, first : first + width]
        places = torch.arange(first, first + some.shape[1], device=ids.device)
        read(some, places.expand_as(some))


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
    watch: Callable[[Tensor, Tensor], None],
) -> Tensor:
    """Ids [picture, h, w] that begin with `first`, one id or whole rows, `window` at a time.

    Jacobi decoding with fixed noise: each pass draws the next `window` ids of every picture from
    drafts of those between, which are the draws of the pass before. As noise belongs to places, an
    id depends on the ids before it alone: what was drawn from right drafts is final, and the draw
    that finds the first wrong draft puts it right, so that every pass finishes at least one id and
    the result is what drawing one by one gives. Speculative Jacobi decoding (2410.01699) keeps the
    distribution by rejection in the same way, but not the picture of a seed.

    The first draft of an id is the one above it, and on the first row the first of all.
    """
    height, width = grid
    last = height * width - 1
    window = min(window, width)  # else first drafts would overwrite later ones
    given = first.shape[1]
    ids = repeat(first[:, 0], "b -> b n", n=(height + 1) * width).clone()  # one row below
    ids[:, :given] = first
    if given >= width:
        ids[:, given : given + width] = first[:, -width:]
    done = torch.full_like(first[:, :1], given)  # how many of each picture are final, [picture, 1]
    ahead = torch.arange(window, device=first.device)
    in_rows = partial(rearrange, pattern="b (h w) -> b h w", w=width)
    while int(done.min()) <= last:
        places = (done - 1 + ahead).clamp(max=last - 1)
        drafts = ids.gather(1, places + 1)
        drawn = continue_from(ids.gather(1, places), places)
        ids.scatter_(1, places + 1, drawn)
        ids.scatter_(1, places + 1 + width, drawn)
        right = (drawn == drafts)[:, :-1].cumprod(dim=1).sum(dim=1, keepdim=True)
        done = (done + 1 + right).clamp(max=last + 1)
        watch(in_rows(ids[:, : last + 1]), done[:, 0])
    return in_rows(ids[:, : last + 1])


def with_empty_prompts(
    model: UnifiedTransformer, text_ids: Tensor, text_length: Tensor
) -> tuple[Tensor, Tensor]:
    """The prompts, then as many empty ones, `[CLS][SEP]`: both branches of guidance."""
    empty = torch.full_like(text_ids, model.config.pad_token_id)
    empty[:, 0], empty[:, 1] = model.config.cls_token_id, model.config.sep_token_id
    return torch.cat([text_ids, empty]), torch.cat([text_length, torch.full_like(text_length, 2)])
