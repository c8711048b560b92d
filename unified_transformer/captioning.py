"""Image ids -> text: greedy, sampled, by beam search; and the likelihood of a given caption."""

from dataclasses import dataclass
from functools import partial
from itertools import chain

import torch
from torch import Tensor

from unified_transformer.beam_search import Continuation, beam_search
from unified_transformer.generation import prefill_image, prefill_question, text_step
from unified_transformer.kv_cache import KeyValueCache
from unified_transformer.losses import caption_nll
from unified_transformer.model import UnifiedTransformer
from unified_transformer.noise import gumbel_noise
from unified_transformer.sampling import SamplingSettings, sample

LARGEST_PENALTY = 10.0
"""Of either sign; far beyond, a power of the length is no number any more."""


class NoRoomError(ValueError):
    """What was asked for does not fit into the model's text positions."""


@dataclass
class CaptionSettings:
    """How captions are decoded: `num_beams` 1 with temperature 0 is greedy, above 0 sampled.

    Beams are ranked by log-likelihood / length ** `length_penalty`, the length in tokens with
    [SEP] (1609.08144, section 7, with the plain length): 0 favours short captions, 1 the likeliest
    per token. `max_length` and `min_length` count tokens after [BOS], [SEP] included; None is what
    the text positions allow. `num_captions` of each picture are the best ended beams, best first,
    or as many samples.
    """

    num_beams: int = 1
    length_penalty: float = 1.0
    max_length: int | None = None
    min_length: int = 1
    num_captions: int = 1
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if self.num_beams < 1:
            raise ValueError(f"num_beams is {self.num_beams}; it must be at least 1")
        if self.max_length is not None and self.max_length < 1:
            raise ValueError(f"max_length is {self.max_length}; it must be at least 1")
        if not 1 <= self.min_length <= (self.max_length or self.min_length):
            raise ValueError(f"min_length is {self.min_length}; it must be from 1 to max_length")
        if self.num_captions < 1:
            raise ValueError(f"num_captions is {self.num_captions}; it must be at least 1")
        if self.temperature == 0 and self.num_captions > self.num_beams:
            raise ValueError(
                f"num_captions is {self.num_captions}, but {self.num_beams} beams end in as many "
                f"captions; choose num_beams={self.num_captions} or a temperature above 0"
            )
        if self.num_beams > 1 and self.temperature > 0:
            raise ValueError("beam search does not sample; choose num_beams=1 or temperature=0")
        if self.temperature == 0 and (self.top_k, self.top_p) != (0, 1.0):
            raise ValueError(
                "top_k and top_p say what is sampled from, and temperature 0 does not sample; "
                "choose one above 0"
            )
        if not abs(self.length_penalty) <= LARGEST_PENALTY:  # nor is it a number otherwise
            raise ValueError(
                f"length_penalty is {self.length_penalty}; it must be from {-LARGEST_PENALTY} to "
                f"{LARGEST_PENALTY}"
            )
        self.sampling()  # refuses what is out of range

    def sampling(self) -> SamplingSettings:
        """The part that draws ids."""
        return SamplingSettings(self.temperature, self.top_k, self.top_p)


@dataclass
class Captions:
    """`ids`: a list of text ids for each caption, without [BOS] and [SEP]; `log_likelihood`
    [caption], in nats, of the caption with its [SEP] (without, where no room was left for [SEP]).
    The captions of one picture are side by side."""

    ids: list[list[int]]
    log_likelihood: Tensor


def next_text_scores(
    model: UnifiedTransformer,
    cache: KeyValueCache,
    last: Tensor,
    places: Tensor,
    may_end: bool = True,
) -> Tensor:
    """log p [batch, text vocabulary] of the token after `last` [batch], which stand at `places`
    [batch].

    Padding, [CLS], [BOS] and [UNK] are never generated, and [SEP] only where the text `may_end`:
    theirs is -inf.
    """
    hidden = text_step(model, cache, last, places)
    scores = model.text_head(hidden).float().log_softmax(dim=-1)
    config = model.config
    never = [config.pad_token_id, config.cls_token_id, config.bos_token_id]
    never += [] if config.unk_token_id is None else [config.unk_token_id]
    scores[:, never if may_end else [*never, config.sep_token_id]] = -torch.inf
    return scores


@torch.no_grad()
def generate_captions(
    model: UnifiedTransformer,
    image_ids: Tensor,
    settings: CaptionSettings | None = None,
    seeds: list[int] | None = None,
) -> Captions:
    """Describe pictures: `image_ids` [batch, h, w]; `seeds`, one per picture, when sampling: its
    caption k has seed + k.

    Raises:
        NoRoomError: `min_length` is more than the text positions allow.
    """
    cache = prefill_image(model, image_ids)
    starts = torch.zeros(len(image_ids), dtype=torch.long, device=image_ids.device)
    return _generate(model, cache, starts, settings or CaptionSettings(), seeds)


@torch.no_grad()
def generate_answers(
    model: UnifiedTransformer,
    image_ids: Tensor,
    question_ids: Tensor,
    question_length: Tensor,
    settings: CaptionSettings | None = None,
    seeds: list[int] | None = None,
) -> Captions:
    """Answer questions about pictures: `image_ids` [batch, h, w]; `question_ids` [batch, T] as
    `[CLS] question [SEP]`, padded, of `question_length` [batch] tokens; `seeds`, one per question,
    when sampling.

    Raises:
        NoRoomError: a question leaves no text position for an answer, or fewer than `min_length`.
    """
    if question_length.max() > model.config.text_positions - 2:
        raise NoRoomError(
            f"a question of {int(question_length.max())} tokens leaves none of the "
            f"{model.config.text_positions} text positions for an answer; shorten it"
        )
    cache = prefill_question(model, image_ids, question_ids, question_length)
    return _generate(model, cache, question_length, settings or CaptionSettings(), seeds)


def _generate(
    model: UnifiedTransformer,
    cache: KeyValueCache,
    starts: Tensor,
    settings: CaptionSettings,
    seeds: list[int] | None,
) -> Captions:
    """Text after [BOS] at the positions `starts` [batch]."""
    room = model.config.text_positions - 1 - starts
    if settings.min_length > room.min():
        raise NoRoomError(
            f"min_length is {settings.min_length}, and of the {model.config.text_positions} text "
            f"positions {int(room.min())} are left for what is written; choose a smaller one"
        )
    if settings.max_length is not None:
        room = room.clamp(max=settings.max_length)
    if settings.num_beams > 1:
        best = list(chain(*search(model, cache, starts, settings, room.tolist())))
        totals = torch.tensor([found.log_likelihood for found in best], device=starts.device)
        return Captions([found.ids for found in best], totals)
    sampling, end, times = settings.sampling(), model.config.sep_token_id, settings.num_captions
    seeds = [seed + k for seed in seeds or [0] * len(starts) for k in range(times)]
    rows = torch.tensor(seeds, device=starts.device)
    if times > 1:
        cache = cache.repeat(times)
        starts, room = starts.repeat_interleave(times), room.repeat_interleave(times)
    last = torch.full_like(starts, model.config.bos_token_id)
    total = torch.zeros(len(last), device=last.device)
    ended = torch.zeros_like(last, dtype=torch.bool)
    tokens: list[Tensor] = []
    for count in range(int(room.max())):
        ended = ended | (room == count)
        may_end, places = count + 1 >= settings.min_length, starts + room.clamp(max=count)
        scores = next_text_scores(model, cache, last, places, may_end)
        noise = partial(gumbel_noise, rows, torch.full_like(rows, count), scores.shape[-1])
        last = sample(scores, sampling, noise).masked_fill(ended, end)
        total += scores.gather(1, last[:, None])[:, 0].masked_fill(ended, 0.0)
        tokens.append(last)
        ended = ended | (last == end)
        if ended.all():
            break
    return Captions([until(row, end) for row in torch.stack(tokens, 1).tolist()], total)


def search(
    model: UnifiedTransformer,
    cache: KeyValueCache,
    starts: Tensor,
    settings: CaptionSettings,
    lengths: list[int],
) -> list[list[Continuation]]:
    """The best texts of every row of the cache by beam search, of `lengths` tokens at most."""
    beams = settings.num_beams
    batch = len(starts)
    cache = cache.repeat(beams)
    each = starts.repeat_interleave(beams)
    written, last_place = int(starts.max()), model.config.text_positions - 1

    def scores_after(last: Tensor, count: int) -> Tensor:
        places, may_end = (each + count).clamp(max=last_place), count + 1 >= settings.min_length
        return next_text_scores(model, cache, last, places, may_end)

    return beam_search(
        scores_after,
        lambda rows, count: cache.select(rows, written + count),
        first=torch.full((batch, beams), model.config.bos_token_id, device=starts.device),
        end=model.config.sep_token_id,
        lengths=lengths,
        length_penalty=settings.length_penalty,
        count=settings.num_captions,
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
