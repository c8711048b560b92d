"""VQGAN's adaptive weight: the adversarial term may pull as hard as the reconstruction does.

Both terms, and contrasts, see the generator through its reconstruction only. So their gradients
stop there: each picture's pull is kept, weighed once the weight is known, and sent on through the
generator in one backward pass. A ratio of norms is not a sum over micro-batches; kept pulls make it
exact over all of them, without running the perceptual loss or the discriminator twice.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vq.encoder_decoder import Decoder

# Esser et al. 2021, eq. 7 has 1e-6; 1e-4 and the limit are taming-transformers'.
EPSILON = 1e-4
LARGEST_WEIGHT = 1e4
Weights = Mapping[str, Tensor | float]
PULLING = ("reconstruction", "adversarial", "contrasts")
"""The terms that pull at a picture, in the order in which they are added up."""


@dataclass
class Pull:
    """The picture terms of one micro-batch, and the gradients of some by its reconstruction.

    Attributes:
        terms: name -> [b], detached; "reconstruction" among them.
        by_picture: [b, 3, h, w] the gradients (as scaled sums) of "reconstruction" and, where they
            are there, of "adversarial" and "contrasts".
        on_last_layer: [2, ...] what the first two of them make of the decoder's last layer; None
            without the second.
    """

    terms: dict[str, Tensor]
    by_picture: dict[str, Tensor]
    on_last_layer: Tensor | None

    def weighed(self, weights: Weights) -> Tensor:
        """The sum [b] of these terms, those beside reconstruction times their weights."""
        return self._sum(self.terms, weights)

    def through(self, reconstruction: Tensor, weights: Weights) -> Tensor:
        """A scalar that is 0 and has the gradient of that sum."""
        direction = self._sum(self.by_picture, weights)
        return (direction * (reconstruction - reconstruction.detach())).sum()

    def _sum(self, values: dict[str, Tensor], weights: Weights) -> Tensor:
        total = values["reconstruction"]
        for name in PULLING:
            if name != "reconstruction" and name in self.by_picture:
                total = total + weights[name] * values[name]
        return total


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
        names = [name for name in PULLING if name in terms]
        wanted = {
            # The last two come out of one pass of the discriminator.
            name: torch.autograd.grad(
                scale * terms[name].sum(),
                picture,
                retain_graph=name == "adversarial" and "contrasts" in terms,
            )[0]
            for name in names
        }
        on_last_layer = None
        if "adversarial" in terms:
            painted = decoder.paint(output.features.detach())
            on_last_layer = torch.stack(
                [
                    torch.autograd.grad(
                        painted, decoder.last_layer, wanted[name], retain_graph=True
                    )[0]
                    for name in ("reconstruction", "adversarial")
                ]
            )
    detached = {name: values.detach() for name, values in terms.items()}
    return Pull(detached, wanted, on_last_layer)


def adaptive_weight(on_last_layer: Tensor) -> Tensor:
    """|reconstruction's gradient| / |adversarial gradient|, of the global batch's [2, ...]."""
    reconstruction, adversarial = on_last_layer.flatten(start_dim=1).norm(dim=1)
    return (reconstruction / (adversarial + EPSILON)).clamp(max=LARGEST_WEIGHT)


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """The module passes gradients on, and neither collects any nor changes what it keeps (vectors
    of spectral normalization)."""
    training = module.training
    parameters = [p for p in module.parameters() if p.requires_grad]
    module.eval()
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        module.train(training)
        for parameter in parameters:
            parameter.requires_grad_(True)
