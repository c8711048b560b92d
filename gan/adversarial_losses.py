"""What a discriminator and a generator want from each other, one value per picture."""

from torch import Tensor
from torch.nn import functional as F


class HingeLoss:
    """The hinge version of the adversarial loss (Lim and Ye 2017; Miyato et al. 2018, eqs. 16 and
    17).

    Logits are [b, ...], one or many per picture; losses are [b], the mean over a picture's logits.
    """

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """mean max(0, 1 - real) + mean max(0, 1 + fake)"""
        return _per_picture(F.relu(1 - real_logits)) + _per_picture(F.relu(1 + fake_logits))

    def generator(self, fake_logits: Tensor) -> Tensor:
        """- mean fake"""
        return -_per_picture(fake_logits)


def _per_picture(values: Tensor) -> Tensor:
    return values.flatten(start_dim=1).mean(dim=1) if values.ndim > 1 else values
