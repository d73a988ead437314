"""Linear probe: a classifier on the features of a frozen encoder."""

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedGroupKFold

from landshift.models.transfer.features import PixelFeatures
from landshift.pipeline.legend import NOT_LABELLED
from landshift.pipeline.manifest import replace_when_done

L2 = 1e-3
"""Enough that features which separate few labels perfectly do not get endless weights."""


@dataclass(frozen=True, eq=False)
class Probe:
    """Multinomial logistic regression on standardised features."""

    classes: tuple[int, ...]
    """Labels, ascending; the order of the columns of `predict`."""
    mean: np.ndarray
    """float64 (d,) of the features."""
    std: np.ndarray
    """float64 (d,), above 0."""
    weights: np.ndarray
    """float64 (class, d)."""
    bias: np.ndarray
    """float64 (class,)."""

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Return the probability of each class, float64 (n, class), for features (n, d)."""
        return np.asarray(softmax((features - self.mean) / self.std @ self.weights.T + self.bias, axis=1))


def features_cache(path: Path, key: str, make: Callable[[], PixelFeatures]) -> PixelFeatures:
    """Return the features kept in a file if they were made from the same inputs, else make and keep them.

    Args:
        path: A `.safetensors` file, which appears whole or not at all.
        key: Hash of whatever the features depend on: encoder, weights, images, sample.
        make: Called where the file is missing, damaged or of another key.

    Raises:
        OSError: The file cannot be written.
    """
    kept = _read_cache(path, key)
    if kept is not None:
        return kept
    made = make()
    named = {f"{date}.{i}": a for date in ("before", "after") for i, a in enumerate(getattr(made, date))}
    tensors = {name: np.ascontiguousarray(a) for name, a in {**named, "observed": made.observed}.items()}
    with replace_when_done(path) as temporary:
        save_file(tensors, temporary, metadata={"key": key, "depths": json.dumps(made.depths)})
    return made


def _read_cache(path: Path, key: str) -> PixelFeatures | None:
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("key") != key:
                return None
            depths = tuple(json.loads(metadata["depths"]))
            before, after = (tuple(file.get_tensor(f"{date}.{i}") for i in range(len(depths))) for date in ("before", "after"))
            return PixelFeatures(before, after, depths, file.get_tensor("observed"))
    except (SafetensorError, KeyError, ValueError):
        # A file that cannot be read proves nothing: the work is done again.
        return None


def fit_probe(features: np.ndarray, labels: np.ndarray, *, epochs: int = 100, seed: int = 0, l2: float = L2) -> Probe:
    """Fit a probe by L-BFGS; each epoch sees every row.

    Args:
        features: (n, d), no NaN: leave out pixels that are not observed.
        labels: Integer (n,), at least two classes, no 255.
        epochs: Iterations at most; fewer where the loss stands still.
        seed: Of the order of the rows, which matters only to the last bits.
        l2: Weight of half the squared length of the weights beside the mean loss, above 0.

    Raises:
        ValueError: Shapes that do not fit, features that are not finite, 255 among the labels, or a single class.
    """
    _check(features, labels)
    classes = tuple(int(c) for c in np.unique(labels))
    if len(classes) < 2:
        raise ValueError(f"A probe needs two classes; the labels hold {classes}.")
    x = features.astype(np.float64)
    mean, std = x.mean(axis=0), x.std(axis=0)
    # A channel that is (nearly) the same everywhere holds no information, and must not be blown up.
    std = np.where(std > 1e-9 * np.maximum(np.abs(mean), 1e-9), std, 1.0)
    order = np.random.default_rng(seed).permutation(len(x))
    regression = LogisticRegression(C=1 / (l2 * len(x)), max_iter=epochs)
    with warnings.catch_warnings():
        # The number of epochs is a budget, not a promise.
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit(((x - mean) / std)[order], labels[order])
    weights, bias = regression.coef_, regression.intercept_
    if len(classes) == 2:
        # For two classes there is one logit, the gap to a class whose logit is 0.
        weights, bias = (np.concatenate([np.zeros_like(v), v]) for v in (weights, bias))
    return Probe(classes, mean, std, weights=weights, bias=bias)


def probe_score(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, *, folds: int = 5, seed: int = 0, epochs: int = 100
) -> float | None:
    """Judge features by a probe on groups that it was not fitted on.

    Args:
        features: (n, d), no NaN.
        labels: Integer (n,), no 255.
        groups: Integer (n,): regions or blocks, each wholly in one fold, because neighbouring pixels are alike.
        folds: At most; fewer where there are fewer groups.
        seed: Of the folds.
        epochs: As for `fit_probe`.

    Returns:
        F1 of class 1 where the labels are 0 and 1, else the mean F1 of the classes, 0..1, over the predictions of all folds
        together; None where there is a single group or a single class.

    Raises:
        ValueError: Shapes that do not fit, features that are not finite, or 255 among the labels.
    """
    _check(features, labels)
    if groups.shape != labels.shape:
        raise ValueError(f"Labels {labels.shape} and groups {groups.shape} must have the same shape.")
    classes, counts = np.unique(labels, return_counts=True)
    parts = min(folds, np.unique(groups).size, int(counts.max(initial=0)))
    if parts < 2 or classes.size < 2:
        return None
    found = np.empty_like(labels)
    with warnings.catch_warnings():
        # A class with fewer pixels than folds is absent from some of them, which is no fault of the pooled score.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        splits = list(StratifiedGroupKFold(parts, shuffle=True, random_state=seed).split(features, labels, groups))
    for fitted, held in splits:
        classes_fitted = np.unique(labels[fitted])
        if not held.size:
            continue
        if classes_fitted.size < 2:
            found[held] = classes_fitted[0]
            continue
        probe = fit_probe(features[fitted], labels[fitted], epochs=epochs, seed=seed)
        found[held] = np.asarray(probe.classes)[probe.predict(features[held]).argmax(axis=1)]
    average = "binary" if set(classes.tolist()) == {0, 1} else "macro"
    return float(f1_score(labels, found, average=average, zero_division=0))


def _check(features: np.ndarray, labels: np.ndarray) -> None:
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        raise ValueError(f"Features {features.shape} and labels {labels.shape}: expected (n, d) and (n,).")
    if not np.isfinite(features).all():
        raise ValueError("Features are not finite; leave out the pixels that are not observed.")
    if (labels == NOT_LABELLED).any():
        raise ValueError(f"Labels hold {NOT_LABELLED}, which means not labelled; leave those pixels out.")
