"""What keeps a discriminator smooth where the real pictures are."""

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor


def gradient_penalty(
    logits: Tensor, inputs: Sequence[Tensor], weight: float, power: float
) -> Tensor:
    """weight * |d logit / d inputs|^power of each picture [b], differentiable.

    The norm is taken over all inputs together. With a picture and its sentence as inputs, weight 2
    and power 6 it is DF-GAN's matching-aware penalty (2008.05865, section 3.2; as in the authors'
    code, where the paper adds up two norms). With a picture alone and power 2 it is R1
    (Mescheder et al., 1801.04406, eq. 9) at weight gamma / 2.

    Args:
        logits: [b, ...] of real pictures.
        inputs: [b, ...] each, from which the logits were computed.
    """
    gradients = torch.autograd.grad(logits.sum(), list(inputs), create_graph=True)
    together = torch.cat([rearrange(one, "b ... -> b (...)") for one in gradients], dim=1)
    # The norm itself has no gradient at 0, its square has.
    squares = together.float().square().sum(dim=1)
    return weight * squares ** (power / 2)
