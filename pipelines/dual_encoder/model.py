"""The dual encoder that is trained here: a small ResNet and a small BERT into one space."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize
from transformers import (
    BertConfig,
    CLIPModel,
    ResNetConfig,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
)

from pipelines.data.text_tokenizer import TextCodec


@dataclass(frozen=True)
class DualEncoderShape:
    """A ResNet of basic blocks (He et al., 1512.03385) and a BERT (Devlin et al., 1810.04805).

    Args:
        vision_hidden_sizes: channels of each stage (and of the stem, those of the first); the
            picture's sides are divided by 4 before the first and by 2 before each other one.
        vision_depths: blocks of each stage.
        text_positions: the most ids of a caption, [CLS] and [SEP] included; longer ones are cut.
        projection_dim: of the common space. A Fréchet distance needs more pictures than that.
        dropout: in the text tower, while training.
    """

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
    def smallest_picture(self) -> int:
        """The shortest side in pixels that leaves the last stage something to see."""
        return 4 * 2 ** (len(self.vision_depths) - 1)


def build_dual_encoder(
    shape: DualEncoderShape, codec: TextCodec, picture_size: tuple[int, int]
) -> VisionTextDualEncoderModel:
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


def image_vectors(model: VisionTextDualEncoderModel | CLIPModel, pixels: Tensor) -> Tensor:
    """Pixels [n, 3, height, width] -> unit vectors fp32 [n, d].

    Not through the model's own `forward`: that takes no ResNet, whose output keeps its two axes of
    places, 1 x 1.
    """
    pooled = model.vision_model(pixel_values=pixels).pooler_output
    return normalize(model.visual_projection(pooled.flatten(1)).float(), dim=1)


def text_vectors(
    model: VisionTextDualEncoderModel | CLIPModel, text_ids: Tensor, attention_mask: Tensor
) -> Tensor:
    """Ids [n, length], and where they are not padding -> unit vectors fp32 [n, d]."""
    pooled = model.text_model(input_ids=text_ids, attention_mask=attention_mask).pooler_output
    return normalize(model.text_projection(pooled).float(), dim=1)


def attention_mask(text_ids: Tensor, text_length: Tensor) -> Tensor:
    """int64 [n, length]: 1 within each text's length [n], 0 on the padding."""
    places = torch.arange(text_ids.shape[1], device=text_ids.device)
    return (places < text_length[:, None]).long()
