"""Operations of parts of a training sample.

What a training loop needs to log its utilisation is here, without anything of `assembly`.
"""

from collections.abc import Callable
from copy import deepcopy

import torch
from torch.utils.flop_counter import FlopCounterMode

from unified_transformer import Reconstructor
from unified_transformer.flops import TRAINING_PASSES
from vq import Decoder, Encoder, VQGANConfig


def reconstruction_flops(reconstructor: Reconstructor) -> int:
    """Mapper and decoder, forward and backward, one picture."""
    shape, painter = reconstructor.config, deepcopy(reconstructor).to("meta")
    hidden = torch.empty(1, shape.grid_height * shape.grid_width, shape.hidden_size, device="meta")
    return TRAINING_PASSES * _count(lambda: painter(hidden))


def encoding_flops(tokenizer: VQGANConfig, size: tuple[int, int], decoded: bool = False) -> int:
    """One picture of `size` (height, width) by the encoder, and where it is `decoded` again by the
    decoder; forward, the search for codes aside."""
    factor = tokenizer.downsampling_factor
    with torch.device("meta"):
        encoder, pixels = Encoder(tokenizer), torch.empty(1, tokenizer.image_channels, *size)
        decoder = Decoder(tokenizer)
        codes = torch.empty(1, tokenizer.code_dim, size[0] // factor, size[1] // factor)
    encoding = _count(lambda: encoder(pixels))
    return encoding + _count(lambda: decoder(codes)) if decoded else encoding


def _count(work: Callable[[], object]) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()
