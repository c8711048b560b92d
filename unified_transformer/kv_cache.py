"""Keys and values of all positions so far, and which of them new positions read.

Static storage and static shapes: a step does the same work wherever in the picture it is, so that
it can be compiled or captured in a CUDA graph.
"""

from collections.abc import Callable
from functools import cached_property, lru_cache

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from unified_transformer.attention.kernel import as_bias, attend
from unified_transformer.attention.lines import Lines
from unified_transformer.blocks import Attention, Block
from unified_transformer.config import UnifiedTransformerConfig


@lru_cache(maxsize=16)
def seen_by_each(pattern: str, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Which image positions each image position sees as target: at most w + 1, h or 61.

    Returns (raster indices [n, most], boolean [n, most]: whether an entry counts).
    """
    lines = Lines(pattern, height, width, two_sided=False)
    raster = lines.of(torch.arange(height * width)[None, :, None])
    found = []
    for block in lines.blocks():
        keys, mask = block.keys(raster).flatten(), block.mask()
        for row, query in enumerate(block.queries(raster).flatten().tolist()):
            found.append((query, keys if mask is None else keys[mask[row]]))
    most = max(len(visible) for _, visible in found)
    indices = torch.zeros(height * width, most, dtype=torch.long)
    counts = torch.zeros(height * width, most, dtype=torch.bool)
    for query, visible in found:
        indices[query, : len(visible)] = visible
        counts[query, : len(visible)] = True
    return indices, counts


class KeyValueCache:
    """Static storage in the physical order: `text_positions` slots, [BOI], the image.

    `layers` holds one [2, batch, heads, position, dim] tensor, keys and values, per layer.
    `real_text`, boolean [batch, text_positions], is False where a prompt is padded.
    """

    def __init__(
        self, config: UnifiedTransformerConfig, real_text: Tensor, dtype: torch.dtype
    ) -> None:
        self.config = config
        self.real_text = real_text
        heads = config.num_attention_heads
        shape = (
            2,
            real_text.shape[0],
            heads,
            real_text.shape[1] + 1 + config.image_positions,
            config.hidden_size // heads,
        )
        number = config.num_hidden_layers
        self.layers = [
            torch.zeros(shape, dtype=dtype, device=real_text.device) for _ in range(number)
        ]

    @property
    def text_positions(self) -> int:
        """How many slots come before [BOI]."""
        return self.real_text.shape[1]

    @cached_property
    def starts(self) -> Tensor:
        """Where in a layer's flat storage [2 * batch * heads * position, dim] each head's positions
        begin, of keys and of values: [2, batch, heads]."""
        _, batch, heads, positions, _ = self.layers[0].shape
        rows = torch.arange(2 * batch * heads, device=self.real_text.device)
        return rearrange(rows * positions, "(two b h) -> two b h", two=2, b=batch)

    def write(self, layer: int, first: int, key: Tensor, value: Tensor) -> None:
        """Store key and value [batch, heads, length, dim] from position `first` on."""
        self.layers[layer][:, :, :, first : first + key.shape[2]] = torch.stack([key, value])

    def repeat(self, times: int) -> "KeyValueCache":
        """The cache of `times` copies of every row, neighbours: row i becomes i * times and on."""
        copy = object.__new__(KeyValueCache)
        copy.config = self.config
        copy.real_text = self.real_text.repeat_interleave(times, 0)
        copy.layers = [stored.repeat_interleave(times, 1) for stored in self.layers]
        return copy

    def select(self, rows: Tensor, length: int) -> None:
        """Give row i the first `length` positions of row `rows[i]`, in place (beam search)."""
        for stored in self.layers:
            stored[:, :, :, :length] = stored[:, rows, :, :length]


class TextStep:
    """How a new target text position, in each row at its own of `places` [batch], attends,
    whatever the pattern: to the image, and to the text up to itself."""

    def __init__(self, cache: KeyValueCache, places: Tensor) -> None:
        self.cache = cache
        self.written = (cache.starts + places[:, None]).flatten()
        position = torch.arange(cache.layers[0].shape[3], device=places.device)
        seen = (position <= places[:, None]) | (position >= cache.text_positions)
        self.mask = rearrange(seen, "b key -> b 1 1 key")

    def __call__(self, block: Block) -> Attention:
        stored = self.cache.layers[block.layer]

        def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            new = torch.stack([key, value]).flatten(0, 3)
            stored.flatten(0, 3).index_copy_(0, self.written, new)
            return attend(query, stored[0], stored[1], self.mask)

        return attention


class ImageSteps:
    """How new image positions attend as targets: to the text, [BOI], and what their pattern sees.

    What a layer reads is gathered, so that its cost does not depend on how many positions there
    are. All that does not depend on the places of a step is worked out once.
    """

    def __init__(self, cache: KeyValueCache) -> None:
        self.cache = cache
        self.prefix = cache.text_positions + 1
        self.flat = [rearrange(stored, "two b h s d -> (two b h s) d") for stored in cache.layers]
        device, dtype = cache.real_text.device, cache.layers[0].dtype
        self.starts = cache.starts[..., None] + self.prefix  # of the image
        boi = cache.real_text.new_ones(len(cache.real_text), 1)
        self.real = torch.cat([cache.real_text, boi], dim=1)[:, None, None]
        self.prefix_bias = None if self.real.all() else as_bias(self.real, dtype)
        self.seen = {}
        for pattern in set(cache.config.layer_patterns) - {"dense"}:
            indices, counts = seen_by_each(pattern, *cache.config.grid)
            self.seen[pattern] = indices.to(device), as_bias(counts, dtype).to(device)

    def at(self, places: Tensor) -> Callable[[Block], Attention]:
        """A step at the raster indices `places` [batch, new], of each row its own."""
        written = (self.starts + places[:, None]).flatten()
        reads = {pattern: self.reads(pattern, places) for pattern in self.seen}
        patterns = self.cache.config.layer_patterns
        dense_mask = self.dense_mask(places) if "dense" in patterns else None

        def attention_of(block: Block) -> Attention:
            flat, stored = self.flat[block.layer], self.cache.layers[block.layer]

            def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
                flat.index_copy_(0, written, torch.stack([key, value]).flatten(0, 3))
                if block.pattern == "dense":
                    assert dense_mask is not None
                    return attend(query, stored[0], stored[1], dense_mask)
                rows, bias = reads[block.pattern]
                return self.attend(query, stored, F.embedding(rows, flat), bias)

            return attention

        return attention_of

    def reads(self, pattern: str, places: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of the flat storage [2, batch, heads, new, most], and the bias
        [batch, 1, new, most] that hides those that do not count."""
        indices, bias = self.seen[pattern]
        return self.starts[..., None] + indices[places][:, None], bias[places][:, None]

    def attend(self, query: Tensor, stored: Tensor, seen: Tensor, bias: Tensor) -> Tensor:
        """One softmax over the prefix, shared by all new positions, and what each sees by itself:
        `seen` [2, batch, heads, new, most, dim], hidden by `bias` [batch, 1, new, most]."""
        query = query * query.shape[-1] ** -0.5
        to_prefix = query @ stored[0, :, :, : self.prefix].mT
        if self.prefix_bias is not None:
            to_prefix = to_prefix + self.prefix_bias
        to_seen = (query[:, :, :, None] @ seen[0].mT)[:, :, :, 0] + bias
        weights = torch.cat([to_prefix, to_seen], dim=-1).softmax(dim=-1)
        own = weights[:, :, :, None, self.prefix :] @ seen[1]
        return own[:, :, :, 0] + weights[..., : self.prefix] @ stored[1, :, :, : self.prefix]

    def dense_mask(self, places: Tensor) -> Tensor:
        """Boolean [batch, 1, new, position] over the whole storage."""
        index = torch.arange(self.cache.config.image_positions, device=places.device)
        own = (index <= places[..., None])[:, None]
        return torch.cat([self.real.expand(-1, -1, own.shape[2], -1), own], dim=-1)
