"""How likely a checkpoint finds pairs of pictures and captions, and which it finds likeliest."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.data.transforms import Picture
from pipelines.drawing import PICTURES_AT_ONCE
from pipelines.evaluation.rows import Block
from unified_transformer import UnifiedTransformerConfig
from unified_transformer.losses import caption_nll, image_nll

Nll = Callable[[nn.Module, dict[str, Tensor], UnifiedTransformerConfig], Tensor]

BLOCKS_WITH_RETRIEVAL = 2
"""Finding the own ones of a block takes 20,000 passes; 200 rows tell shares to three points."""


@dataclass(frozen=True)
class Found:
    """Of how many rows, among how many candidates in all, the own one was likelier than any
    other."""

    own: int
    rows: int
    candidates: int


@dataclass(frozen=True)
class Likelihoods:
    """Of a block's pairs, in nats; None of a direction that is not measured.

    image: -log p(id | caption, earlier ids), [row, n].
    caption: -log p(token | picture, earlier tokens), [row, T - 1], 0 where there is no target.
    tokens: targets of each caption, [row].
    caption_found: the caption of a picture, by text -> image.
    picture_found: the picture of a caption, by image -> text.
    """

    image: Tensor | None
    caption: Tensor | None
    tokens: Tensor
    caption_found: Found | None
    picture_found: Found | None


@torch.no_grad()
def measure_likelihoods(
    pipe: BidirectionalPipeline, ids: Tensor, block: Block, directions: Sequence[str]
) -> Likelihoods:
    """Of each row with its first caption; in the first blocks against the others'."""
    texts = encode_captions(pipe, block.prompts)
    rows = torch.arange(len(ids), device=ids.device)
    image = caption = caption_found = picture_found = None
    pairs = candidates(block.prompts) if block.number < BLOCKS_WITH_RETRIEVAL else None
    if "text_to_image" in directions:
        image = nats(pipe, image_nll, ids, texts, rows, rows)
        if pairs is not None:
            row, other = pairs.nonzero(as_tuple=True)
            caption_found = found_among(pairs, nats(pipe, image_nll, ids, texts, row, other))
    if "image_to_text" in directions:
        caption = nats(pipe, caption_nll, ids, texts, rows, rows)
        if pairs is not None:
            row, other = pairs.nonzero(as_tuple=True)
            picture_found = found_among(pairs, nats(pipe, caption_nll, ids, texts, other, row))
    return Likelihoods(image, caption, texts["text_length"].cpu() - 1, caption_found, picture_found)


def candidates(captions: Sequence[str]) -> Tensor:
    """Which rows are compared with which, bool [row, row]: each with itself, and with all those of
    other captions."""
    numbers = {caption: number for number, caption in enumerate(dict.fromkeys(captions))}
    which = torch.tensor([numbers[caption] for caption in captions])
    return (which[:, None] != which).fill_diagonal_(True)


def found_among(pairs: Tensor, losses: Tensor) -> Found:
    """`losses` [pair, target] of the pairs [row, row], in the order of their numbers; rows without
    any other are left out. As likely as another is not found."""
    table = torch.full(pairs.shape, torch.inf)
    table[pairs] = losses.sum(dim=1)
    own = table.diagonal().clone()
    table.fill_diagonal_(torch.inf)
    several = pairs.sum(dim=1) > 1
    won = (own < table.amin(dim=1)) & several
    return Found(int(won.sum()), int(several.sum()), int(pairs[several].sum()))


def nats(
    pipe: BidirectionalPipeline,
    nll: Nll,
    ids: Tensor,
    texts: dict[str, Tensor],
    pictures: Tensor,
    captions: Tensor,
) -> Tensor:
    """The loss `nll` of pairs of row numbers [pair], pictures into `ids` and captions into `texts`:
    [pair, target], on the CPU."""
    parts = []
    pairs = torch.stack([pictures, captions], dim=1)
    for some in pairs.split(PICTURES_AT_ONCE):
        some = some.to(ids.device)
        batch = {name: tensor[some[:, 1]] for name, tensor in texts.items()}
        batch["image_ids"] = ids[some[:, 0]]
        parts.append(nll(pipe.transformer, batch, pipe.transformer.config).cpu())
    return torch.cat(parts)


def encode_captions(pipe: BidirectionalPipeline, captions: Sequence[str]) -> dict[str, Tensor]:
    """Captions as a batch that the losses take; too long ones are cut, as in training."""
    positions = pipe.transformer.config.text_positions
    encoded = [pipe.codec.encode_caption(caption, positions) for caption in captions]
    text_ids, text_length = pipe.codec.pad(encoded, positions)
    dropped = torch.zeros(len(encoded), dtype=torch.bool)
    batch = {"text_ids": text_ids, "text_length": text_length, "caption_dropped": dropped}
    return {name: tensor.to(pipe.transformer.device) for name, tensor in batch.items()}


@torch.no_grad()
def caption_fits(
    pipe: BidirectionalPipeline, pictures: Sequence[Picture], captions: Sequence[str]
) -> list[float]:
    """Mean log p of each caption's tokens, given its picture."""
    texts = encode_captions(pipe, captions)
    rows = torch.arange(len(captions), device=pipe.transformer.device)
    found = nats(pipe, caption_nll, pipe.encode_images(pictures), texts, rows, rows)
    return (-found.sum(dim=1) / (texts["text_length"].cpu() - 1)).tolist()
