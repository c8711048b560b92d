"""What is measured of a checkpoint on captioned pictures of any kind, without any outside model."""

import math
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from pipelines.bidirectional_pipeline import PICTURES_AT_ONCE, BidirectionalPipeline
from pipelines.command_line import UserError
from pipelines.data.sources import Source, UnreadableRow
from pipelines.data.transforms import to_array, to_pixels
from pipelines.evaluation.report import Drawn
from unified_transformer.objective import caption_nll, image_nll

CANDIDATES = 100
SHOWN = 24


@dataclass(frozen=True)
class Pairs:
    """Pictures (uint8 [height, width, 3]) with one caption each, and all captions that would be
    right; `unreadable` rows left out."""

    pictures: list[np.ndarray]
    captions: list[str]
    references: list[list[str]]
    unreadable: int


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
        values = [getattr(self, field.name) for field in fields(self)]
        written = [f"{value:.3f}" if isinstance(value, float) else str(value) for value in values]
        return list(zip(DESCRIPTIONS, written, strict=True))


DESCRIPTIONS = (
    "PSNR of the tokenizer's reconstructions, dB",
    "codes in use",
    "nats per image id, given the caption",
    "nats per caption token, given the picture",
    "caption found among the candidates, text to image",
    "picture found among the candidates, image to text",
    "captions that equal a given one",
    "candidates",
    "pairs",
    "unreadable rows",
)


def read_pairs(source: Source, size: tuple[int, int], most: int) -> Pairs:
    """The first `most` rows that can be read, with the first caption of each.

    Raises:
        UserError: there are fewer than two.
    """
    pictures: list[np.ndarray] = []
    references: list[list[str]] = []
    row = unreadable = 0
    while len(pictures) < most and (source.length is None or row < source.length):
        try:
            found = source[row]
            pictures.append(to_array(found.image, size))
            references.append(found.texts)
        except UnreadableRow:
            unreadable += 1
        row += 1
    if len(pictures) < 2:
        raise UserError(
            f"{len(pictures)} of {row} rows can be read, and measuring takes two at least; check "
            "the data."
        )
    return Pairs(pictures, [texts[0] for texts in references], references, unreadable)


@torch.no_grad()
def measure_pairs(pipe: BidirectionalPipeline, pairs: Pairs) -> PairReport:
    """All figures; the other candidates of a row are chosen by lot, the same every time."""
    pixels = torch.stack([to_pixels(picture, pipe.picture_size) for picture in pairs.pictures])
    batches = pixels.to(pipe.transformer.device).split(PICTURES_AT_ONCE)
    ids = torch.cat([pipe.tokenizer.encode_to_ids(batch) for batch in batches])
    again = torch.cat([pipe.tokenizer.decode_ids(part) for part in ids.split(PICTURES_AT_ONCE)])
    error = (again.float().cpu() - pixels).square().mean(dim=(1, 2, 3)).clamp(min=1e-12)
    texts = encode_captions(pipe, pairs.captions)
    candidates = draw_candidates(pairs.captions)
    own = torch.arange(len(ids))[:, None].expand_as(candidates)
    with tqdm(total=2 * own.numel(), desc="measuring", unit="pair", file=sys.stderr) as progress:

        def score(nll: Callable, pictures: Tensor, captions: Tensor) -> Tensor:
            """Summed nats of pairs of numbers, both [batch, candidates]."""
            parts = []
            for rows in torch.stack([pictures.flatten(), captions.flatten()], 1).split(
                PICTURES_AT_ONCE
            ):
                batch = {name: tensor[rows[:, 1]] for name, tensor in texts.items()}
                batch["image_ids"] = ids[rows[:, 0]]
                parts.append(nll(pipe.transformer, batch, pipe.transformer.config).sum(1).cpu())
                progress.update(len(rows))
            return torch.cat(parts).view(pictures.shape)

        image_nll_of_captions = score(image_nll, own, candidates)
        caption_nll_of_pictures = score(caption_nll, candidates, own)
    said = pipe.caption_images(pairs.pictures)
    tokens = (texts["text_length"] - 1).sum().item()
    return PairReport(
        reconstruction_psnr=(10 * (4 / error).log10()).mean().item(),
        codes_used=ids.unique().numel(),
        image_nats=image_nll_of_captions[:, 0].mean().item() / math.prod(ids.shape[1:]),
        caption_nats=caption_nll_of_pictures[:, 0].sum().item() / tokens,
        caption_found=(image_nll_of_captions.argmin(1) == 0).float().mean().item(),
        picture_found=(caption_nll_of_pictures.argmin(1) == 0).float().mean().item(),
        captions_exact=sum(map(list.__contains__, pairs.references, said)) / len(said),
        candidates=candidates.shape[1],
        pairs=len(said),
        unreadable=pairs.unreadable,
    )


def encode_captions(pipe: BidirectionalPipeline, captions: list[str]) -> dict[str, Tensor]:
    """Captions as a batch that the losses take; too long ones are cut, as in training."""
    positions = pipe.transformer.config.text_positions
    encoded = [pipe.codec.encode_caption(caption, positions).ids for caption in captions]
    ids = torch.full((len(encoded), max(map(len, encoded))), pipe.codec.pad_id)
    for row, text in zip(ids, encoded, strict=True):
        row[: len(text)] = torch.tensor(text)
    batch = {
        "text_ids": ids,
        "text_length": torch.tensor([len(text) for text in encoded]),
        "caption_dropped": torch.zeros(len(encoded), dtype=torch.bool),
    }
    return {name: tensor.to(pipe.transformer.device) for name, tensor in batch.items()}


def draw_candidates(captions: list[str]) -> Tensor:
    """Row numbers [row, candidates]: each row's own first, then rows with other captions by lot;
    as many as every row can have, at most `CANDIDATES`."""
    commonest = Counter(captions).most_common(1)[0][1]
    others = min(CANDIDATES - 1, len(captions) - commonest)
    rng = np.random.default_rng(0)
    chosen = []
    for row, caption in enumerate(captions):
        order = rng.permutation(len(captions)).tolist()
        chosen.append([row, *[other for other in order if captions[other] != caption][:others]])
    return torch.tensor(chosen)


def show_pairs(pipe: BidirectionalPipeline, pairs: Pairs) -> list[Drawn]:
    """Every n-th pair: its picture with what is said of it, then one drawn from its caption."""
    chosen = range(0, len(pairs.captions), max(1, 2 * len(pairs.captions) // SHOWN))[: SHOWN // 2]
    prompts = [pairs.captions[index] for index in chosen]
    given = [Image.fromarray(pairs.pictures[index]) for index in chosen]
    made = pipe.generate_images(prompts, seed=range(len(prompts)))
    said = iter(pipe.caption_images([*given, *made]))
    shown = [
        Drawn(f"given: {prompt}", image, next(said))
        for prompt, image in zip(prompts, given, strict=True)
    ]
    made_of = [
        Drawn(prompt, image, next(said)) for prompt, image in zip(prompts, made, strict=True)
    ]
    return [drawn for pair in zip(shown, made_of, strict=True) for drawn in pair]
