"""Transferability scores: how well the features of an encoder suit the labels, before anything is trained.

Every score is higher where the encoder suits better. A score compares encoders on the same samples and labels; between
tasks, its values mean nothing. Each takes features (n, d) and labels (n,), any integer codes; samples without a label or with
NaN are left out before. It raises an InputError for fewer than two classes, and a ValueError where shapes do not fit or a
feature is not finite.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from landshift.pipeline.errors import InputError

_EVIDENCE_ROUNDS = 100
_EVIDENCE_TOLERANCE = 1e-3
_EVIDENCE_FLOOR = 1e-5
_SMALLEST_VARIANCE_SHARE = 1e-9
_SUM_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Score:
    """A measure of how well an encoder suits a task."""

    name: str
    """As shown to people."""
    function: Callable[[np.ndarray, np.ndarray], float]
    """Of features (n, d), or of source probabilities (n, class), and of labels (n,); higher is better."""
    needs_source_head: bool = False
    """Whether it takes the probabilities of the classes that the encoder was trained on, instead of features."""


def centre(features: np.ndarray) -> np.ndarray:
    """Take the mean off every column, float64 (n, d); a constant column becomes 0 exactly, not up to rounding."""
    f = features.astype(np.float64)
    f = f - f.mean(axis=0)
    f[:, np.ptp(features, axis=0) == 0] = 0
    return np.asarray(f)


def standardise(features: np.ndarray) -> np.ndarray:
    """Bring every column to mean 0 and standard deviation 1; constant columns become 0.

    Args:
        features: (n, d), no NaN, n at least 1.

    Returns:
        float64 (n, d).
    """
    f = centre(features)
    spread = f.std(axis=0)
    return np.asarray(np.divide(f, spread, out=np.zeros_like(f), where=spread > 0))


def reduce(features: np.ndarray, dimensions: int) -> np.ndarray:
    """Project onto the principal components, the one of most variance first.

    Args:
        features: (n, d), no NaN, n at least 1.
        dimensions: Components at most; never more than n or d.

    Returns:
        float64 (n, component). The sign is the one that makes the largest loading of each component positive.

    Raises:
        ValueError: `dimensions` is below 1.
    """
    if dimensions < 1:
        raise ValueError(f"Features need at least 1 dimension, not {dimensions}.")
    # Slow to import, and a map needs none.
    from sklearn.utils.extmath import svd_flip

    u, s, vt = linalg.svd(centre(features), full_matrices=False)
    u, _ = svd_flip(u, vt, u_based_decision=False)
    return np.asarray((u * s)[:, :dimensions])


def log_me(features: np.ndarray, labels: np.ndarray) -> float:
    """Return the evidence of a Bayesian linear model of each class against the rest (You 2021, arXiv:2102.11005).

    The mean over the classes of the greatest log evidence per sample, in nats, by the fixed-point iteration of You 2022
    (arXiv:2110.10545). The evidence does not depend on the unit of the features, so they are divided by the root of
    their mean squared length, which makes the start and the floors of the iteration mean the same for every encoder.
    Directions in which the features do not vary count for nothing, also where d exceeds n (the published code adds
    (d - rank) / 2 log(alpha) there).

    Args:
        features: As the encoder gives them; an offset is not taken off, nor a bias fitted.
        labels: Any integer codes.
    """
    f, y, classes = _check(features, labels)
    u, s, _ = linalg.svd(f, full_matrices=False)
    kept = s > _rounding(s, f.shape)
    variance = s[kept] ** 2
    variance *= len(f) / variance.sum() if kept.any() else 1
    targets = (y[:, None] == np.arange(classes)).astype(np.float64)
    shares = (u[:, kept].T @ targets) ** 2
    left = np.maximum(targets.sum(axis=0) - shares.sum(axis=0), 0)
    return float(np.mean([_evidence(variance, shares[:, c], left[c], len(f)) for c in range(classes)]))


def _evidence(variance: np.ndarray, share: np.ndarray, left: float, n: int) -> float:
    """Maximise the log evidence per sample over the precisions of the weights (alpha) and of the noise (beta).

    Args:
        variance: (rank,), squared singular values of the features, above 0.
        share: (rank,), squared length of the target along each left singular vector.
        left: Squared length of the target outside of them.
        n: Samples.
    """
    alpha = beta = 1.0
    for _ in range(_EVIDENCE_ROUNDS):
        ratio = alpha / beta
        effective = (variance / (variance + ratio)).sum()
        weights = (variance * share / (variance + ratio) ** 2).sum()
        residual = (share * (ratio / (ratio + variance)) ** 2).sum() + left
        alpha = max(effective / (weights + _EVIDENCE_FLOOR), np.finfo(float).tiny)
        beta = (n - effective) / (residual + _EVIDENCE_FLOOR)
        if abs(alpha / beta - ratio) <= _EVIDENCE_TOLERANCE * ratio:
            break
    volume = (np.log(alpha + beta * variance) - np.log(alpha)).sum()
    return float((n * np.log(beta / (2 * np.pi)) - volume - beta * residual - alpha * weights) / (2 * n))


def h_score(features: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of feature variance that lies between classes, summed over whitened directions.

    The trace of pinv(cov(f)) cov(E[f | y]), both with ddof 0 (Bao 2019, doi:10.1109/ICIP.2019.8803726); 0 up to the
    number of classes less 1. It rises with d where n is not much larger: reduce the features first.
    """
    f, y, classes = _check(features, labels)
    u, s, _ = linalg.svd(centre(f), full_matrices=False)
    # The left singular vectors are the whitened features, so that no covariance has to be inverted.
    u = u[:, s > _rounding(s, f.shape)]
    return float(sum((y == c).sum() * (u[y == c].mean(axis=0) ** 2).sum() for c in range(classes)))


def trans_rate(features: np.ndarray, labels: np.ndarray, epsilon: float = 1e-4) -> float:
    """Return how many more nats it takes to code all features than those of one class (Huang 2022, arXiv:2106.09362).

    As in the appendix of the paper: R(Z) = 1/2 log det(I + Z'Z / (n epsilon)); the features are centred once, over all
    classes; R(Z | y) is the plain mean over the classes. So it cannot see how far apart two classes of the same size
    lie, because their second moments about the common mean are alike: use it for three classes or more.

    Args:
        features: (n, d), no NaN. Their unit matters: standardise them, or compare encoders of the same scale.
        labels: (n,), any integer codes.
        epsilon: Squared distortion that is allowed, in the squared unit of the features, above 0.
    """
    f, y, classes = _check(features, labels)
    f = centre(f)

    def rate(z: np.ndarray) -> float:
        return float(np.log1p(linalg.svdvals(z) ** 2 / (len(z) * epsilon)).sum() / 2)

    return rate(f) - float(np.mean([rate(f[y == c]) for c in range(classes)]))


def gbc(features: np.ndarray, labels: np.ndarray) -> float:
    """Return minus the Bhattacharyya overlap of the classes as Gaussians (Pándy 2022, arXiv:2111.12780).

    Covariances are diagonal with ddof 0; both orders of a pair count, as in the paper: from 0 (no overlap) down to
    -k (k - 1) for k classes (the same Gaussian). In hundreds of dimensions nothing overlaps: the paper reduces to 64.
    """
    f, y, classes = _check(features, labels)
    f = standardise(f)
    f = f[:, f.any(axis=0)]
    mean = np.stack([f[y == c].mean(axis=0) for c in range(classes)])
    # A class of one sample, or of equal ones, has no variance of its own.
    variance = np.stack([np.maximum(f[y == c].var(axis=0), _SMALLEST_VARIANCE_SHARE) for c in range(classes)])
    first, second = np.triu_indices(classes, k=1)
    middle = (variance[first] + variance[second]) / 2
    log_ratio = np.log(middle) - (np.log(variance[first]) + np.log(variance[second])) / 2
    distance = ((mean[first] - mean[second]) ** 2 / middle / 8 + log_ratio / 2).sum(axis=1)
    return float(-2 * np.exp(-distance).sum())


def leep(source_probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean log likelihood of labels that are read off the source classes (Nguyen 2020, arXiv:2002.12462).

    Args:
        source_probabilities: (n, class), 0..1, adding up to 1 over the classes that the encoder was trained on.
        labels: (n,), any integer codes.

    Returns:
        In nats, at most 0; minus the entropy of the labels where they do not depend on the source classes.

    Raises:
        InputError: Fewer than two classes.
        ValueError: The shapes do not fit, or the rows are not probabilities.
    """
    p, y, classes = _check(source_probabilities, labels)
    if (p < 0).any() or np.abs(p.sum(axis=1) - 1).max() > _SUM_TOLERANCE:
        raise ValueError("Source probabilities must be 0 or more and add up to 1 in each row: apply a softmax first.")
    joint = np.stack([p[y == c].sum(axis=0) for c in range(classes)])
    total = joint.sum(axis=0)
    given_source = np.divide(joint, total, out=np.zeros_like(joint), where=total > 0)
    return float(np.log((p * given_source[y]).sum(axis=1)).mean())


def nce(source_labels: np.ndarray, labels: np.ndarray) -> float:
    """Return minus the conditional entropy of the labels given the source labels (Tran 2019, arXiv:1908.08142).

    Args:
        source_labels: (n,), the source class of each sample, any integer codes.
        labels: (n,), any integer codes.

    Returns:
        In nats, at most 0, which means that each source class holds one label.

    Raises:
        InputError: Fewer than two classes.
        ValueError: The shapes do not fit.
    """
    if source_labels.ndim != 1:
        raise ValueError(f"Source labels are {source_labels.shape}; expected (n,).")
    # With certain source classes, LEEP is this entropy.
    codes, index = np.unique(source_labels, return_inverse=True)
    return leep(np.eye(len(codes))[index], labels)


def _nce_of_probabilities(source_probabilities: np.ndarray, labels: np.ndarray) -> float:
    return nce(source_probabilities.argmax(axis=1), labels)


SCORES = (
    Score("LogME", log_me),
    Score("H-score", h_score),
    Score("TransRate", trans_rate),
    Score("GBC", gbc),
    Score("LEEP", leep, needs_source_head=True),
    Score("NCE", _nce_of_probabilities, needs_source_head=True),
)
"""Every score, the primary one first."""


def _check(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the features as float64, the labels as 0, 1, ... and the number of classes."""
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        raise ValueError(f"Features {features.shape} and labels {labels.shape}: expected (n, d) and (n,).")
    codes, index = np.unique(labels, return_inverse=True)
    if len(codes) < 2:
        raise InputError(
            f"The {labels.size} labelled samples hold {len(codes)} class{'es' * (len(codes) != 1)}; a transferability score "
            "needs two classes: add labels of another class."
        )
    if not np.isfinite(features).all():
        raise ValueError("Features must be finite: leave out the samples that are not observed.")
    return features.astype(np.float64), index, len(codes)


def _rounding(singular_values: np.ndarray, shape: tuple[int, ...]) -> float:
    """Return the length up to which a singular value is rounding: the rule of `numpy.linalg.matrix_rank`."""
    return float(singular_values.max(initial=0) * max(shape) * np.finfo(float).eps)
