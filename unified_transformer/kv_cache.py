"""Keys and values of all positions so far, and which of them one new position reads."""

from functools import lru_cache

import torch
from torch import Tensor

from unified_transformer.attention.kernel import attend
from unified_transformer.attention.patterns import image_mask
from unified_transformer.blocks import Attention
from unified_transformer.config import UnifiedTransformerConfig


@lru_cache(maxsize=16)
def visible_image_indices(pattern: str, height: int, width: int) -> tuple[Tensor, ...]:
    """For each raster index the indices that it sees as target: at most w + 1, h or 61 of them."""
    return tuple(seen.nonzero()[:, 0] for seen in image_mask(pattern, height, width, False))


class KeyValueCache:
    """Static storage in the physical order: `text_positions` slots, [BOI], the image.

    `keys` and `values` hold one [batch, heads, position, dim] tensor per layer. `real_text`,
    boolean [batch, text_positions], is False where a prompt is padded.
    """

    def __init__(
        self, config: UnifiedTransformerConfig, real_text: Tensor, dtype: torch.dtype
    ) -> None:
        self.config = config
        self.text_positions = real_text.shape[1]
        self.real_text = real_text
        heads = config.num_attention_heads
        shape = (
            real_text.shape[0],
            heads,
            self.text_positions + 1 + config.image_positions,
            config.hidden_size // heads,
        )
        layers = range(config.num_hidden_layers)
        self.keys = [torch.zeros(shape, dtype=dtype, device=real_text.device) for _ in layers]
        self.values = [torch.zeros_like(key) for key in self.keys]

    def write(self, layer: int, first: int, key: Tensor, value: Tensor) -> None:
        """Store key and value [batch, heads, length, dim] from position `first` on."""
        last = first + key.shape[2]
        self.keys[layer][:, :, first:last] = key
        self.values[layer][:, :, first:last] = value

    def repeat(self, times: int) -> "KeyValueCache":
        """The cache of `times` copies of every row, neighbours: row i becomes i * times and on."""
        copy = object.__new__(KeyValueCache)
        copy.config, copy.text_positions = self.config, self.text_positions
        copy.real_text = self.real_text.repeat_interleave(times, 0)
        copy.keys = [key.repeat_interleave(times, 0) for key in self.keys]
        copy.values = [value.repeat_interleave(times, 0) for value in self.values]
        return copy

    def select(self, rows: Tensor, length: int) -> None:
        """Give row i the first `length` positions of row `rows[i]`, in place (beam search)."""
        for stored in (*self.keys, *self.values):
            stored[:, :, :length] = stored[rows, :, :length]

    def image_step(self, index: int, layer: int, pattern: str) -> Attention:
        """Attention of the new image position `index` as target: text, [BOI], and its pattern."""
        seen = visible_image_indices(pattern, *self.config.grid)[index].to(self.real_text.device)
        first = self.text_positions + 1
        prefix = torch.arange(first, device=seen.device)
        positions = torch.cat([prefix, first + seen])
        always = self.real_text.new_ones(len(self.real_text), 1 + len(seen))
        mask = torch.cat([self.real_text, always], dim=1)[:, None, None]

        return self._step(layer, first + index, positions, mask)

    def text_step(self, position: int, layer: int, pattern: str) -> Attention:
        """Attention of the new text position as target: the image, and the text up to itself,
        whatever the pattern."""
        image = torch.arange(self.text_positions, self.keys[layer].shape[2])
        text = torch.arange(position + 1)
        positions = torch.cat([text, image]).to(self.real_text.device)
        mask = torch.ones(1, 1, 1, len(positions), dtype=torch.bool, device=positions.device)

        return self._step(layer, position, positions, mask)

    def _step(self, layer: int, new: int, positions: Tensor, mask: Tensor) -> Attention:
        """Attention that stores the position `new` and reads `positions` [key] under `mask`."""

        def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            self.write(layer, new, key, value)
            keys = self.keys[layer].index_select(2, positions)
            values = self.values[layer].index_select(2, positions)
            return attend(query, keys, values, mask)

        return attention
