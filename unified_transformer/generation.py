"""Passes of the model over a key/value cache: the prefix once, then one position at a time."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from unified_transformer.blocks import Attention, Block
from unified_transformer.embeddings import Placed
from unified_transformer.kv_cache import ImageSteps, KeyValueCache, TextStep
from unified_transformer.model import UnifiedTransformer
from unified_transformer.sequence import Sequence, build_sequence


def run_prefix(
    model: UnifiedTransformer,
    embedded: Placed,
    sequence: Sequence,
    cache: KeyValueCache,
    first: int,
) -> Tensor:
    """A teacher-forced pass over some positions that fills the cache from `first` on.

    The roles in `sequence` are theirs. Returns their hidden states [batch, length, dim].
    """

    def attention_of(block: Block) -> Attention:
        attend_all = model.attention(sequence, block.pattern)

        def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            cache.write(block.layer, first, key, value)
            return attend_all(query, key, value)

        return attention

    return model.run_blocks(embedded, attention_of)


def image_step(model: UnifiedTransformer, steps: ImageSteps, ids: Tensor, places: Tensor) -> Tensor:
    """Hidden states [batch, new, dim] of the image positions at the raster indices `places`
    [batch, new] that hold `ids`; the image head makes of each the logits of the next id."""
    new = model.embeddings(model.embeddings.image(ids, places))
    return model.run_blocks(new, steps.at(places))


def text_step(
    model: UnifiedTransformer, cache: KeyValueCache, ids: Tensor, places: Tensor
) -> Tensor:
    """The hidden states [batch, dim] of the target text positions `places` [batch] that hold `ids`
    [batch]."""
    new = model.embeddings.text(ids[:, None], places[:, None])
    return model.run_blocks(model.embeddings(new), TextStep(cache, places))[:, 0]


def precision(model: UnifiedTransformer) -> torch.dtype:
    """What keys and values are computed in: autocast's, where it is on."""
    kind = model.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else model.dtype


def prefill_prompt(
    model: UnifiedTransformer, text_ids: Tensor, text_length: Tensor
) -> tuple[Tensor, KeyValueCache]:
    """Text as source and [BOI]: the hidden state of [BOI] [batch, dim], of which the image head
    makes the logits of z_1, and the cache."""
    text_positions = text_ids.shape[1]
    sequence = build_sequence(text_length, text_positions, (0, 0), "text_to_image")
    cache = KeyValueCache(model.config, sequence.real[:, :text_positions], precision(model))
    embeddings = model.embeddings
    embedded = embeddings(embeddings.text(text_ids), embeddings.begin(len(text_ids)))
    hidden = run_prefix(model, embedded, sequence, cache, first=0)
    return hidden[:, -1], cache


def prefill_image(model: UnifiedTransformer, image_ids: Tensor) -> KeyValueCache:
    """[BOI] and the image as source, [batch, h, w] ids; the text slots stay empty."""
    config = model.config
    no_text = torch.zeros(len(image_ids), dtype=torch.long, device=image_ids.device)
    sequence = build_sequence(no_text, 0, config.grid, "image_to_text")
    embedded = model.embeddings(*_image_parts(model, image_ids))
    cache = _without_text(model, image_ids)
    run_prefix(model, embedded, sequence, cache, first=config.text_positions)
    return cache


def prefill_question(
    model: UnifiedTransformer, image_ids: Tensor, text_ids: Tensor, text_length: Tensor
) -> KeyValueCache:
    """Questions `[CLS] … [SEP]`, `text_ids` [batch, T] of any length, with [BOI] and the image as
    source; the text slots after a question's `text_length` are the answer's."""
    config = model.config
    # What is written of padding is written over before it is seen.
    text_ids = F.pad(text_ids, (0, config.text_positions - text_ids.shape[1]))
    sequence = build_sequence(
        text_length, config.text_positions, config.grid, "image_to_text", text_length
    )
    embedded = model.embeddings(model.embeddings.text(text_ids), *_image_parts(model, image_ids))
    cache = _without_text(model, image_ids)
    run_prefix(model, embedded, sequence, cache, first=0)
    return cache


def _image_parts(model: UnifiedTransformer, image_ids: Tensor) -> tuple[Placed, Placed]:
    ids = rearrange(image_ids, "b h w -> b (h w)")
    return model.embeddings.begin(len(ids)), model.embeddings.image(ids)


def _without_text(model: UnifiedTransformer, image_ids: Tensor) -> KeyValueCache:
    slots = image_ids.new_zeros(len(image_ids), model.config.text_positions, dtype=torch.bool)
    return KeyValueCache(model.config, slots, precision(model))
