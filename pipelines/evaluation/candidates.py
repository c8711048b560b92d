"""Which captions a picture is measured against."""

from collections import Counter

import numpy as np
import torch
from torch import Tensor

from pipelines.command_line import UserError

CANDIDATES = 100
"""The own one among them (R-precision of AttnGAN, 1711.10485)."""


def draw_candidates(captions: list[str]) -> Tensor:
    """Row numbers [row, candidates]: each row's own first, then rows with other captions by lot;
    as many as every row can have, at most `CANDIDATES`.

    Raises:
        UserError: all captions are the same.
    """
    commonest = Counter(captions).most_common(1)[0][1]
    others = min(CANDIDATES - 1, len(captions) - commonest)
    if others == 0:
        raise UserError(f"all {len(captions)} captions are {captions[0]!r}; check the text column.")
    rng = np.random.default_rng(0)
    chosen = []
    for row, caption in enumerate(captions):
        order = rng.permutation(len(captions)).tolist()
        chosen.append([row, *[other for other in order if captions[other] != caption][:others]])
    return torch.tensor(chosen)
