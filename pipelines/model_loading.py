"""The models in a checkpoint's folders, each with every weight present."""

from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn
from transformers import PreTrainedModel

from gan import Generator
from gan.style_encoder import StyleEncoder
from pipelines.command_line import UserError, in_short
from pipelines.pretrained import without_bars
from unified_transformer import Reconstructor, UnifiedTransformer
from vq import VQGAN, Decoder, VQGANConfig

Model = TypeVar("Model", bound=PreTrainedModel)


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    """Whether two models have the same state, wherever it is."""
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(
        torch.equal(value.cpu(), second[name].cpu()) for name, value in first.items()
    )


def load_tokenizer(folder: Path) -> VQGAN:
    """The image tokenizer.

    Raises:
        UserError: the folder is damaged or its weights do not fit its config.
    """
    try:
        return VQGAN.from_pretrained(folder)
    except (ValueError, FileNotFoundError) as error:
        raise UserError(str(error)) from error
    except (TypeError, RuntimeError) as error:  # of torch, about sizes that no model can have
        raise UserError(
            f"the tokenizer in {folder} cannot be loaded ({in_short(error)})."
        ) from error


def load_reconstructor(folder: Path, config: VQGANConfig) -> Reconstructor:
    """Mapper and decoder of end-to-end training; the decoder is shaped like the tokenizer's.

    Raises:
        UserError: the folder is damaged or of another tokenizer.
    """
    try:
        return Reconstructor.from_pretrained(folder, Decoder(config))
    except ValueError as error:
        raise UserError(f"{error}.") from error


def load_transformer(folder: Path) -> UnifiedTransformer:
    """The transformer of a checkpoint, with every weight present.

    Raises:
        UserError: the folder is damaged or its weights do not fit its config.
    """
    return _load_whole(UnifiedTransformer, folder, "transformer")


def load_generator(folder: Path) -> Generator:
    """The generator of a GAN, likewise."""
    return _load_whole(Generator, folder, "generator")


def load_style_encoder(folder: Path) -> StyleEncoder:
    """The style encoder of a GAN, likewise."""
    return _load_whole(StyleEncoder, folder, "style encoder")


def _load_whole(model_class: type[Model], folder: Path, name: str) -> Model:
    try:
        with without_bars():
            loaded: Any = model_class.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
    except Exception as error:  # whatever a damaged file makes the library raise
        reason = in_short(error)
        raise UserError(f"the {name} in {folder} cannot be loaded ({reason}).") from error
    model, report = loaded
    wrong = [*report["missing_keys"], *report["mismatched_keys"], *report["unexpected_keys"]]
    if wrong:
        raise UserError(
            f"the weights in {folder} do not fit its config.json (for example {wrong[0]}); "
            "copy the whole checkpoint again."
        )
    return model
