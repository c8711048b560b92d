"""Pictures and texts -> one space: a dual encoder trained here, or any CLIP of Hugging Face."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import (
    AutoProcessor,
    CLIPModel,
    VisionTextDualEncoderModel,
)

from pipelines.command_line import UserError, device_and_dtype
from pipelines.data.locations import local_path
from pipelines.data.text_tokenizer import TextCodec, load_text_tokenizer
from pipelines.data.transforms import Picture, to_pixels, to_rgb
from pipelines.dual_encoder.model import (
    CharacterDualEncoder,
    CharacterDualEncoderConfig,
    attention_mask,
    image_vectors,
    text_vectors,
)
from pipelines.pretrained import load_pretrained, model_type, or_user_error
from pipelines.training.checkpoint import is_checkpoint_on_hub, open_checkpoint

AT_ONCE = 128
GIVE = (
    "give a checkpoint of train_dual_encoder.py, or a CLIP model with model.safetensors (its "
    "folder, or its hub name such as openai/clip-vit-base-patch32)"
)


class Matcher:
    """Says how well pictures and texts go together.

    Example:
        >>> matcher = Matcher.from_pretrained("runs/dual_encoder_scenes_64/checkpoint")
        >>> matcher.scores(images, ["a large red circle"] * len(images))

    Args:
        model: its towers and projections; both kinds call them alike.
        prepare_pictures: some pictures -> pixels [n, 3, height, width].
        prepare_texts: some texts -> ids and attention mask, both [n, length].
    """

    def __init__(
        self,
        model: VisionTextDualEncoderModel | CharacterDualEncoder | CLIPModel,
        prepare_pictures: Callable[[Sequence[Picture]], Tensor],
        prepare_texts: Callable[[Sequence[str]], tuple[Tensor, Tensor]],
    ) -> None:
        self.model = model.eval()
        self.prepare_pictures = prepare_pictures
        self.prepare_texts = prepare_texts

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, device: str | None = None) -> "Matcher":
        """Opens a checkpoint of `train_dual_encoder.py`, or a CLIP model: folder or hub name.

        Args:
            device: as on the command line; the best present by default.

        Raises:
            UserError: there is none, it is of another kind, or it is damaged.
        """
        place, _ = device_and_dtype(device)
        if is_checkpoint_on_hub(name_or_path):
            matcher = _open_dual_encoder(name_or_path)
        else:
            folder = local_path(name_or_path, "matcher")
            if folder is not None and not (folder / "config.json").is_file():
                matcher = _open_dual_encoder(folder)
            else:
                matcher = _open_clip(folder or name_or_path)
        matcher.model.to(place)  # type: ignore[arg-type]  # transformers wraps it without its types
        return matcher

    @property
    def is_clip(self) -> bool:
        """Or a dual encoder trained here, whose figures are called otherwise."""
        return isinstance(self.model, CLIPModel)

    @torch.no_grad()
    def image_features(self, pictures: Sequence[Picture]) -> Tensor:
        """Pictures of any size -> unit vectors fp32 [n, d] on the CPU."""

        def encode(some: Sequence[Picture]) -> Tensor:
            return image_vectors(self.model, self.prepare_pictures(some).to(self.model.device))

        return _in_parts(encode, pictures)

    @torch.no_grad()
    def text_features(self, texts: Sequence[str]) -> Tensor:
        """Texts -> unit vectors fp32 [n, d] on the CPU; what is too long is cut."""

        def encode(some: Sequence[str]) -> Tensor:
            ids, mask = (inputs.to(self.model.device) for inputs in self.prepare_texts(some))
            return text_vectors(self.model, ids, mask)

        return _in_parts(encode, texts)

    def scores(self, pictures: Sequence[Picture], texts: Sequence[str]) -> Tensor:
        """The cosine of each picture and the text of the same number [n], from -1 to 1.

        Raises:
            ValueError: there are not as many texts as pictures.
        """
        if len(pictures) != len(texts):
            raise ValueError(f"{len(pictures)} pictures for {len(texts)} texts; give one for each.")
        unique = list(dict.fromkeys(texts))  # candidates of one prompt share it
        of_texts = self.text_features(unique)[[unique.index(text) for text in texts]]
        return (self.image_features(pictures) * of_texts).sum(dim=1)


def _in_parts(encode: Callable[[Sequence[Any]], Tensor], items: Sequence[Any]) -> Tensor:
    """The vectors of all items, encoded a few at a time."""
    parts = [encode(items[n : n + AT_ONCE]).cpu() for n in range(0, len(items), AT_ONCE)]
    return torch.cat(parts)


def _open_dual_encoder(folder: str | Path) -> Matcher:
    paths = open_checkpoint(folder, "dual_encoder")
    model = load_dual_encoder(paths.dual_encoder)
    height, width = model.config.vision_config.image_size
    positions = model.config.text_config.max_position_embeddings
    codec = TextCodec(load_text_tokenizer(paths.text_tokenizer))

    def prepare_texts(texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        ids, lengths = codec.pad([codec.encode_caption(t, positions) for t in texts], positions)
        return ids, attention_mask(ids, lengths)

    return Matcher(
        model,
        lambda pictures: torch.stack([to_pixels(one, (height, width)) for one in pictures]),
        prepare_texts,
    )


def load_dual_encoder(folder: Path) -> Any:
    """The model in a checkpoint's folder, with every weight present.

    Raises:
        UserError: it is damaged.
    """
    of_characters = model_type(folder, GIVE) == CharacterDualEncoderConfig.model_type
    model_class = CharacterDualEncoder if of_characters else VisionTextDualEncoderModel
    return load_pretrained(model_class, folder, GIVE)


def _open_clip(name_or_path: str | Path) -> Matcher:
    kind = model_type(name_or_path, GIVE)
    if kind != "clip":
        raise UserError(f"{name_or_path} is a {kind} model; {GIVE}.")
    processor = or_user_error(name_or_path, AutoProcessor.from_pretrained, GIVE)
    model = load_pretrained(CLIPModel, name_or_path, GIVE)
    positions = model.config.text_config.max_position_embeddings

    def prepare_pictures(pictures: Sequence[Picture]) -> Tensor:
        upright = [_as_rgb(one) for one in pictures]
        return processor.image_processor(upright, return_tensors="pt")["pixel_values"]

    def prepare_texts(texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        inputs = processor.tokenizer(
            list(texts), padding=True, truncation=True, max_length=positions, return_tensors="pt"
        )
        return inputs["input_ids"], inputs["attention_mask"]

    return Matcher(model, prepare_pictures, prepare_texts)


def _as_rgb(picture: Picture) -> Image.Image:
    return to_rgb(picture if isinstance(picture, Image.Image) else Image.fromarray(picture))
