"""VQGAN's adaptive weight: the adversarial term may pull as hard as the reconstruction does.

Both terms see the generator through its reconstruction only. So their gradients stop there: each
picture's pull is kept, weighed once the weight is known, and sent on through the generator in one
backward pass. A ratio of norms is not a sum over micro-batches; kept pulls make it exact over all
of them, without running the perceptual loss or the discriminator twice.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vq.encoder_decoder import Decoder

# Esser et al. 2021, eq. 7 has 1e-6; 1e-4 and the limit are taming-transformers'.
EPSILON = 1e-4
LARGEST_WEIGHT = 1e4


@dataclass
class Pull:
    """The picture terms of one micro-batch, and their gradients by its reconstruction.

    Attributes:
        terms: name -> [b], detached; "reconstruction" and "adversarial" among them.
        reconstruction, adversarial: [b, 3, h, w] the gradients of these two (as scaled sums).
        on_last_layer: [2, ...] what both make of the decoder's last layer.
    """

    terms: dict[str, Tensor]
    reconstruction: Tensor
    adversarial: Tensor
    on_last_layer: Tensor

    def through(self, reconstruction: Tensor, weight: Tensor) -> Tensor:
        """A scalar that is 0 and has the gradient of reconstruction + weight * adversarial."""
        direction = self.reconstruction + weight * self.adversarial
        return (direction * (reconstruction - reconstruction.detach())).sum()


def measure_pull(
    decoder: Decoder,
    output: Any,
    terms_of: Callable[[Tensor], dict[str, Tensor]],
    scale: Tensor,
) -> Pull:
    """The pull of the terms [b] that `terms_of` makes of a reconstruction, times `scale`.

    `output` has that `reconstruction` [b, 3, h, w] and the `features` it was painted from.
    """
    picture = output.reconstruction.detach().requires_grad_()
    with torch.enable_grad():
        terms = terms_of(picture)
        wanted = [
            torch.autograd.grad(scale * terms[name].sum(), picture)[0]
            for name in ("reconstruction", "adversarial")
        ]
        painted = decoder.paint(output.features.detach())
        on_last_layer = [
            torch.autograd.grad(painted, decoder.last_layer, direction, retain_graph=True)[0]
            for direction in wanted
        ]
    detached = {name: values.detach() for name, values in terms.items()}
    return Pull(detached, wanted[0], wanted[1], torch.stack(on_last_layer))


def adaptive_weight(on_last_layer: Tensor) -> Tensor:
    """|reconstruction's gradient| / |adversarial gradient|, of the global batch's [2, ...]."""
    reconstruction, adversarial = on_last_layer.flatten(start_dim=1).norm(dim=1)
    return (reconstruction / (adversarial + EPSILON)).clamp(max=LARGEST_WEIGHT)


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """The module passes gradients on without collecting its own."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
