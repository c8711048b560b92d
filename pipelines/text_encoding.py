"""Texts as a GAN sees them: a text encoder with its text tokenizer, wherever they come from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedTokenizerBase

from gan import ALPHABET, BertTextEncoder, CharacterEncoder, TextBatch
from pipelines.command_line import UserError
from pipelines.data.locations import local_path
from pipelines.data.text_tokenizer import EncodedText, TextCodec, load_text_tokenizer
from pipelines.dual_encoder.matcher import load_dual_encoder
from pipelines.dual_encoder.model import image_vectors
from pipelines.pretrained import load_pretrained, model_type
from pipelines.training.checkpoint import INDEX, is_checkpoint_on_hub, open_checkpoint

GIVE = (
    "give a checkpoint of train_dual_encoder.py or of train_gan.py, or a BERT with "
    "model.safetensors (its folder, or its hub name such as google-bert/bert-base-uncased)"
)


@dataclass
class TextReading:
    """A text encoder and what turns texts into its ids.

    positions: the most ids of a text.
    image_tower: the picture encoder that was trained with it: pixels [b, 3, H, W] -> [b, d].
    """

    encoder: Any
    tokenizer: PreTrainedTokenizerBase
    positions: int
    image_tower: nn.Module | None = None

    def __post_init__(self) -> None:
        self.codec = TextCodec(self.tokenizer)

    @property
    def reads_characters(self) -> bool:
        """Of an alphabet, and no others."""
        return isinstance(self.encoder, CharacterEncoder)

    def encode_prompts(self, prompts: Sequence[str]) -> list[EncodedText]:
        """A user's prompts.

        Raises:
            UserError: one is empty, too long, or has characters that the encoder does not read.
        """
        encoded = [self.codec.encode_prompt(text, self.positions) for text in prompts]
        if self.reads_characters:
            for text in prompts:
                refuse_other_characters(text)
        return encoded

    @torch.no_grad()
    def __call__(self, prompts: Sequence[EncodedText]) -> TextBatch:
        """Encoded texts -> their vectors, as many texts as prompts."""
        device = next(self.encoder.parameters()).device
        ids, length = (t.to(device) for t in self.codec.pad(prompts, self.positions))
        return self.encoder(ids, length)

    def save_pretrained(self, folder: Path) -> None:
        """Into the folders `text_encoder` and `text_tokenizer`."""
        self.encoder.save_pretrained(folder / "text_encoder")
        self.tokenizer.model_max_length = self.positions  # a BERT could read more than it was given
        self.tokenizer.save_pretrained(folder / "text_tokenizer")


class ImageTower(nn.Module):
    """The half of a dual encoder that sees pictures."""

    def __init__(self, both: Any) -> None:
        super().__init__()
        self.vision_model, self.visual_projection = both.vision_model, both.visual_projection

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [b, 3, H, W] in [-1, 1] -> unit vectors [b, d]."""
        return image_vectors(self, pixels)


def refuse_other_characters(text: str) -> None:
    """Raises:
    UserError: a text has characters that a character encoder does not read.
    """
    other = next((letter for letter in text.lower() if letter not in ALPHABET), None)
    if other is not None:
        raise UserError(
            f"{text!r} has the character {other!r}, and the character encoder reads none but "
            f"{ALPHABET.strip()!r} and spaces; write it otherwise, or train with a BERT "
            "(text_encoder_config=configs/dual_encoder/scenes_64.yaml, or any other)."
        )


def load_text_reading(name_or_path: str | Path, positions: int) -> TextReading:
    """A text encoder from a checkpoint, or a BERT of Hugging Face.

    Args:
        positions: of a BERT from elsewhere, the most ids of a text.

    Raises:
        UserError: there is none, it is of another kind, or it is damaged.
    """
    if not is_checkpoint_on_hub(name_or_path):
        folder = local_path(name_or_path, "text encoder")
        ours = folder is not None and any(
            (folder / place / INDEX).is_file() for place in ("", "checkpoint")
        )
        if folder is None or not ours:
            return _open_bert(folder or name_or_path, positions)
        name_or_path = folder
    paths, image_tower = open_checkpoint(name_or_path), None
    if paths.kind == "dual_encoder":
        both = load_dual_encoder(paths.dual_encoder)
        tower, image_tower = both.text_model, ImageTower(both)
        encoder: Any = tower if isinstance(tower, CharacterEncoder) else BertTextEncoder(tower)
    elif paths.kind == "gan" and paths.text_encoder is not None:
        encoder = load_text_encoder(paths.text_encoder)
    else:
        raise UserError(f"{paths.root} has no text encoder for a GAN; {GIVE}.")
    return read_with(encoder, paths.text_tokenizer, image_tower)


def read_with(
    encoder: Any, text_tokenizer: Path, image_tower: nn.Module | None = None
) -> TextReading:
    """A text encoder with the text tokenizer of its checkpoint, which knows how long texts were."""
    tokenizer = load_text_tokenizer(text_tokenizer)
    positions = min(encoder.config.max_position_embeddings, tokenizer.model_max_length)
    return TextReading(encoder.eval(), tokenizer, positions, image_tower)


def load_text_encoder(folder: Path) -> Any:
    """What `TextReading.save_pretrained` wrote.

    Raises:
        UserError: the folder is damaged.
    """
    if model_type(folder, GIVE) == "bert":
        return _load_bert(folder)
    return load_pretrained(CharacterEncoder, folder, GIVE)


def _open_bert(name_or_path: str | Path, positions: int) -> TextReading:
    kind = model_type(name_or_path, GIVE)
    if kind != "bert":
        raise UserError(f"{name_or_path} is a {kind} model; {GIVE}.")
    encoder = _load_bert(name_or_path)
    most = min(positions, encoder.config.max_position_embeddings)
    return TextReading(encoder.eval(), load_text_tokenizer(name_or_path), most)


def _load_bert(name_or_path: str | Path) -> BertTextEncoder:
    # One that was trained to fill in words has no pooler, which is not needed here.
    return BertTextEncoder(load_pretrained(AutoModel, name_or_path, GIVE, may_lack="pooler."))
