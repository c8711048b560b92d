"""One transformer for both directions."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from einops import rearrange
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init  # leaves alone what was loaded
from transformers.utils import ModelOutput

from unified_transformer.attention import AUTO, IMPLEMENTATIONS, choose_implementation
from unified_transformer.blocks import Attention, Block, ResidualLinear
from unified_transformer.config import UnifiedTransformerConfig
from unified_transformer.embeddings import Placed, SequenceEmbeddings
from unified_transformer.head import OutputHead
from unified_transformer.rotary import sinusoids
from unified_transformer.sequence import DIRECTIONS, Direction, Sequence, build_sequence


@dataclass
class UnifiedTransformerOutput(ModelOutput):
    """What one direction gives; the rest is None.

    `image_logits` [batch, n, image vocabulary]: entry k predicts z_{k+1}, the first from [BOI].
    `text_logits` [batch, T - 1, text vocabulary]: entry t predicts text token t + 1.
    `loss`, instead of logits: the sum over targets of their weights * nats; `nats` [batch, target]
    are without gradient.
    `hidden` [batch, T + 1 + n, dim], of every position, after the final norm.
    """

    loss: Tensor | None = None
    nats: Tensor | None = None
    image_logits: Tensor | None = None
    text_logits: Tensor | None = None
    hidden: Tensor | None = None


class UnifiedTransformer(PreTrainedModel):
    """Models text ids given image ids and image ids given text ids, with one set of weights.

    Source: ERNIE-ViLG (2112.15283, section 3), with the sparse attention of DALL-E (2102.12092).
    """

    config_class = UnifiedTransformerConfig
    config: UnifiedTransformerConfig
    base_model_prefix = "transformer"
    main_input_name = "text_ids"

    def __init__(self, config: UnifiedTransformerConfig) -> None:
        super().__init__(config)
        self.embeddings = SequenceEmbeddings(config)
        self.blocks = nn.ModuleList(Block(config, i) for i in range(config.num_hidden_layers))
        self.final_norm = nn.LayerNorm(config.hidden_size, bias=False)
        self.image_head = OutputHead(config.hidden_size, config.image_vocab_size)
        self.text_head = OutputHead(config.hidden_size, config.text_vocab_size)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Normal weights; the layers that write to the residual stream start smaller by
        1 / sqrt(2 L), so that its variance does not grow with the depth (GPT-2, section 2.3).
        Position embeddings start as sinusoids of the same variance."""
        std = self.config.initializer_range
        if isinstance(module, ResidualLinear):
            init.normal_(module.weight, std=std * (2 * self.config.num_hidden_layers) ** -0.5)
        elif isinstance(module, nn.Linear | nn.Embedding):
            init.normal_(module.weight, std=std)
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
        elif isinstance(module, SequenceEmbeddings):
            init.normal_(module.begin_of_image, std=std)
            init.normal_(module.begin_of_image_position, std=std)
            for places in (module.text_positions, module.image_rows, module.image_columns):
                init.copy_(places.weight, std * sinusoids(*places.weight.shape))

    def forward(
        self,
        text_ids: Tensor,
        text_length: Tensor,
        image_ids: Tensor,
        direction: Direction,
        loss_weight: Tensor | None = None,
        hidden_only: bool = False,
        question_length: Tensor | None = None,
    ) -> UnifiedTransformerOutput:
        """Teacher-forced pass.

        `text_ids` [batch, T] starts with [CLS] as source and with [BOS] as target, and is padded
        after [SEP]; `text_length` [batch] counts its real tokens; `image_ids` [batch, h, w]. Of
        `[CLS] question [SEP] [BOS] answer [SEP]` the first `question_length` [batch] tokens are
        source beside the image.
        With `loss_weight`, one for each target ([batch, n] or [batch, T - 1]), the output is the
        loss, and all the logits are never there at once; without, the logits; neither where the
        hidden states are all that is wanted (`hidden_only`).
        Raises ValueError where T or the grid is not one the model was made for.
        """
        self._check(text_ids, image_ids, direction)
        sequence = build_sequence(
            text_length, text_ids.shape[1], self.config.grid, direction, question_length
        )
        embedded = self.embeddings(
            self.embeddings.text(text_ids),
            self.embeddings.begin(len(text_ids)),
            self.embeddings.image(rearrange(image_ids, "b h w -> b (h w)")),
        )
        hidden = self.run_blocks(embedded, lambda block: self.attention(sequence, block.pattern))
        if hidden_only:
            return UnifiedTransformerOutput(hidden=hidden)
        image = sequence.image_slice
        if direction == "text_to_image":
            predicting, head = hidden[:, image.start - 1 : image.stop - 1], self.image_head
            target, kind = rearrange(image_ids, "b h w -> b (h w)"), "image_logits"
        else:
            predicting, head = hidden[:, : text_ids.shape[1] - 1], self.text_head
            target, kind = text_ids[:, 1:], "text_logits"
        if loss_weight is None:
            return UnifiedTransformerOutput(hidden=hidden, **{kind: head(predicting)})
        loss, nats = head(predicting, target, loss_weight)
        return UnifiedTransformerOutput(loss=loss, nats=nats, hidden=hidden)

    def run_blocks(self, embedded: Placed, attention_of: Callable[[Block], Attention]) -> Tensor:
        """All blocks and the final norm; `attention_of` gives each block's way to attend."""
        x = embedded.vectors
        for block in self.blocks:
            assert isinstance(block, Block)
            x = block(x, embedded.turns, attention_of(block))
        return self.final_norm(x)

    def attention(self, sequence: Sequence, pattern: str) -> Attention:
        """How a teacher-forced pass attends in a layer of `pattern`."""
        name = self.config.attention_implementation
        if name == AUTO:
            name = choose_implementation(self.device, sequence.grid[0] * sequence.grid[1])
        dropout = self.config.dropout if self.training else 0.0
        return partial(IMPLEMENTATIONS[name], sequence=sequence, pattern=pattern, dropout=dropout)

    def _check(self, text_ids: Tensor, image_ids: Tensor, direction: str) -> None:
        if direction not in DIRECTIONS:
            raise ValueError(f"direction {direction!r} is not one of " + ", ".join(DIRECTIONS))
        if text_ids.shape[1] > self.config.text_positions:
            raise ValueError(
                f"{text_ids.shape[1]} text positions, but the model has "
                f"{self.config.text_positions}; shorten the text"
            )
        if tuple(image_ids.shape[1:]) != self.config.grid:
            raise ValueError(
                f"a grid of {' x '.join(map(str, image_ids.shape[1:]))} ids, but the model was "
                f"made for {self.config.grid_height} x {self.config.grid_width}"
            )
