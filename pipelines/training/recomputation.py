"""Activation checkpointing: less memory for more work."""

from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint


def recompute(model: nn.Module, large: tuple[type[nn.Module], ...]) -> None:
    """Lets the model's `large` modules keep their inputs only.

    What lies within them the backward pass computes again (Chen et al., 1604.06174), dropout with
    the same choices. Weights and their names stay as they are.
    """
    for module in model.modules():
        if isinstance(module, large):
            module.forward = partial(checkpoint, module.forward, use_reentrant=False)
