"""One-stage text-to-image GANs; this package knows no ids."""

from gan.adversarial_losses import HingeLoss

__all__ = ["HingeLoss"]
