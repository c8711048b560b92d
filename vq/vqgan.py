"""The image tokenizer: pixels <-> ids."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vq.config import VQGANConfig
from vq.encoder_decoder import Decoder, Encoder
from vq.gumbel import GumbelQuantizer
from vq.quantizer import Quantizer, QuantizerOutput, VectorQuantizer

MODEL_TYPE = "vqgan"
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
QUANTIZERS: dict[str, type[Quantizer]] = {"nearest": VectorQuantizer, "gumbel": GumbelQuantizer}

PIXELS_AT_ONCE = 2**18
"""Pixels of the pictures that are encoded or decoded together: 64 pictures of 64 pixels a side are
a fourth to twice as fast as all at once (on a CPU; docs/performance.md)."""


@dataclass
class VQGANOutput:
    """A batch of pictures, encoded, quantized and decoded.

    Attributes:
        reconstruction: [b, 3, H, W], not clamped.
        quantized: codes, ids and the quantizer's losses.
        features: [b, c, H/patch_size, W/patch_size] the input of the decoder's last layer.
    """

    reconstruction: Tensor
    quantized: QuantizerOutput
    features: Tensor


class VQGAN(nn.Module):
    """Encoder, codebook and decoder (Esser et al. 2021, "Taming Transformers"; with the "gumbel"
    quantizer a discrete VAE, Ramesh et al. 2021, "DALL-E").

    Pixels are float in [-1, 1], [batch, 3, height, width]; height and width are any multiples of
    `downsampling_factor`.
    """

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.quantizer = QUANTIZERS[config.quantizer](config)
        self.quantizer.initialize_projection(self.encoder.to_code)
        self.decoder = Decoder(config)
        # The order convolutions are fastest in, on a CPU in bf16 by a third (and so are norms).
        self.to(memory_format=torch.channels_last)

    @property
    def downsampling_factor(self) -> int:
        """Pixels per id along each side."""
        return self.config.downsampling_factor

    def decode_in(self, dtype: torch.dtype) -> Self:
        """Puts the decoder into another number format; pictures stay float32.

        Encoder and codebook keep theirs: ids are what captions are read from, and rounding moves
        them (docs/performance.md: bf16 changed a fifth of them, and a third of the captions).
        """
        self.decoder.to(dtype)
        return self

    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels [b, 3, H, W] -> what is quantized [b, encoder_channels, h, w].

        Raises:
            ValueError: if the pictures do not have this model's channels, or do not divide into its
                grid.
        """
        f, channels = self.downsampling_factor, self.config.image_channels
        if pixels.ndim != 4 or pixels.shape[1] != channels:
            raise ValueError(
                f"Pixels have shape {list(pixels.shape)}; this tokenizer takes "
                f"[batch, {channels}, height, width]."
            )
        height, width = pixels.shape[2:]
        if height % f or width % f or not height or not width:
            raise ValueError(
                f"A picture of {height}x{width} pixels (height x width) does not divide into this "
                f"tokenizer's {f}x{f} squares; choose multiples of {f}."
            )
        return self.encoder(pixels)

    def forward(self, pixels: Tensor) -> VQGANOutput:
        """Pixels [b, 3, H, W] -> their reconstruction, with gradients."""
        quantized = self.quantizer(self.encode(pixels))
        features = self.decoder.features(quantized.codes)
        return VQGANOutput(self.decoder.paint(features), quantized, features)

    @torch.no_grad()
    def encode_to_ids(self, pixels: Tensor) -> Tensor:
        """Pixels [b, 3, H, W] in [-1, 1] -> ids, int64 [b, H/f, W/f]; any number of pictures."""
        at_once = pictures_at_once(pixels.shape[-2:].numel())
        return torch.cat([self.quantizer(self.encode(some)).ids for some in pixels.split(at_once)])

    @torch.no_grad()
    def decode_ids(self, ids: Tensor) -> Tensor:
        """Ids [b, h, w] -> pixels [b, 3, h*f, w*f] in [-1, 1]; any number of pictures."""
        at_once = pictures_at_once(ids.shape[-2:].numel() * self.downsampling_factor**2)
        parts = [self.decode_codes(self.quantizer.look_up(some)) for some in ids.split(at_once)]
        return torch.cat(parts).clamp(-1, 1)

    def decode_codes(self, codes: Tensor) -> Tensor:
        """Codes [b, code_dim, h, w] -> pixels [b, 3, h*f, w*f], differentiable and not clamped."""
        return self.decoder(codes)

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes `config.json` and `model.safetensors`: what inference needs, without the training
        statistics."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        settings = {"model_type": MODEL_TYPE, **asdict(self.config)}
        (folder / CONFIG_FILE).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        dropped = {f"quantizer.{name}" for name in self.quantizer.TRAINING_BUFFERS}
        weights = {
            name: tensor.contiguous()
            for name, tensor in self.state_dict().items()
            if name not in dropped
        }
        save_file(weights, folder / WEIGHTS_FILE, metadata={"format": "pt"})

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Reads what `save_pretrained` wrote; the model is in evaluation mode, on the CPU.

        Raises:
            FileNotFoundError: if the folder or one of its two files is missing.
            ValueError: if they are of another kind of model, or do not fit each other.
        """
        folder = Path(folder)
        model = cls(read_vqgan_config(folder))
        if not (folder / WEIGHTS_FILE).is_file():
            raise FileNotFoundError(
                f"{folder} has no {WEIGHTS_FILE}; its tokenizer was not saved completely."
            )
        try:
            weights = load_file(folder / WEIGHTS_FILE)
        except Exception as error:  # safetensors raises a class of its own for a damaged file
            raise ValueError(
                f"{folder / WEIGHTS_FILE} is not a readable safetensors file ({error})."
            ) from None
        _load_weights(model, weights, folder)
        return model.eval()


def pictures_at_once(pixels: int) -> int:
    """How many pictures of so many pixels each are encoded or decoded together."""
    return max(1, PIXELS_AT_ONCE // max(1, pixels))


def read_vqgan_config(folder: Path) -> VQGANConfig:
    """The shape of a saved VQGAN, its weights left aside.

    Raises:
        FileNotFoundError: the folder has no configuration.
        ValueError: it is of another kind of model, or of another version.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        inner = folder / "tokenizer"
        hint = (
            f"did you mean {inner}?"
            if (inner / CONFIG_FILE).is_file()
            else "expected a saved VQGAN there."
        )
        raise FileNotFoundError(f"No {CONFIG_FILE} in {folder}: {hint}")
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}).") from None
    kind = settings.pop("model_type", None) if isinstance(settings, dict) else None
    if kind != MODEL_TYPE:
        raise ValueError(f"{folder} holds a model of type {kind!r}, not a VQGAN tokenizer.")
    unknown = settings.keys() - {field.name for field in fields(VQGANConfig)}
    if unknown:
        raise ValueError(
            f"{path} has settings this version does not know: {', '.join(sorted(unknown))}."
        )
    try:
        return VQGANConfig(**settings)
    except TypeError as error:  # a text where a number should be, and so on
        raise ValueError(f"{path} has a setting of the wrong type ({error}).") from error


def _load_weights(model: VQGAN, weights: dict[str, Tensor], folder: Path) -> None:
    """Loads inference weights; the training statistics start anew around the loaded codes."""
    expected = model.state_dict()
    for name in model.quantizer.TRAINING_BUFFERS:
        expected.pop(f"quantizer.{name}")
    wrong = sorted(
        name
        for name in expected.keys() | weights.keys()
        if name not in expected
        or name not in weights
        or expected[name].shape != weights[name].shape
    )
    if wrong:
        raise ValueError(
            f"The weights in {folder} do not fit its {CONFIG_FILE} (first difference: {wrong[0]})."
        )
    model.load_state_dict(weights, strict=False)
    model.quantizer.adopt_codes()
