"""Pictures while they are drawn: what is known of them, and how it looks."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import rearrange, repeat
from PIL import Image
from torch import Tensor

from pipelines.data.transforms import to_image
from vq import VQGAN

UNKNOWN = 0.8
"""The light grey of what is not drawn yet, a pixel's value in [-1, 1]."""


@dataclass(frozen=True)
class Sketch:
    """Pictures that are drawn together, those of one prompt side by side; of each, where it is the
    best of several candidates, the first one.

    Attributes:
        ids: [picture, h, w].
        known: [picture], how many ids of each are final, in raster order; the others are guesses.
        share: from 0 to 1, how many ids of all candidates are final.
    """

    ids: Tensor
    known: Tensor
    share: float


class Sketches:
    """Shows pictures on the way, whose candidates are drawn in parts."""

    def __init__(
        self,
        watch: Callable[[Sketch], None] | None,
        count: tuple[int, int],
        rerank: int,
        grid: tuple[int, int],
    ) -> None:
        """`count` are the prompts, and the candidates of each, `rerank` of which make a picture;
        `watch` None shows nothing."""
        self._watch, self._rerank = watch, rerank
        self._ids = torch.zeros(*count, *grid, dtype=torch.long)
        self._known = torch.zeros(count, dtype=torch.long)

    def of_part(self, candidates: range) -> Callable[[Tensor, Tensor], None]:
        """What `generate_image_ids` calls on its way with some candidates of every prompt."""
        some = slice(candidates.start, candidates.stop)

        def watch(ids: Tensor, known: Tensor) -> None:
            if self._watch is None:
                return
            apart = "(prompt k) ... -> prompt k ..."
            self._ids[:, some] = rearrange(ids, apart, k=len(candidates)).cpu()
            self._known[:, some] = rearrange(known, apart, k=len(candidates)).cpu()
            self._watch(self._sketch())

        return watch

    def _sketch(self) -> Sketch:
        together = "prompt k ... -> (prompt k) ..."
        # Copies: the next pass writes over these.
        ids, known = (t[:, :: self._rerank].clone() for t in (self._ids, self._known))
        return Sketch(
            rearrange(ids, together),
            rearrange(known, together),
            int(self._known.sum()) / self._ids.numel(),
        )


@torch.no_grad()
def paint_sketch(sketch: Sketch, tokenizer: VQGAN) -> list[Image.Image]:
    """The pictures of its ids, grey where an id is not known."""
    height, width = sketch.ids.shape[1:]
    device = next(tokenizer.parameters()).device
    pixels = tokenizer.decode_ids(sketch.ids.to(device)).cpu()
    known = torch.arange(height * width) < sketch.known[:, None]
    squares = repeat(
        known,
        "picture (h w) -> picture 1 (h a) (w b)",
        h=height,
        a=tokenizer.downsampling_factor,
        b=tokenizer.downsampling_factor,
    )
    return [to_image(one) for one in torch.where(squares, pixels, UNKNOWN)]
