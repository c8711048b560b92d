"""Image ids -> text: greedy, sampled, by beam search; and the likelihood of a given caption."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from unified_transformer.beam_search import Continuation, beam_search
from unified_transformer.generation import prefill_image, text_step
from unified_transformer.kv_cache import KeyValueCache
from unified_transformer.model import UnifiedTransformer
from unified_transformer.noise import gumbel_noise
from unified_transformer.objective import caption_nll
from unified_transformer.sampling import SamplingSettings, sample


@dataclass
class CaptionSettings:
    """How captions are decoded: `num_beams` 1 with temperature 0 is greedy, above 0 sampled.

    Beams are ranked by log-likelihood / length ** `length_penalty`, the length in tokens with
    [SEP] (1609.08144, section 7, with the plain length): 0 favours short captions, 1 the likeliest
    per token. `max_length` counts tokens after [BOS], [SEP] included; None is what the text
    positions allow.
    """

    num_beams: int = 1
    length_penalty: float = 1.0
    max_length: int | None = None
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if self.num_beams < 1:
            raise ValueError(f"num_beams is {self.num_beams}; it must be at least 1")
        if self.max_length is not None and self.max_length < 1:
            raise ValueError(f"max_length is {self.max_length}; it must be at least 1")
        if self.num_beams > 1 and self.temperature > 0:
            raise ValueError("beam search does not sample; choose num_beams=1 or temperature=0")
        self.sampling()  # refuses what is out of range

    def sampling(self) -> SamplingSettings:
        """The part that draws ids."""
        return SamplingSettings(self.temperature, self.top_k, self.top_p)


@dataclass
class Captions:
    """`ids`: one list of text ids per picture, without [BOS] and [SEP]; `log_likelihood` [batch],
    in nats, of the caption with its [SEP] (without, where no room was left for [SEP])."""

    ids: list[list[int]]
    log_likelihood: Tensor


def next_text_scores(
    model: UnifiedTransformer, cache: KeyValueCache, last: Tensor, position: int
) -> Tensor:
    """log p [batch, text vocabulary] of the token after `last` [batch], which stands at `position`.

    Padding, [CLS] and [BOS] are never generated: theirs is -inf.
    """
    place = torch.tensor([position], device=last.device)
    hidden = text_step(model, cache, last, place)
    scores = model.text_head(hidden).float().log_softmax(dim=-1)
    config = model.config
    scores[:, [config.pad_token_id, config.cls_token_id, config.bos_token_id]] = -torch.inf
    return scores


@torch.no_grad()
def generate_captions(
    model: UnifiedTransformer,
    image_ids: Tensor,
    settings: CaptionSettings | None = None,
    seeds: list[int] | None = None,
) -> Captions:
    """Describe pictures: `image_ids` [batch, h, w]; `seeds`, one per picture, when sampling."""
    settings = settings or CaptionSettings()
    limit = model.config.text_positions - 1
    length = min(settings.max_length or limit, limit)
    cache = prefill_image(model, image_ids)
    if settings.num_beams > 1:
        best = search(model, cache, settings, length)
        totals = torch.tensor([found.log_likelihood for found in best], device=image_ids.device)
        return Captions([found.ids for found in best], totals)
    sampling, end = settings.sampling(), model.config.sep_token_id
    rows = torch.tensor(seeds or [0] * len(image_ids), device=image_ids.device)
    last = torch.full_like(image_ids[:, 0, 0], model.config.bos_token_id)
    total = torch.zeros(len(last), device=last.device)
    ended = torch.zeros_like(last, dtype=torch.bool)
    tokens: list[Tensor] = []
    for position in range(length):
        scores = next_text_scores(model, cache, last, position)
        noise = partial(gumbel_noise, rows, torch.full_like(rows, position), scores.shape[-1])
        last = sample(scores, sampling, noise).masked_fill(ended, end)
        total += scores.gather(1, last[:, None])[:, 0].masked_fill(ended, 0.0)
        tokens.append(last)
        ended = ended | (last == end)
        if ended.all():
            break
    return Captions([until(row, end) for row in torch.stack(tokens, 1).tolist()], total)


def search(
    model: UnifiedTransformer, cache: KeyValueCache, settings: CaptionSettings, length: int
) -> list[Continuation]:
    """The best caption of every row of the cache by beam search."""
    beams = settings.num_beams
    batch = len(cache.real_text)
    cache = cache.repeat(beams)

    def scores_after(last: Tensor, position: int) -> Tensor:
        return next_text_scores(model, cache, last, position)

    return beam_search(
        scores_after,
        cache.select,
        first=torch.full((batch, beams), model.config.bos_token_id, device=cache.real_text.device),
        end=model.config.sep_token_id,
        length=length,
        length_penalty=settings.length_penalty,
    )


def until(ids: list[int], end: int) -> list[int]:
    """The ids before the first `end`."""
    return ids[: ids.index(end)] if end in ids else ids


@torch.no_grad()
def score_captions(
    model: UnifiedTransformer, image_ids: Tensor, text_ids: Tensor, text_length: Tensor
) -> Tensor:
    """log p(caption | picture) in nats, [batch]: the sum over the caption's tokens and its [SEP].

    `image_ids` [batch, h, w]; `text_ids` [batch, T] as `[CLS] caption [SEP]`, padded.
    """
    batch = {"text_ids": text_ids, "text_length": text_length, "image_ids": image_ids}
    return -caption_nll(model, batch, model.config).sum(dim=1)
