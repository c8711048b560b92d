"""The dual encoders that are trained here: a small ResNet, and a small BERT or a network that
reads characters, into one space."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from transformers import (
    BertConfig,
    PreTrainedConfig,
    PreTrainedModel,
    ResNetConfig,
    ResNetModel,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
)

from gan import ALPHABET, CharacterConfig, CharacterEncoder
from pipelines.data.text_tokenizer import TextCodec

CHARACTERS = 201
"""Of a text (Reed et al., 1605.05396, as in the authors' code)."""


@dataclass(frozen=True)
class DualEncoderShape:
    """A ResNet of basic blocks (He et al., 1512.03385) and a BERT (Devlin et al., 1810.04805), or
    the character encoder of Reed et al. (1605.05396).

    Args:
        text_encoder: `bert`, of which `text_layers`, `text_heads`, `text_positions` and `dropout`
            are; or `characters`, which reads 201 of them, with convolutions of
        character_channels: and a recurrence of `text_hidden_size`.
        vision_hidden_sizes: channels of each stage (and of the stem, those of the first); the
            picture's sides are divided by 4 before the first and by 2 before each other one.
        vision_depths: blocks of each stage.
        text_positions: the most ids of a caption, [CLS] and [SEP] included; longer ones are cut.
        projection_dim: of the common space. A Fréchet distance needs more pictures than that.
        dropout: in the text tower, while training.
    """

    text_encoder: Literal["bert", "characters"] = "bert"
    character_channels: tuple[int, int] = (384, 512)
    vision_hidden_sizes: tuple[int, ...] = (32, 64, 128, 256)
    vision_depths: tuple[int, ...] = (2, 2, 2, 2)
    text_hidden_size: int = 128
    text_layers: int = 2
    text_heads: int = 4
    text_positions: int = 48
    projection_dim: int = 64
    dropout: float = 0.1

    def __post_init__(self) -> None:
        for name in ("text_hidden_size", "text_layers", "text_heads", "projection_dim"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 1 or more.")
        if len(self.vision_hidden_sizes) != len(self.vision_depths):
            raise ValueError(
                f"vision_hidden_sizes has {len(self.vision_hidden_sizes)} stages and vision_depths "
                f"{len(self.vision_depths)}; give both one number a stage."
            )
        if min((*self.vision_hidden_sizes, *self.vision_depths), default=0) < 1:
            raise ValueError("vision_hidden_sizes and vision_depths must all be 1 or more.")
        if self.text_hidden_size % self.text_heads:
            raise ValueError(
                f"text_hidden_size is {self.text_hidden_size}, which {self.text_heads} text_heads "
                "cannot share evenly; choose a multiple."
            )
        if self.text_positions < 3:
            raise ValueError(f"text_positions is {self.text_positions}; it must be 3 or more.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; it must lie in [0, 1).")

    @property
    def ids_of_a_text(self) -> int:
        """The most, [CLS] and [SEP] included."""
        if self.text_encoder == "characters":
            return CharacterConfig(CHARACTERS).max_position_embeddings
        return self.text_positions

    @property
    def smallest_picture(self) -> int:
        """The shortest side in pixels that leaves the last stage something to see."""
        return 4 * 2 ** (len(self.vision_depths) - 1)


def build_dual_encoder(
    shape: DualEncoderShape, codec: TextCodec, picture_size: tuple[int, int]
) -> "VisionTextDualEncoderModel | CharacterDualEncoder":
    """A dual encoder with random weights; its `config.vision_config.image_size` is the pictures'
    (height, width)."""
    vision = ResNetConfig(
        embedding_size=shape.vision_hidden_sizes[0],
        hidden_sizes=list(shape.vision_hidden_sizes),
        depths=list(shape.vision_depths),
        layer_type="basic",
    )
    # Neither is a ResNet's own, but what it ends in is asked for by this name.
    vision.hidden_size = shape.vision_hidden_sizes[-1]
    vision.image_size = list(picture_size)
    if shape.text_encoder == "characters":
        characters = CharacterConfig(
            CHARACTERS,
            shape.projection_dim,
            shape.character_channels,
            shape.text_hidden_size,
            codec.tokenizer.get_vocab()[ALPHABET[0]],
        )
        return CharacterDualEncoder(
            CharacterDualEncoderConfig(vision.to_dict(), characters.to_dict())
        )
    text = BertConfig(
        vocab_size=codec.vocabulary_size,
        hidden_size=shape.text_hidden_size,
        num_hidden_layers=shape.text_layers,
        num_attention_heads=shape.text_heads,
        intermediate_size=4 * shape.text_hidden_size,
        max_position_embeddings=shape.text_positions,
        hidden_dropout_prob=shape.dropout,
        attention_probs_dropout_prob=shape.dropout,
        # BERT's 0.02 is for 768 channels, and too little for few.
        initializer_range=shape.text_hidden_size**-0.5,
        pad_token_id=codec.pad_id,
    )
    return VisionTextDualEncoderModel(
        VisionTextDualEncoderConfig.from_vision_text_configs(
            vision, text, projection_dim=shape.projection_dim
        )
    )


class CharacterDualEncoderConfig(PreTrainedConfig):
    """Of a ResNet, as Hugging Face has it, and of a `CharacterEncoder`."""

    model_type = "drawscribe_character_dual_encoder"

    def __init__(
        self,
        vision_config: dict[str, Any] | None = None,
        text_config: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        vision = dict(vision_config or {})
        size = vision.pop("image_size", [64, 64])
        self.vision_config = ResNetConfig(**vision)
        self.vision_config.image_size = size
        self.text_config = CharacterConfig(**(text_config or {}))
        super().__init__(**kwargs)


class CharacterDualEncoder(PreTrainedModel):
    """A picture's vector is projected to the width of a text's embedding, which stays as it is."""

    config_class = CharacterDualEncoderConfig
    base_model_prefix = "dual_encoder"

    def __init__(self, config: CharacterDualEncoderConfig) -> None:
        super().__init__(config)
        self.vision_model = ResNetModel(config.vision_config)
        channels = list(config.vision_config.hidden_sizes or ())[-1]
        self.visual_projection = nn.Linear(channels, config.text_config.width, bias=False)
        self.text_model = CharacterEncoder(config.text_config)
        self.text_projection = nn.Identity()
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """As torch initializes them."""


def image_features(model: Any, pixels: Tensor) -> Tensor:
    """Pixels [n, 3, height, width] -> vectors fp32 [n, d] of any length.

    Args:
        model: a dual encoder of either kind, a `CLIPModel`, or what has the picture's half of one.

    Not through the model's own `forward`: that takes no ResNet, whose output keeps its two axes of
    places, 1 x 1.
    """
    pooled = model.vision_model(pixel_values=pixels).pooler_output
    return model.visual_projection(pooled.flatten(1)).float()


def text_features(model: Any, text_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """Ids [n, length], and where they are not padding -> vectors fp32 [n, d] of any length."""
    if isinstance(model, CharacterDualEncoder):
        return model.text_model(text_ids, attention_mask.sum(dim=1)).sentence.float()
    pooled = model.text_model(input_ids=text_ids, attention_mask=attention_mask).pooler_output
    return model.text_projection(pooled).float()


def image_vectors(model: Any, pixels: Tensor) -> Tensor:
    """`image_features` as unit vectors."""
    return normalize(image_features(model, pixels), dim=1)


def text_vectors(model: Any, text_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """`text_features` as unit vectors."""
    return normalize(text_features(model, text_ids, attention_mask), dim=1)


def attention_mask(text_ids: Tensor, text_length: Tensor) -> Tensor:
    """int64 [n, length]: 1 within each text's length [n], 0 on the padding."""
    places = torch.arange(text_ids.shape[1], device=text_ids.device)
    return (places < text_length[:, None]).long()
