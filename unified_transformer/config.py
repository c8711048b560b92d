"""The shape a user chooses, and the full configuration that a checkpoint keeps."""

from dataclasses import asdict, dataclass

from transformers import PreTrainedConfig

from unified_transformer.attention import AUTO, IMPLEMENTATIONS
from unified_transformer.attention.patterns import default_layer_patterns, tile_layer_patterns


@dataclass
class TransformerShape:
    """The part of the configuration that is a choice; the rest follows from the two tokenizers.

    `layer_patterns` is tiled over the depth and taken literally; None is the default order of
    DALL-E (2102.12092, appendix B.1) and ERNIE-ViLG (2112.15283, section 3.3).
    `attention_implementation` is `dense`, `blockwise`, `flex` (CUDA; on a CPU without gradients) or
    `auto`, what suits device and grid.
    """

    hidden_size: int = 192
    num_hidden_layers: int = 4
    num_attention_heads: int = 3
    mlp_ratio: float = 4.0
    text_positions: int = 64
    layer_patterns: tuple[str, ...] | None = None
    attention_implementation: str = AUTO
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for name in ("hidden_size", "num_hidden_layers", "num_attention_heads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} does not divide by num_attention_heads "
                f"{self.num_attention_heads}; choose one that does"
            )
        if self.hidden_size // self.num_attention_heads % 8:
            raise ValueError(
                f"hidden_size {self.hidden_size} over num_attention_heads "
                f"{self.num_attention_heads} must divide by 8, for rotary rows and columns"
            )
        if self.text_positions < 4:
            raise ValueError(f"text_positions is {self.text_positions}; it must be at least 4")
        if self.mlp_ratio <= 0:
            raise ValueError(f"mlp_ratio is {self.mlp_ratio}; it must be above 0")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; it must be in [0, 1)")
        if self.attention_implementation not in (AUTO, *IMPLEMENTATIONS):
            raise ValueError(
                f"attention_implementation {self.attention_implementation!r} is not one of "
                + ", ".join((AUTO, *IMPLEMENTATIONS))
            )
        self.patterns()  # refuses what cannot be tiled

    def patterns(self) -> tuple[str, ...]:
        """The pattern of every layer, first to last."""
        if self.layer_patterns is None:
            return default_layer_patterns(self.num_hidden_layers)
        return tile_layer_patterns(tuple(self.layer_patterns), self.num_hidden_layers)


class UnifiedTransformerConfig(PreTrainedConfig):
    """`TransformerShape` plus vocabularies, grid and special ids: all that `from_pretrained` needs.

    `grid_height` x `grid_width` is the grid of image ids, `image_vocab_size` the codebook's size.
    The special ids are those of the text tokenizer; a caption ends at `sep_token_id`, and
    `pad_token_id`, `cls_token_id`, `bos_token_id` and, where there is one, `unk_token_id` are never
    generated.
    """

    model_type = "drawscribe_unified_transformer"

    def __init__(
        self,
        text_vocab_size: int = 1000,
        image_vocab_size: int = 512,
        grid_height: int = 8,
        grid_width: int = 8,
        pad_token_id: int = 0,
        cls_token_id: int = 2,
        sep_token_id: int = 3,
        bos_token_id: int = 4,
        unk_token_id: int | None = None,
        initializer_range: float = 0.02,
        hidden_size: int = 192,
        num_hidden_layers: int = 4,
        num_attention_heads: int = 3,
        mlp_ratio: float = 4.0,
        text_positions: int = 64,
        layer_patterns: tuple[str, ...] | list[str] | None = None,
        attention_implementation: str = AUTO,
        dropout: float = 0.0,
        **kwargs,
    ) -> None:
        shape = TransformerShape(
            hidden_size=hidden_size,
            num_hidden_layers=num_hidden_layers,
            num_attention_heads=num_attention_heads,
            mlp_ratio=mlp_ratio,
            text_positions=text_positions,
            layer_patterns=None if layer_patterns is None else tuple(layer_patterns),
            attention_implementation=attention_implementation,
            dropout=dropout,
        )
        for name, value in asdict(shape).items():
            setattr(self, name, value)
        self.layer_patterns = list(shape.patterns())
        self.text_vocab_size = text_vocab_size
        self.image_vocab_size = image_vocab_size
        self.grid_height = grid_height
        self.grid_width = grid_width
        self.pad_token_id = pad_token_id
        self.bos_token_id = bos_token_id
        self.cls_token_id = cls_token_id
        self.sep_token_id = sep_token_id
        self.unk_token_id = unk_token_id
        self.initializer_range = initializer_range
        super().__init__(**kwargs)

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of the grid of image ids."""
        return self.grid_height, self.grid_width

    @property
    def image_positions(self) -> int:
        """n = h * w."""
        return self.grid_height * self.grid_width
