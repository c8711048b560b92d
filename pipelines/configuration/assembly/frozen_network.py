"""The network that does not learn, in whose features XMC-GAN compares drawn pictures with real
ones."""

import sys
from collections.abc import Callable
from contextlib import redirect_stdout

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipelines.command_line import UserError, in_short
from pipelines.configuration.schemas import GANRun
from pipelines.text_encoding import TextReading
from pipelines.training.distributed import Processes

# Of ImageNet's pictures, for channels from 0 to 1; the networks saw pictures of 224 pixels.
MEAN, DEVIATION, SIDE = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 224


def frozen_network(
    config: GANRun, texts: TextReading | None, processes: Processes
) -> Callable[[Tensor], Tensor]:
    """Pixels [b, 3, H, W] in [-1, 1] -> features [b, d]; says which network it is.

    Raises:
        UserError: there is none.
    """
    name = config.frozen_network
    if name != "text_encoder":
        found = processes.on_main(lambda: _of_torchvision(name))
        if not isinstance(found, str):
            processes.log(f"Drawn pictures are compared with real ones by torchvision's {name}.")
            return ImageNetFeatures(found).to(processes.device).eval().requires_grad_(False)
        instead = f"torchvision's {name} cannot be had ({found}): "
    else:
        instead = ""
    tower = None if texts is None else texts.image_tower
    if tower is None:
        raise UserError(
            f"{instead}objective.frozen_real_fake_weight needs a network that knows pictures, and "
            "the text encoder brings none; name a checkpoint of train_dual_encoder.py as "
            "text_encoder, or set the weight to 0."
        )
    processes.log(
        f"{instead}drawn pictures are compared with real ones by the picture encoder that was "
        "trained with the text encoder."
    )
    return tower.to(processes.device).eval().requires_grad_(False)


def _of_torchvision(name: str) -> nn.Module | str:
    """The classifier with its pretrained weights, or why there is none."""
    try:
        from torchvision.models import get_model

        with redirect_stdout(sys.stderr):  # on which a download reports itself
            return get_model(name, weights="DEFAULT")
    except Exception as error:  # no torchvision, or whatever a download raises
        return in_short(error)


class ImageNetFeatures(nn.Module):
    """A classifier's logits (of the authors' code; the paper has VGG-19's features)."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None])

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [b, 3, H, W] in [-1, 1] -> logits [b, 1000]."""
        pixels = F.interpolate(pixels, SIDE, mode="bilinear", antialias=True, align_corners=False)
        return self.classifier(((pixels + 1) / 2 - self.mean) / self.deviation)
