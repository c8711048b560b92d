"""How far a reconstruction is from its picture: by pixels, and as people see it (LPIPS)."""

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

logger = logging.getLogger(__name__)

# A pixel belongs to the foreground when some channel differs this much from the border's median
# (pixels span [-1, 1]).
FOREGROUND_DIFFERENCE = 0.15

# The layers' weights within lpips' networks keep their numbers in torchvision's `features`.
_TORCHVISION_WEIGHTS = {
    "vgg": "VGG16_Weights",
    "alex": "AlexNet_Weights",
    "squeeze": "SqueezeNet1_1_Weights",
}


def pixel_losses(
    reconstruction: Tensor, pixels: Tensor, foreground_weight: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Mean absolute and mean squared difference of [b, c, h, w] pictures, each [b].

    With a `foreground_weight` above 1, pixels unlike their picture's border count that many times.
    """
    difference = reconstruction - pixels
    weight = torch.ones_like(pixels[:, :1])
    if foreground_weight != 1:
        weight = torch.where(foreground(pixels), foreground_weight, weight)
    l1 = (weight * difference.abs()).flatten(1).mean(dim=1)
    l2 = (weight * difference.square()).flatten(1).mean(dim=1)
    return l1, l2


def psnr(reconstruction: Tensor, pixels: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of pictures [b, c, h, w] in [-1, 1] -> dB [b]; the reconstruction
    is clamped to that range, as it is when it becomes a picture."""
    error = (reconstruction.float().clamp(-1, 1) - pixels).square().flatten(1).mean(dim=1)
    return 10 * torch.log10(4 / error.clamp(min=1e-10))  # pixels span 2


def foreground(pixels: Tensor) -> Tensor:
    """Bool [b, 1, h, w]: pixels that differ from the median colour of their picture's border."""
    edges = [pixels[:, :, 0], pixels[:, :, -1], pixels[..., 0], pixels[..., -1]]
    background = torch.cat(edges, dim=2).median(dim=2).values[:, :, None, None]
    return (pixels - background).abs().amax(dim=1, keepdim=True) > FOREGROUND_DIFFERENCE


@dataclass(frozen=True)
class PerceptualLossSettings:
    """What LPIPS compares, and where its weights come from.

    Attributes:
        backbone: the network whose features are compared.
        backbone_weights: "pretrained" (torchvision's, downloaded once), "random", or the path of a
            torchvision state dict (.pth or .safetensors).
        fallback: what to do where "pretrained" cannot be had: "random" weights, or "none", no
            perceptual term.
    """

    backbone: Literal["vgg", "alex", "squeeze"] = "vgg"
    backbone_weights: str = "pretrained"
    fallback: Literal["random", "none"] = "none"

    def __post_init__(self) -> None:
        if self.backbone not in _TORCHVISION_WEIGHTS:
            raise ValueError(f"backbone is {self.backbone!r}; it must be vgg, alex or squeeze.")
        if self.fallback not in ("random", "none"):
            raise ValueError(f"fallback is {self.fallback!r}; it must be random or none.")


class PerceptualLoss(nn.Module):
    """LPIPS (Zhang et al. 2018), frozen, with the linear heads that come with the lpips package."""

    def __init__(self, backbone: str, weights: dict[str, Tensor] | None) -> None:
        """`weights`: a torchvision state dict, or None for the same random weights everywhere."""
        super().__init__()
        # Imported here because it brings torchvision along, which inference does not need.
        import lpips

        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")  # lpips calls torchvision in a deprecated way
            torch.manual_seed(0)
            self.lpips = lpips.LPIPS(net=backbone, pnet_rand=True, verbose=False)
        if weights is not None:
            _load_backbone(self.lpips.net, weights)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "PerceptualLoss":
        """Stays in evaluation mode: its heads have dropout."""
        return super().train(False)

    def forward(self, reconstruction: Tensor, pixels: Tensor) -> Tensor:
        """Pictures [b, 3, h, w] in [-1, 1] -> distances [b]."""
        return self.lpips(reconstruction, pixels).float().flatten()


def build_perceptual_loss(settings: PerceptualLossSettings) -> PerceptualLoss | None:
    """The perceptual loss, or None where its weights cannot be had and `fallback` is "none".

    Raises:
        FileNotFoundError: if `backbone_weights` is a path without a file.
        ValueError: if that file holds other weights.
    """
    if settings.backbone_weights == "random":
        return PerceptualLoss(settings.backbone, None)
    if settings.backbone_weights != "pretrained":
        return PerceptualLoss(settings.backbone, _read_weights(Path(settings.backbone_weights)))
    try:
        weights = _download_weights(settings.backbone)
    except (OSError, RuntimeError) as error:  # no network, or a damaged download
        instead = {"random": "with random backbone weights", "none": "without it"}[
            settings.fallback
        ]
        logger.warning(
            "The perceptual loss needs torchvision's %s weights, which could not be downloaded "
            "(%s): training %s. To use them, put their .pth file on this machine and set "
            "perceptual.backbone_weights to its path.",
            settings.backbone,
            error,
            instead,
        )
        return PerceptualLoss(settings.backbone, None) if settings.fallback == "random" else None
    return PerceptualLoss(settings.backbone, weights)


def _download_weights(backbone: str) -> dict[str, Tensor]:
    import torchvision.models

    weights = getattr(torchvision.models, _TORCHVISION_WEIGHTS[backbone]).IMAGENET1K_V1
    return weights.get_state_dict(progress=False, check_hash=True)


def _read_weights(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise FileNotFoundError(
            f"backbone_weights is {str(path)!r}, which is not a file; give a torchvision state "
            'dict (.pth or .safetensors), or "pretrained" or "random".'
        )
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{path} is not a readable state dict ({error}).") from None


def _load_backbone(network: nn.Module, weights: dict[str, Tensor]) -> None:
    """Loads `features.N.…` of torchvision into lpips' slices, which keep the number N."""
    parameters = dict(network.named_parameters())
    for name, parameter in parameters.items():
        source = name.split(".", 1)[1]  # slice2.5.weight -> 5.weight
        loaded = weights.get(f"features.{source}")
        if loaded is None or loaded.shape != parameter.shape:
            raise ValueError(
                f"backbone_weights do not fit the backbone: features.{source} is missing or of "
                "another shape; give the torchvision weights of the same network."
            )
        parameter.data.copy_(loaded)
