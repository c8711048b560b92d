"""From ids to vectors: tokens, positions and modalities."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from unified_transformer.config import UnifiedTransformerConfig
from unified_transformer.rotary import image_angles, text_angles, turned_pairs, turns


@dataclass(frozen=True)
class Placed:
    """`vectors` [batch, length, dim] and how their places turn queries and keys: cosines and sines
    `turns` [2, length, pairs], or [2, batch, 1, length, pairs] where rows stand at places of their
    own."""

    vectors: Tensor
    turns: Tensor


class SequenceEmbeddings(nn.Module):
    """Text ids, [BOI] and image ids as one sequence of vectors.

    Text positions have their own embeddings, image positions row + column embeddings (DALL-E,
    appendix B.1), [BOI] a vector and a position of its own; each modality adds a learned vector.
    The sum is normalised, as in BERT's code, which UniLM starts from: otherwise what the first
    block adds drowns it, and positions most of all.
    """

    def __init__(self, config: UnifiedTransformerConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.grid = config.grid
        self.pairs = turned_pairs(width // config.num_attention_heads)
        self.text_tokens = nn.Embedding(config.text_vocab_size, width)
        self.text_positions = nn.Embedding(config.text_positions, width)
        self.image_tokens = nn.Embedding(config.image_vocab_size, width)
        self.image_rows = nn.Embedding(config.grid_height, width)
        self.image_columns = nn.Embedding(config.grid_width, width)
        self.begin_of_image = nn.Parameter(torch.empty(width))
        self.begin_of_image_position = nn.Parameter(torch.empty(width))
        self.modalities = nn.Embedding(2, width)
        self.norm = nn.LayerNorm(width, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def text(self, ids: Tensor, places: Tensor | None = None) -> Placed:
        """Text ids [batch, length] at `places` [batch, length], the first ones unless given."""
        placed = self._turns(ids.device)
        if places is None:
            positions = self.text_positions.weight[: ids.shape[1]]
            placed = placed[:, : ids.shape[1]]
        else:
            positions = self.text_positions(places)
            placed = rearrange(placed[:, places], "two b s p -> two b 1 s p")
        return Placed(self.text_tokens(ids) + positions + self.modalities.weight[0], placed)

    def image(self, ids: Tensor, places: Tensor | None = None) -> Placed:
        """Image ids [batch, length] at the raster indices `places` [batch, length], the first ones
        unless given."""
        placed = self._turns(ids.device)[:, self._text_positions + 1 :]
        if places is None:
            grid = rearrange(self.image_rows.weight, "h d -> h 1 d") + self.image_columns.weight
            positions = rearrange(grid, "h w d -> (h w) d")[: ids.shape[1]]
            placed = placed[:, : ids.shape[1]]
        else:
            width = self.grid[1]
            positions = self.image_rows(places // width) + self.image_columns(places % width)
            placed = rearrange(placed[:, places], "two b s p -> two b 1 s p")
        return Placed(self.image_tokens(ids) + positions + self.modalities.weight[1], placed)

    def begin(self, batch: int) -> Placed:
        """[BOI], `batch` times."""
        vector = self.begin_of_image + self.begin_of_image_position + self.modalities.weight[1]
        places = slice(self._text_positions, self._text_positions + 1)
        return Placed(repeat(vector, "d -> b 1 d", b=batch), self._turns(vector.device)[:, places])

    def forward(self, *parts: Placed) -> Placed:
        """The parts one after the other, normalised."""
        if len(parts) == 1:
            return Placed(self.dropout(self.norm(parts[0].vectors)), parts[0].turns)
        vectors = torch.cat([part.vectors for part in parts], dim=1)
        return Placed(self.dropout(self.norm(vectors)), torch.cat([p.turns for p in parts], dim=1))

    @property
    def _text_positions(self) -> int:
        return self.text_positions.num_embeddings

    def _turns(self, device: torch.device) -> Tensor:
        return sequence_turns(self._text_positions, *self.grid, self.pairs, device)


@lru_cache(maxsize=16)
def sequence_turns(
    text_positions: int, height: int, width: int, pairs: int, device: torch.device
) -> Tensor:
    """Cosines and sines [2, T + 1 + n, pairs] in the physical order; [BOI] does not turn."""
    text = text_angles(text_positions, pairs)
    image = image_angles(height, width, pairs)
    return turns(torch.cat([text, torch.zeros_like(text[:1]), image])).to(device)
