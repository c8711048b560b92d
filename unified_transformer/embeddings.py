"""From ids to vectors: tokens, positions and modalities."""

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from unified_transformer.config import UnifiedTransformerConfig


class SequenceEmbeddings(nn.Module):
    """Text ids, [BOI] and image ids as one sequence of vectors.

    Text positions have their own embeddings, image positions row + column embeddings (DALL-E,
    appendix B.1), [BOI] a vector and a position of its own; each modality adds a learned vector.
    """

    def __init__(self, config: UnifiedTransformerConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.text_tokens = nn.Embedding(config.text_vocab_size, width)
        self.text_positions = nn.Embedding(config.text_positions, width)
        self.image_tokens = nn.Embedding(config.image_vocab_size, width)
        self.image_rows = nn.Embedding(config.grid_height, width)
        self.image_columns = nn.Embedding(config.grid_width, width)
        self.begin_of_image = nn.Parameter(torch.empty(width))
        self.begin_of_image_position = nn.Parameter(torch.empty(width))
        self.modalities = nn.Embedding(2, width)
        self.dropout = nn.Dropout(config.dropout)

    def text(self, ids: Tensor, first_position: int = 0) -> Tensor:
        """Text ids [batch, length], the first at `first_position` -> [batch, length, dim]."""
        last = first_position + ids.shape[1]
        positions = self.text_positions.weight[first_position:last]
        return self.text_tokens(ids) + positions + self.modalities.weight[0]

    def image(self, ids: Tensor, first_position: int = 0) -> Tensor:
        """Image ids [batch, length], the first at raster index `first_position`, likewise."""
        grid = rearrange(self.image_rows.weight, "h d -> h 1 d") + self.image_columns.weight
        positions = rearrange(grid, "h w d -> (h w) d")
        last = first_position + ids.shape[1]
        return self.image_tokens(ids) + positions[first_position:last] + self.modalities.weight[1]

    def begin(self, batch: int) -> Tensor:
        """[BOI], [batch, 1, dim]."""
        vector = self.begin_of_image + self.begin_of_image_position + self.modalities.weight[1]
        return repeat(vector, "d -> b 1 d", b=batch)

    def forward(self, text_ids: Tensor, image_ids: Tensor) -> Tensor:
        """Text ids [batch, T] and image ids [batch, n] -> [batch, T + 1 + n, dim]."""
        parts = [self.text(text_ids), self.begin(text_ids.shape[0]), self.image(image_ids)]
        return self.dropout(torch.cat(parts, dim=1))
