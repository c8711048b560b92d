"""What is measured of a checkpoint on captioned pictures of any kind, without any outside model."""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.data.transforms import to_pixels
from pipelines.drawing import PICTURES_AT_ONCE
from pipelines.evaluation.candidates import draw_candidates
from pipelines.evaluation.pairs import Pairs, as_generated
from unified_transformer import UnifiedTransformer, UnifiedTransformerConfig
from unified_transformer.losses import caption_nll, image_nll
from vq import psnr


@dataclass(frozen=True)
class PairReport:
    """Figures over all pairs.

    `image_nats`: -log p(id | caption, earlier ids), mean over ids. `caption_nats`: -log p(token |
    picture, earlier tokens), mean over tokens. `caption_found`: the share of pictures that their
    own caption makes likelier than any of the other captions among `candidates` does;
    `picture_found`: the share of captions that their own picture makes likelier than any of the
    other pictures does. Either is 1 / `candidates` by chance, and each looks at one direction.
    `captions_exact`: the share of greedy captions that equal a given one.
    """

    reconstruction_psnr: float
    codes_used: int
    image_nats: float
    caption_nats: float
    caption_found: float
    picture_found: float
    captions_exact: float
    candidates: int
    pairs: int
    unreadable: int

    def rows(self) -> list[tuple[str, str]]:
        """What a person reads: a description and the figure."""
        values = [(text, getattr(self, name)) for text, name in DESCRIPTIONS]
        return [(text, f"{v:.3f}" if isinstance(v, float) else str(v)) for text, v in values]


DESCRIPTIONS = (
    ("PSNR of the tokenizer's reconstructions, dB", "reconstruction_psnr"),
    ("codes in use", "codes_used"),
    ("nats per image id, given the caption", "image_nats"),
    ("nats per caption token, given the picture", "caption_nats"),
    ("caption found among the candidates, text to image", "caption_found"),
    ("picture found among the candidates, image to text", "picture_found"),
    ("captions that equal a given one", "captions_exact"),
    ("candidates", "candidates"),
    ("pairs", "pairs"),
    ("unreadable rows", "unreadable"),
)


@torch.no_grad()
def measure_pairs(pipe: BidirectionalPipeline, pairs: Pairs) -> PairReport:
    """All figures; the other candidates of a row are chosen by lot, the same every time."""
    ids, ratio = reconstruct(pipe, pairs.pictures)
    texts = encode_captions(pipe, pairs.captions)
    candidates = draw_candidates(pairs.captions)
    own = torch.arange(len(ids))[:, None].expand_as(candidates)
    image_nats = nats(pipe, image_nll, ids, texts, own, candidates)
    caption_nats = nats(pipe, caption_nll, ids, texts, candidates, own)
    said = pipe.caption_images(pairs.pictures)
    right = [{as_generated(pipe, text) for text in texts} for texts in pairs.references]
    tokens = (texts["text_length"] - 1).sum().item()
    return PairReport(
        reconstruction_psnr=ratio,
        codes_used=ids.unique().numel(),
        image_nats=image_nats[:, 0].mean().item() / math.prod(ids.shape[1:]),
        caption_nats=caption_nats[:, 0].sum().item() / tokens,
        caption_found=first_is_least(image_nats),
        picture_found=first_is_least(caption_nats),
        captions_exact=sum(map(set.__contains__, right, said)) / len(said),
        candidates=candidates.shape[1],
        pairs=len(said),
        unreadable=pairs.unreadable,
    )


def nats(
    pipe: BidirectionalPipeline,
    nll: Callable[[UnifiedTransformer, dict[str, Tensor], UnifiedTransformerConfig], Tensor],
    ids: Tensor,
    texts: dict[str, Tensor],
    pictures: Tensor,
    captions: Tensor,
) -> Tensor:
    """The loss `nll`, summed over a pair's targets, of pairs of row numbers: each [row, candidate],
    pictures into `ids` and captions into `texts`; the same shape."""
    parts = []
    pairs = torch.stack([pictures.flatten(), captions.flatten()], dim=1)
    for some in tqdm(pairs.split(PICTURES_AT_ONCE), desc=nll.__name__, file=sys.stderr):
        batch = {name: tensor[some[:, 1]] for name, tensor in texts.items()}
        batch["image_ids"] = ids[some[:, 0]]
        parts.append(nll(pipe.transformer, batch, pipe.transformer.config).sum(dim=1).cpu())
    return torch.cat(parts).view(pictures.shape)


def reconstruct(pipe: BidirectionalPipeline, pictures: list[np.ndarray]) -> tuple[Tensor, float]:
    """Ids [row, h, w], and the mean PSNR in dB of what the tokenizer makes of them."""
    ids, ratios = [], []
    for first in range(0, len(pictures), PICTURES_AT_ONCE):
        some = pictures[first : first + PICTURES_AT_ONCE]
        pixels = torch.stack([to_pixels(picture, pipe.picture_size) for picture in some])
        pixels = pixels.to(pipe.transformer.device)
        ids.append(pipe.tokenizer.encode_to_ids(pixels))
        ratios.append(psnr(pipe.tokenizer.decode_ids(ids[-1]), pixels))
    return torch.cat(ids), torch.cat(ratios).mean().item()


def encode_captions(pipe: BidirectionalPipeline, captions: Sequence[str]) -> dict[str, Tensor]:
    """Captions as a batch that the losses take; too long ones are cut, as in training."""
    positions = pipe.transformer.config.text_positions
    encoded = [pipe.codec.encode_caption(caption, positions) for caption in captions]
    text_ids, text_length = pipe.codec.pad(encoded, positions)
    dropped = torch.zeros(len(encoded), dtype=torch.bool)
    batch = {"text_ids": text_ids, "text_length": text_length, "caption_dropped": dropped}
    return {name: tensor.to(pipe.transformer.device) for name, tensor in batch.items()}


def first_is_least(nll: Tensor) -> float:
    """The share of rows [row, candidate] whose first entry is below all others."""
    return (nll[:, 0] < nll[:, 1:].amin(dim=1)).float().mean().item()
