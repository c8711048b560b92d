"""Statistics of batch normalization for the weights that draw: averaged ones are not those that the
statistics were gathered with (Brock et al., 1809.11096, appendix B, "standing statistics")."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def standing_statistics(generator: nn.Module, passes: Callable[[], None]) -> Iterator[None]:
    """While inside, the generator draws by the mean statistics of some passes with its present
    weights; afterwards it has those from before.

    Args:
        passes: lets it draw pictures of many noises and texts, batch by batch.
    """
    norms = [module for module in generator.modules() if isinstance(module, nn.BatchNorm2d)]
    if not norms:
        yield
        return
    before = {name: buffer.clone() for name, buffer in generator.named_buffers()}
    training, momenta = generator.training, [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over all passes
    generator.train()
    with torch.no_grad():
        passes()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    generator.eval()
    try:
        yield
    finally:
        generator.train(training)
        for name, buffer in generator.named_buffers():
            buffer.copy_(before[name])
