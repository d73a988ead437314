"""Likeness of two sets of features, and distance of new samples from those of a training.

Sets are x (n, d) and y (m, d) without NaN, n and m at least 2: fewer samples are an InputError, other shapes a ValueError.
"""

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from landshift.models.transfer.scores import centre
from landshift.pipeline.errors import InputError
from landshift.pipeline.records import Numbers

REFERENCE = 1000
"""Distances of its own samples that a domain keeps, at most."""

_SAME_PLACE = 1e-12


def linear_cka(x: np.ndarray, y: np.ndarray) -> float | None:
    """Compare two representations of the same samples by centred kernel alignment (Kornblith 2019, arXiv:1905.00414).

    Rotating, scaling or shifting either of them changes nothing. With fewer samples than dimensions it is too high.

    Args:
        x: (n, p), no NaN.
        y: (n, q), the same samples in the same order.

    Returns:
        0..1; None where all samples of one representation are the same.

    Raises:
        ValueError: The shapes do not fit.
    """
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise ValueError(f"Representations {x.shape} and {y.shape}: expected (n, p) and (n, q).")
    x, y = centre(x), centre(y)
    length_x, length_y = linalg.norm(x), linalg.norm(y)
    if length_x == 0 or length_y == 0:
        return None
    x, y = x / length_x, y / length_y
    alignment = linalg.norm(y.T @ x) ** 2 / (linalg.norm(x.T @ x) * linalg.norm(y.T @ y))
    return float(min(alignment, 1.0))


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Return the squared Fréchet distance of two samples as Gaussians (Dowson 1982, doi:10.1016/0047-259X(82)90077-X).

    |mean difference|² + tr(A + B - 2 (AB)^½) for covariances A and B with ddof 1; the FID of Heusel 2017
    (arXiv:1706.08500) for other features. It is too high where samples are few: compare samples of the same size.

    Returns:
        0 or more, in the squared unit of the features.
    """
    _check_pair(x, y)
    # With A = R'R and B = S'S, tr (AB)^½ is the sum of the singular values of RS': real also where AB is singular.
    root_x, root_y = (np.linalg.qr(centre(f), mode="r") / np.sqrt(len(f) - 1) for f in (x, y))
    common = linalg.svdvals(root_x @ root_y.T).sum()
    shift = x.mean(axis=0, dtype=np.float64) - y.mean(axis=0, dtype=np.float64)
    return float(max((shift**2).sum() + (root_x**2).sum() + (root_y**2).sum() - 2 * common, 0.0))


def coral(x: np.ndarray, y: np.ndarray) -> float:
    """Return the squared distance of the covariances, divided by 4 d² (Sun 2016, arXiv:1607.01719), with ddof 1.

    Returns:
        0 or more, in the fourth power of the unit of the features.
    """
    _check_pair(x, y)
    cov_x, cov_y = (f.T @ f / (len(f) - 1) for f in (centre(x), centre(y)))
    return float(((cov_x - cov_y) ** 2).sum() / (4 * x.shape[1] ** 2))


def mmd(x: np.ndarray, y: np.ndarray, *, seed: int = 0, limit: int = 2000) -> float:
    """Return the squared maximum mean discrepancy without bias (Gretton 2012, jmlr.org/papers/v13/gretton12a.html).

    The kernel is exp(-distance² / (2 median²)), with the median distance of two pooled samples at different places.
        seed: Of the draw where there are too many.
        limit: Samples that are drawn from each, at most; time and memory grow with its square.

    Returns:
        About 0 for samples of one distribution (also a little below), at most 2.
    """
    kernel, n = _pool(x, y, seed, limit)
    own = np.arange(len(kernel)) < n
    return float(_discrepancies(kernel, own[:, None].astype(np.float64))[0])


def mmd_p_value(x: np.ndarray, y: np.ndarray, *, permutations: int = 200, seed: int = 0, limit: int = 2000) -> float:
    """Return how likely so large a discrepancy is where both samples come from one distribution, by permutation.

    Args:
        x: (n, d), no NaN, n at least 2; samples must be independent, which neighbouring pixels are not.
        y: (m, d), m at least 2.
        permutations: Of the pooled samples; the smallest p value is 1 / (permutations + 1).
        seed: Of the draws.
        limit: Samples that are drawn from each, at most.

    Returns:
        Above 0, up to 1.

    Raises:
        InputError: Fewer than two samples.
        ValueError: The shapes do not fit, or no permutation is asked for.
    """
    if permutations < 1:
        raise ValueError(f"A p value needs at least 1 permutation, not {permutations}.")
    kernel, n = _pool(x, y, seed, limit)
    own = (np.arange(len(kernel)) < n).astype(np.float64)
    rng = np.random.default_rng(seed)
    groups = np.stack([own] + [rng.permutation(own) for _ in range(permutations)], axis=1)
    found = _discrepancies(kernel, groups)
    return float((1 + (found[1:] >= found[0] - _SAME_PLACE).sum()) / (permutations + 1))


def _pool(x: np.ndarray, y: np.ndarray, seed: int, limit: int) -> tuple[np.ndarray, int]:
    """Return the kernel of the pooled samples, with 0 for a sample and itself, and how many of them come from x."""
    _check_pair(x, y)
    rng = np.random.default_rng(seed)
    drawn = [f if len(f) <= limit else f[rng.choice(len(f), size=limit, replace=False)] for f in (x, y)]
    # Centred, because the fast formula for distances loses digits far from the origin.
    # Slow to import, and a map needs none.
    from sklearn.metrics.pairwise import euclidean_distances

    squared = euclidean_distances(centre(np.concatenate(drawn)), squared=True)
    upper = squared[np.triu_indices_from(squared, k=1)]
    apart = upper[upper > _SAME_PLACE * upper.max()]
    kernel = np.exp(-squared / (2 * np.median(np.sqrt(apart)) ** 2)) if apart.size else np.ones_like(squared)
    np.fill_diagonal(kernel, 0)
    return kernel, len(drawn[0])


def _discrepancies(kernel: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the squared discrepancy (k,) for each way to split the samples: (sample, k), 1 in the first part, else 0."""
    n = groups[:, 0].sum()
    m = len(groups) - n
    first = (groups * (kernel @ groups)).sum(axis=0)
    between = groups.T @ kernel.sum(axis=1) - first
    second = kernel.sum() - first - 2 * between
    return np.asarray(first / (n * (n - 1)) + second / (m * (m - 1)) - 2 * between / (n * m))


@dataclass(frozen=True, eq=False)
class Domain:
    """Place of the features of a training, from which distances are measured (Lee 2018, arXiv:1807.03888)."""

    mean: Numbers
    """float64 (d,), in the units of the features."""
    precision: Numbers
    """float64 (d, d): inverse of the covariance after Ledoit-Wolf shrinkage."""
    reference: Numbers
    """float64 (k,), ascending: distances of the training's own samples, k at most 1000."""

    def __post_init__(self) -> None:
        """Refuse numbers that do not fit together.

        Raises:
            InputError: Shapes that do not fit, numbers that are not finite, or a reference that is not ascending.
        """
        d, parts = self.mean.size, (self.mean, self.precision, self.reference)
        shapes = [part.shape for part in parts]
        if not (d and self.reference.size) or shapes != [(d,), (d, d), (self.reference.size,)]:
            raise InputError(f"The domain of the training has arrays of {shapes}; expected (d,), (d, d) and (k,).")
        if not all(np.isfinite(part).all() for part in parts) or (np.diff(self.reference) < 0).any():
            raise InputError("The domain of the training holds numbers that are not finite, or a reference not in order.")

    def distance(self, features: np.ndarray) -> np.ndarray:
        """Return the Mahalanobis distance to the mean, float64 (m,), NaN where a feature is NaN.

        Args:
            features: (m, d).

        Raises:
            ValueError: There are more or fewer features than the domain has.
        """
        if features.ndim != 2 or features.shape[1] != len(self.mean):
            raise ValueError(f"Features are {features.shape}; the domain expects (m, {len(self.mean)}).")
        offset = features - self.mean
        return np.asarray(np.sqrt(np.maximum(((offset @ self.precision) * offset).sum(axis=1), 0)))


def fit_domain(features: np.ndarray) -> Domain:
    """Fit the mean and covariance of features, shrunk after Ledoit 2004 (doi:10.1016/S0047-259X(03)00096-4).

    Args:
        features: (n, d); rows with NaN are left out. Reduce hundreds of dimensions first: the domain has d² numbers.

    Raises:
        InputError: Fewer than two samples are observed, or all of them are the same.
        ValueError: The shape does not fit.
    """
    if features.ndim != 2:
        raise ValueError(f"Features are {features.shape}; expected (n, d).")
    seen = features[np.isfinite(features).all(axis=1)].astype(np.float64)
    if len(seen) < 2 or not np.ptp(seen, axis=0).any():
        raise InputError(
            f"A domain needs samples that differ, and {len(seen)} were observed"
            f"{', all of them the same' if len(seen) > 1 else ''}: take more samples of the training regions."
        )
    # Slow to import, and a map needs none.
    from sklearn.covariance import LedoitWolf

    fitted = LedoitWolf().fit(seen)
    whole = Domain(fitted.location_, fitted.precision_, np.zeros(1))
    own = np.sort(whole.distance(seen))
    kept = np.linspace(0, len(own) - 1, min(len(own), REFERENCE)).round().astype(int)
    return Domain(whole.mean, whole.precision, own[kept])


def _check_pair(x: np.ndarray, y: np.ndarray) -> None:
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(f"Samples {x.shape} and {y.shape}: expected (n, d) and (m, d).")
    if min(len(x), len(y)) < 2:
        raise InputError(f"Two sets of {len(x)} and {len(y)} samples cannot be compared: each needs at least 2.")
