"""How pictures are drawn of prompts, candidates and their choice included."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

import torch
from einops import rearrange
from PIL import Image
from torch import Tensor

from pipelines.command_line import UserError, check_seed
from pipelines.data.text_tokenizer import EncodedText, TextCodec
from pipelines.data.transforms import Picture, to_image
from pipelines.sketches import Sketch, Sketches
from unified_transformer import (
    Drawings,
    HiddenState,
    Reconstructor,
    SamplingSettings,
    UnifiedTransformer,
    generate_image_ids,
    score_captions,
)
from vq import VQGAN, pictures_at_once

PICTURES_AT_ONCE = 128
"""Sequences decoded together, both branches of guidance counted: larger gains little on a CPU."""

DecoderName = Literal["codebook", "hidden"]


class Matcher(Protocol):
    """Tells how well pictures and texts match: [n], more is better."""

    def scores(self, pictures: Sequence[Picture], texts: Sequence[str]) -> Tensor: ...


@dataclass(frozen=True)
class DrawingSettings:
    """What may be asked of a drawing besides prompts and seeds.

    Attributes:
        num_images: pictures of each prompt.
        rerank: each picture is the best of so many candidates: the one that makes its prompt
            likeliest (the other direction of the same weights), or by
        matcher: whose scores decide then.
        window: how many ids a pass of the model tries at once, which changes the speed and no
            picture; None is what is fastest where that was measured.
        decoder: what paints: `codebook`, the tokenizer from ids, or `hidden`, the reconstructor of
            end-to-end training from hidden states.
        complete: a picture whose first `keep_rows` rows of ids are kept, and the rest drawn.
        keep_rows: of the grid of ids.
        sampling: temperature and so on.
    """

    num_images: int = 1
    rerank: int = 1
    matcher: Matcher | None = None
    window: int | None = None
    decoder: DecoderName = "codebook"
    complete: Picture | None = None
    keep_rows: int = 0
    sampling: SamplingSettings = field(default_factory=SamplingSettings)

    def __post_init__(self) -> None:
        if self.num_images < 1 or self.rerank < 1:
            raise UserError("num_images and rerank must be at least 1.")
        if self.window is not None and self.window < 1:
            raise UserError(f"window is {self.window}; it must be at least 1.")
        if self.decoder not in ("codebook", "hidden"):
            raise UserError(f"decoder is {self.decoder!r}; it must be codebook or hidden.")
        if self.matcher is not None and self.rerank == 1:
            raise UserError("a matcher chooses among candidates; give rerank a number above 1.")
        if self.complete is None and self.keep_rows:
            raise UserError("keep_rows is of a picture to complete; give one.")

    @property
    def candidates(self) -> int:
        """Of each prompt."""
        return self.num_images * self.rerank

    @property
    def said(self) -> dict[str, Any]:
        """What is written down of every picture; what it completes, only who asked knows."""
        return {**asdict(self.sampling), "rerank": self.rerank, "decoder": self.decoder}

    @property
    def sequences(self) -> int:
        """That are decoded for each prompt."""
        return self.candidates * self.sampling.branches

    def check_seeds(self, seeds: Sequence[int]) -> None:
        """Raises UserError where a seed, or the last one that follows from it, is out of range."""
        for seed in seeds:
            check_seed(seed)
            check_seed(seed + self.candidates - 1)


@dataclass
class Artist:
    """Draws with the parts of a checkpoint."""

    transformer: UnifiedTransformer
    tokenizer: VQGAN
    codec: TextCodec
    reconstructor: Reconstructor | None = None
    compiled: bool = False

    @torch.no_grad()
    def draw(
        self,
        prompts: list[EncodedText],
        texts: Sequence[str],
        seeds: Sequence[int],
        settings: DrawingSettings,
        given: Tensor | None = None,
        watch: Callable[[Sketch], None] | None = None,
    ) -> list[Image.Image]:
        """Pictures of prompts (`texts` as encoded), those of one prompt side by side; `given`
        [1, keep_rows, w] are the first rows of ids of all. `watch` is shown them on the way."""
        positions = self.transformer.config.text_positions
        text_ids, text_length = self.codec.pad(prompts, positions)
        text_ids, text_length = (t.to(self.transformer.device) for t in (text_ids, text_length))
        at_once = max(1, PICTURES_AT_ONCE // (len(prompts) * settings.sampling.branches))
        grid = self.transformer.config.grid
        sketches = Sketches(watch, (len(prompts), settings.candidates), settings.rerank, grid)
        drawn, scores = [], []
        for first in range(0, settings.candidates, at_once):
            some = range(first, min(first + at_once, settings.candidates))
            found = generate_image_ids(
                self.transformer,
                text_ids,
                text_length,
                [[seed + k for k in some] for seed in seeds],
                settings.sampling,
                settings.window,
                sketches.of_part(some),
                compiled=self.compiled,
                given=None if given is None else given.expand(len(prompts), -1, -1),
                hidden_state=self._hidden_state(settings),
            )
            drawn.append(found)
            if settings.rerank > 1:
                found_scores = self._scores(found, text_ids, text_length, texts, settings)
                scores.append(rearrange(found_scores, "(prompt k) -> prompt k", k=len(some)))
        drawings = side_by_side(drawn, len(prompts))
        if settings.rerank > 1:
            drawings = best_of(drawings, torch.cat(scores, dim=1), settings.rerank)
        return self.paint(drawings, settings.decoder, settings.keep_rows)

    @torch.no_grad()
    def paint(
        self, drawings: Drawings, decoder: DecoderName, keep_rows: int = 0
    ) -> list[Image.Image]:
        """The pictures of ids, or of hidden states but for the first `keep_rows` rows of ids: what
        the model thinks of ids that were given is not what they look like."""
        factor = self.tokenizer.downsampling_factor
        if decoder == "codebook":
            return [to_image(pixels) for pixels in self.tokenizer.decode_ids(drawings.ids)]
        assert self.reconstructor is not None and drawings.hidden is not None
        parts = drawings.hidden.split(pictures_at_once(drawings.ids.shape[1:].numel() * factor**2))
        pixels = torch.cat([self.reconstructor(part).clamp(-1, 1) for part in parts])
        if keep_rows:
            kept = slice(0, keep_rows * factor)
            pixels[:, :, kept] = self.tokenizer.decode_ids(drawings.ids)[:, :, kept]
        return [to_image(one) for one in pixels]

    def _hidden_state(self, settings: DrawingSettings) -> HiddenState | None:
        if settings.decoder == "codebook":
            return None
        assert self.reconstructor is not None
        return self.reconstructor.config.hidden_state

    def _scores(
        self,
        drawings: Drawings,
        text_ids: Tensor,
        text_length: Tensor,
        texts: Sequence[str],
        settings: DrawingSettings,
    ) -> Tensor:
        """How well candidates [prompt * k] fit their prompts."""
        k = len(drawings.ids) // len(text_ids)
        if settings.matcher is not None:
            pictures = self.paint(drawings, settings.decoder, settings.keep_rows)
            repeated = [text for text in texts for _ in range(k)]
            return settings.matcher.scores(pictures, repeated).to(text_ids.device)
        repeats = (t.repeat_interleave(k, 0) for t in (text_ids, text_length))
        return score_captions(self.transformer, drawings.ids, *repeats)


def sequences_that_fit(transformer: UnifiedTransformer, most: int) -> int:
    """How many sequences, at most `most`, are decoded together: on a GPU their keys and values may
    take half of the memory that is free, and the other half is for what is computed."""
    if transformer.device.type != "cuda":
        return most
    config = transformer.config
    positions = config.text_positions + 1 + config.image_positions
    numbers = 2 * config.num_hidden_layers * config.hidden_size * positions
    free, _ = torch.cuda.mem_get_info(transformer.device)
    return max(1, min(most, free // 2 // (numbers * transformer.dtype.itemsize)))


def side_by_side(parts: list[Drawings], prompts: int) -> Drawings:
    """Parts with some candidates of every prompt each -> all candidates of one prompt together."""

    def joined(tensors: list[Tensor]) -> Tensor:
        apart = [rearrange(t, "(prompt k) ... -> prompt k ...", prompt=prompts) for t in tensors]
        return rearrange(torch.cat(apart, dim=1), "prompt k ... -> (prompt k) ...")

    hidden = [part.hidden for part in parts if part.hidden is not None]
    return Drawings(joined([part.ids for part in parts]), joined(hidden) if hidden else None)


def best_of(drawings: Drawings, scores: Tensor, rerank: int) -> Drawings:
    """Of each `rerank` neighbouring candidates [prompt * k] the one with the best of `scores`
    [prompt, k]."""
    best = rearrange(scores, "prompt (n k) -> (prompt n) k", k=rerank).argmax(dim=1)

    def chosen(candidates: Tensor) -> Tensor:
        each = rearrange(candidates, "(n k) ... -> n k ...", k=rerank)
        return each[torch.arange(len(each), device=each.device), best]

    hidden = None if drawings.hidden is None else chosen(drawings.hidden)
    return Drawings(chosen(drawings.ids), hidden)
