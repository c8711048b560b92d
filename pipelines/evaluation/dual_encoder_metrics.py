"""What a dual encoder's features say of drawn pictures.

The formulas are those of FID, R-precision and the like, but the features are those of whichever
dual encoder is given: figures compare with each other where that is the same, and with published
ones never. Hence their names: "dual encoder" belongs before each of them, and none is an FID.
"""

from torch import Tensor
from torch.nn.functional import normalize

from pipelines.command_line import UserError
from pipelines.evaluation import gaussians
from pipelines.evaluation.candidates import draw_candidates
from pipelines.evaluation.gaussians import Gaussian


def frechet_distance(real: Tensor, drawn: Tensor) -> float:
    """Between two sets of features [n, d] and [m, d], each taken for a Gaussian: see `gaussians`.

    Raises:
        UserError: a set has too few pictures to know a covariance of d dimensions.
    """
    needed = real.shape[1] + 1
    for features in (real, drawn):
        if len(features) < needed:
            raise UserError(
                f"{len(features)} pictures are too few for a Fréchet distance of "
                f"{features.shape[1]} dimensions; give {needed} or more."
            )
    return gaussians.frechet_distance(Gaussian.of(real), Gaussian.of(drawn))


def r_precision(image_features: Tensor, text_features: Tensor, captions: list[str]) -> float:
    """The share of pictures whose own caption is nearer than 99 others (AttnGAN, 1711.10485,
    section 4.1): 1 at best, 0.01 by chance.

    Args:
        image_features, text_features: unit vectors [n, d], pair by pair.
        captions: the texts themselves: only different ones are compared. The others are drawn by
            lot, the same every time, and fewer where there are fewer (see `draw_candidates`).

    Raises:
        UserError: all captions are the same.
    """
    candidates = draw_candidates(captions)
    cosines = (image_features @ text_features.T).gather(1, candidates)
    return (cosines[:, 0] > cosines[:, 1:].amax(dim=1)).float().mean().item()


def diversity(features: Tensor) -> float:
    """How unlike each other pictures of the same prompt are: the mean cosine distance of all pairs
    within a prompt, from 0 (all the same) to 2.

    Args:
        features: [prompt, pictures, d].

    Raises:
        UserError: there is one picture of each prompt.
    """
    pictures = features.shape[1]
    if pictures < 2:
        raise UserError("diversity compares pictures of the same prompt; draw two or more of each.")
    unit = normalize(features.double(), dim=2)
    cosines = unit @ unit.mT
    pairs = pictures * (pictures - 1)
    own = cosines.diagonal(dim1=1, dim2=2).sum(dim=1)
    return (1 - (cosines.sum(dim=(1, 2)) - own) / pairs).mean().item()
