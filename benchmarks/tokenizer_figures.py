"""What a tokenizer makes of validation pictures, and how it uses its codebook."""

import numpy as np
import torch
from torch import Tensor

from pipelines.configuration.schemas import TokenizerRun
from pipelines.data.opening import open_training_data
from pipelines.data.settings import PICTURES_ALONE
from pipelines.data.transforms import arrays_to_pixels, to_array
from vq import VQGAN, perplexity, psnr

PICTURES = 256


def validation_pixels(config: TokenizerRun) -> Tensor:
    """The first validation pictures of a run [n, 3, h, w], which no step has seen."""
    _, validation = open_training_data(config.data, PICTURES_ALONE, config.seed)
    rows = range(min(PICTURES, validation.length or PICTURES))
    arrays = []
    for row in rows:
        image = validation[row].image
        assert image is not None  # ids are refused on opening
        arrays.append(to_array(image, config.data.height_width))
    return arrays_to_pixels(np.stack(arrays))


@torch.no_grad()
def tokenizer_figures(tokenizer: VQGAN, pixels: Tensor) -> tuple[dict[str, float], Tensor]:
    """PSNR in dB, codes in use, perplexity of the ids (e ** entropy: low is easy for the second
    stage, the codebook's size is a codebook used evenly); and the reconstructions [n, 3, h, w]."""
    parts = [tokenizer.encode_to_ids(some) for some in pixels.split(64)]
    again = torch.cat([tokenizer.decode_ids(ids) for ids in parts])
    ids = torch.cat(parts).flatten()
    counts = torch.bincount(ids, minlength=tokenizer.config.codebook_size)
    figures = {
        "psnr": psnr(again, pixels).mean().item(),
        "codes_used": int((counts > 0).sum()),
        "perplexity": perplexity(counts).item(),
    }
    return figures, again
