"""Features taken for a Gaussian, and how far two Gaussians are apart."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Gaussian:
    """Mean [d] and unbiased covariance [d, d] in float64, of `count` features (two or more)."""

    mean: Tensor
    covariance: Tensor
    count: int

    @classmethod
    def of(cls, features: Tensor) -> "Gaussian":
        """Of features [n, d]."""
        features = features.double()
        return cls(features.mean(dim=0), features.T.cov(), len(features))


def frechet_distance(one: Gaussian, other: Gaussian) -> float:
    """|m1 - m2|^2 + Tr(C1 + C2 - 2 (C1 C2)^(1/2)) (Heusel et al., 1706.08500, equation 6); 0 for
    equal ones, up to rounding, and finite where a covariance has no inverse."""
    root = _square_root(one.covariance)
    # C1 C2 has the eigenvalues of the symmetric C1^(1/2) C2 C1^(1/2), which has real ones for sure
    # (and takes a fraction of the time).
    product = torch.linalg.eigvalsh(root @ other.covariance @ root)
    traces = one.covariance.trace() + other.covariance.trace()
    means = (one.mean - other.mean).square().sum()
    distance = means + traces - 2 * product.clamp(min=0).sqrt().sum()
    return distance.clamp(min=0).item()


def _square_root(covariance: Tensor) -> Tensor:
    """Of a symmetric matrix without negative eigenvalues (but for rounding)."""
    values, vectors = torch.linalg.eigh(covariance)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T
