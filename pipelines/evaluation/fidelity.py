"""How much pictures look like real ones to the Inception network: FID and Inception Score."""

import torch
from einops import einsum
from torch import Tensor

from pipelines.evaluation.figures import Figure, Missing
from pipelines.evaluation.gaussians import Gaussian, frechet_distance
from pipelines.evaluation.inception import CLASSES, FEATURES
from pipelines.evaluation.streaming import StreamedSums

SPLITS = 10
"""Of the Inception Score (Salimans et al., 1606.03498, section 4)."""


class FeatureStatistics(StreamedSums):
    """Mean and covariance of features, from sums of them and of their outer products.

    One for each set of pictures: real ones are compared with drawn and with reconstructed ones, and
    go through the network once. (torchmetrics' FrechetInceptionDistance holds one pair of sets.)

    Args:
        dimensions: of a feature: Inception's, or those of a dual encoder.
    """

    total: Tensor
    products: Tensor
    count: Tensor

    def __init__(self, dimensions: int = FEATURES) -> None:
        super().__init__(total=(dimensions,), products=(dimensions, dimensions), count=())

    def update(self, features: Tensor) -> None:
        """Adds features [n, d]."""
        features = self.double_here(features)
        self.total += features.sum(dim=0)
        self.products += features.T @ features
        self.count += len(features)

    def gaussian(self) -> Gaussian | None:
        """Of all features; None of fewer than two, which have no covariance."""
        sums = self.sums()
        count = int(sums["count"])
        if count < 2:
            return None
        mean = sums["total"] / count
        covariance = (sums["products"] - count * torch.outer(mean, mean)) / (count - 1)
        return Gaussian(mean, covariance, count)


def fid(real: Gaussian | None, made: Gaussian | None) -> Figure:
    """The Fréchet Inception Distance (Heusel et al., 1706.08500): 0 for equal sets.

    It is biased: too large, and the more so the fewer pictures there are (Chong and Forsyth,
    1911.07023), so figures compare only at the same numbers of pictures, which belong beside it.
    With no more pictures than features (2048 of Inception's) a covariance says nothing in most
    directions, and there is no figure.

    Args:
        real, made: None of fewer than two pictures.
    """
    counts = [0 if one is None else one.count for one in (real, made)]
    if real is None or made is None or min(counts) <= len(real.mean):
        needed = "" if real is None else f" than its {len(real.mean)} features"
        return Missing(
            f"FID takes more pictures of either kind{needed}, and there are {counts[0]} real and "
            f"{counts[1]} others; measure more rows."
        )
    return frechet_distance(real, made)


class InceptionScore(StreamedSums):
    """exp E KL(p(class | picture) || p(class)) (Salimans et al., 1606.03498): from 1 (all pictures
    look the same, or like nothing) to the number of classes.

    Pictures are dealt to the splits by their row numbers and not by lot, so that no picture need be
    kept. A split's mean KL follows from the sums of p and of p log p.

    Args:
        classes: of the network.
        splits: a score is computed of each.
    """

    probabilities: Tensor
    negative_entropy: Tensor
    count: Tensor

    def __init__(self, classes: int = CLASSES, splits: int = SPLITS) -> None:
        super().__init__(
            probabilities=(splits, classes), negative_entropy=(splits,), count=(splits,)
        )
        self.splits = splits

    def update(self, logits: Tensor, rows: Tensor) -> None:
        """Adds pictures.

        Args:
            logits: [n, classes].
            rows: their row numbers int64 [n] in the data set, over all processes.
        """
        log_p = self.double_here(logits).log_softmax(dim=1)
        p = log_p.exp()
        chosen = torch.nn.functional.one_hot(rows.to(self.device) % self.splits, self.splits)
        chosen = chosen.double()
        self.probabilities += einsum(chosen, p, "row split, row kind -> split kind")
        self.negative_entropy += einsum(chosen, (p * log_p).sum(dim=1), "row split, row -> split")
        self.count += chosen.sum(dim=0)

    def figures(self) -> tuple[Figure, Figure]:
        """The mean over splits, and their standard deviation (that of the splits themselves, not
        the estimate of a larger population's, as in Salimans et al.'s code)."""
        sums = self.sums()
        if (sums["count"] == 0).any():
            missing = Missing(
                f"the Inception Score is a mean over {self.splits} splits, some of which have no "
                "picture; measure more rows."
            )
            return missing, missing
        mean = sums["probabilities"] / sums["count"][:, None]
        divergence = sums["negative_entropy"] / sums["count"] + torch.special.entr(mean).sum(dim=1)
        scores = divergence.exp()
        return scores.mean().item(), scores.std(correction=0).item()
