"""Fit a pixel model: labelled pixels, and beside them what IR-MAD makes of unlabelled ones."""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from torch import nn

from landshift.models.estimators.draw import DrawnRows, Prior, Rows, draw_rows
from landshift.models.estimators.model import Line, PixelModel
from landshift.models.estimators.trees import NEVER, Trees, arrays_of
from landshift.models.network.learner import highest_f1, likelihood_after_calibration
from landshift.models.network.samples import Masks
from landshift.pipeline.epochs.matching import PairSource
from landshift.pipeline.errors import InputError
from landshift.pipeline.scores.training import Fit

ROUNDS, RATE, LEAVES, LEAF, SHARE = 100, 0.05, 8, 20, 0.1
"""Of the boosting: rounds, what each tree adds, leaves of a tree, rows of a leaf at least, values looked at for each question.

The small share keeps one value that happens to divide the labelled blocks well from deciding everything."""

LEAST_AGREEMENT = 0.5
"""Share of the changed labels that IR-MAD finds, less the share of the unchanged ones that it takes for changed; where it is
smaller, it is not asked about other pixels."""

_L2 = 1e-2
_ITERATIONS = 300


@dataclass(frozen=True)
class FittedPixels:
    """Outcome of a fit."""

    fit: Fit
    """Its course: one epoch."""
    notes: tuple[str, ...]
    """What was done, in sentences."""


def fit_pixels(
    model: PixelModel,
    pair: PairSource,
    training: Masks,
    validation: Masks,
    *,
    seed: int = 0,
    device: torch.device | None = None,
    advance: Callable[[float], None] = lambda share: None,
) -> FittedPixels:
    """Fit the estimators of a model, which keeps its encoder as it is.

    Where few pixels are labelled, trees find a rule that holds in their blocks only. So unlabelled pixels of which IR-MAD is
    sure are added with its answer, `PRIOR_PIXELS` at most, so the more labels there are the less they matter. Where IR-MAD
    contradicts the labels, none is added.

    Args:
        model: Its estimators are replaced.
        pair: Both dates, as the model is given them.
        training: Labels to learn from.
        validation: Labels to score by, which nothing is learned from.
        seed: Of the draw and of the trees.
        device: Where the encoder works; None takes the CPU.
        advance: Called with the share done, 0..1.

    Raises:
        InputError: The training split has no label, or labels of one class alone.
    """
    started = time.perf_counter()
    drawn = draw_rows(
        model, pair, (training, validation), seed=seed, device=device or torch.device("cpu"),
        advance=lambda share: advance(0.8 * share),
    )  # fmt: skip
    prior, note = _trust(drawn)
    for name, rows in drawn.training.items():
        added = prior if name == "change" else None
        classes = 2 if name == "change" else model.spec.classes
        fitted = _fit_trees(rows, added, classes, seed) if model.spec.estimator == "trees" else _fit_line(rows, added, classes)
        setattr(model, name, fitted)
    scores = _score(model, drawn)
    advance(1.0)
    parameters = sum(b.numel() for part in (model.change, model.landuse) if part is not None for b in part.buffers())
    fit = Fit(1, 0, scores["score"], ({"epoch": 0.0, **scores},), parameters=parameters, seconds=time.perf_counter() - started)
    return FittedPixels(fit, (note,))


def _trust(drawn: DrawnRows) -> tuple[Prior | None, str]:
    """Return the unlabelled pixels if IR-MAD agrees with the training labels, and a note."""
    labelled = sum(len(rows.labels) for rows in drawn.training.values())
    alone = f"Fitted on {labelled} labelled pixels alone"
    prior, rows = drawn.prior, drawn.training.get("change")
    if prior is None or rows is None:
        return None, f"{alone}."
    said, truth = drawn.answers > 0, rows.labels == 1
    known = drawn.answers != 0
    shares = [float(said[known & group].mean()) if (known & group).any() else None for group in (truth, ~truth)]
    if shares[0] is not None and shares[1] is not None and shares[0] - shares[1] < LEAST_AGREEMENT:
        return None, (
            f"{alone}: IR-MAD finds {100 * shares[0]:.0f} % of the changed ones, and takes {100 * shares[1]:.0f} % of the "
            "unchanged ones for changed, so it was not asked about others."
        )
    return prior, (
        f"Fitted on {labelled} labelled pixels, and on {len(prior.rows.labels)} unlabelled ones of which IR-MAD is sure, with "
        "its answer."
    )


def _join(rows: Rows, prior: Prior | None) -> tuple[np.ndarray, np.ndarray]:
    """Return values and labels."""
    values, labels = rows.values, rows.labels
    if prior is not None:
        values, labels = np.concatenate([values, prior.rows.values]), np.concatenate([labels, prior.rows.labels])
    if np.unique(labels).size < 2:
        raise InputError(
            "The training labels are all of one class: label pixels of another one too, or lower `split: block_px:`."
        )
    return values, labels


def _fit_trees(rows: Rows, prior: Prior | None, classes: int, seed: int) -> nn.Module:
    values, labels = _join(rows, prior)
    boosted = HistGradientBoostingClassifier(
        learning_rate=RATE, max_iter=ROUNDS, max_leaf_nodes=LEAVES, min_samples_leaf=LEAF, l2_regularization=1.0,
        max_features=SHARE, early_stopping=False, random_state=seed,
    )  # fmt: skip
    boosted.fit(values, labels)
    return Trees(classes, arrays_of(boosted, classes))


def _fit_line(rows: Rows, prior: Prior | None, classes: int) -> nn.Module:
    values, labels = _join(rows, prior)
    x = values.astype(np.float64)
    mean, std = x.mean(axis=0), x.std(axis=0)
    # A value that is (nearly) the same everywhere holds no information, and must not be blown up.
    std = np.where(std > 1e-9 * np.maximum(np.abs(mean), 1e-9), std, 1.0)
    regression = LogisticRegression(C=1 / (_L2 * len(x)), max_iter=_ITERATIONS)
    with warnings.catch_warnings():
        # The number of iterations is a budget, not a promise.
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit((x - mean) / std, labels)
    coefficients, bias = regression.coef_, regression.intercept_
    if len(regression.classes_) == 2:
        # For two classes there is one logit, the gap to a class whose logit is 0.
        coefficients, bias = (np.concatenate([np.zeros_like(v), v]) for v in (coefficients, bias))
    line = Line(classes, values.shape[1])
    line.mean, line.std = (torch.from_numpy(v.astype(np.float32)) for v in (mean, std))
    line.bias.fill_(NEVER)
    for row, label in enumerate(regression.classes_.tolist()):
        line.weights[label] = torch.from_numpy(coefficients[row].astype(np.float32))
        line.bias[label] = float(bias[row])
    return line


@torch.inference_mode()
def _score(model: PixelModel, drawn: DrawnRows) -> dict[str, float]:
    """Score the estimators on validation pixels as the training of a network scores its epochs."""
    scores, more = [], {}
    for name, rows in drawn.validation.items():
        logits = getattr(model, name)(torch.from_numpy(rows.values)).numpy()
        if name == "landuse":
            scores.append(float(f1_score(rows.labels, logits.argmax(axis=1), average="macro", zero_division=0)))
        elif 0 < rows.labels.sum() < len(rows.labels):
            margin = logits[:, 1] - logits[:, 0]
            scores.append(likelihood_after_calibration(margin, rows.labels))
            more["f1"] = highest_f1(margin, rows.labels)
    return {"score": float(np.mean(scores)) if scores else 0.0, **more}
