"""How well a map agrees with labels: scores from scikit-learn, None where a score is not defined."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import CHANGED, NOT_LABELLED, NOT_OBSERVED, Legend
from landshift.pipeline.records import IfAny
from landshift.pipeline.scores.evidence import BlockShare, share_in_blocks

FEWEST_CHANGED = 10
"""Changed test pixels, below which scores of change carry a warning."""


@dataclass(frozen=True)
class BinaryScores:
    """Agreement of a change score with changed / unchanged labels; `changed` is the positive class."""

    kappa: float | None
    """Cohen's kappa, -1..1; None where the labels hold one class only."""
    f1: float | None
    """0..1; None where no label is changed."""
    iou: float | None
    """Intersection over union of changed, 0..1; None where no label is changed."""
    precision: float | None
    """Share of the pixels mapped as changed that are labelled so, 0..1; None where none is mapped as changed."""
    recall: float | None
    """Share of the pixels labelled changed that are mapped so, 0..1; None where no label is changed."""
    auc: float | None
    """Area under the ROC curve, 0..1, whatever the threshold; None where the labels hold one class only."""
    overall_accuracy: float | None
    """Share of the pixels mapped as labelled, 0..1; None where there is no pixel."""
    n: int
    """Pixels that are labelled and have a score."""


@dataclass(frozen=True)
class ScoreEvidence:
    """What scores of change rest on, and how far they move when whole test blocks are drawn again."""

    changed: int
    """Test pixels that are labelled changed."""
    blocks: int
    """Test blocks with a labelled, observed pixel; all of one territory."""
    kappa: tuple[float, float] | None
    """95 % interval; None with fewer than two blocks, or where kappa is not defined."""
    f1: tuple[float, float] | None
    """95 % interval; None with fewer than two blocks, or where F1 is not defined."""
    precision: tuple[float, float] | None = None
    """95 % interval; None with fewer than two blocks, or where nothing is mapped as changed."""
    recall: tuple[float, float] | None = None
    """95 % interval; None with fewer than two blocks, or where no label is changed."""

    @property
    def caution(self) -> str | None:
        """A warning where the scores rest on too little; None where they do not."""
        reasons = [f"{self.changed} changed pixels"] * (self.changed < FEWEST_CHANGED)
        reasons += [f"{self.blocks} block"] * (self.blocks == 1)
        if not reasons:
            return None
        return f"The test scores rest on {' and '.join(reasons)}: chance alone can move them far. Label more, further apart."


@dataclass(frozen=True)
class Thresholded:
    """A score that was cut at a threshold."""

    threshold: float
    """In the units of the score."""


# In this order of bases the threshold is the first field, and so the first key of the JSON.
@dataclass(frozen=True)
class MethodScores(BinaryScores, Thresholded):
    """Agreement of a classical method with the labels, at a threshold."""

    evidence: IfAny[ScoreEvidence] = None
    """What the scores rest on."""


@dataclass(frozen=True)
class KindScore:
    """How often one kind of change was right, and found, on the test blocks."""

    code: int
    """Change code, from 2."""
    name: str
    """For example `Forest to Cropland`."""
    right: BlockShare
    """Of the labelled test pixels that are mapped as this kind."""
    found: BlockShare
    """Of the test pixels that are labelled as this kind."""


@dataclass(frozen=True)
class ClassScore:
    """Agreement for one class."""

    code: int
    """The value in the map."""
    name: str
    """Of it."""
    f1: float | None
    """0..1; None where the class is neither labelled nor mapped."""
    iou: float | None
    """Intersection over union, 0..1; None where the class is neither labelled nor mapped."""
    precision: float | None
    """Share of the pixels mapped as this class that are labelled so, 0..1; None where none is mapped so."""
    recall: float | None
    """Share of the pixels labelled as this class that are mapped so, 0..1; None where none is labelled so."""
    support: int
    """Labelled pixels of this class."""


@dataclass(frozen=True)
class ClassScores:
    """Agreement of a map of classes with labels."""

    classes: tuple[ClassScore, ...]
    """One for each class, in the order of the legend."""
    macro_f1: float | None
    """Mean F1 of the classes that are labelled, 0..1; None where there is no pixel."""
    macro_iou: float | None
    """Mean intersection over union of the classes that are labelled, 0..1; None where there is no pixel."""
    kappa: float | None
    """Cohen's kappa, -1..1; None where the labels hold one class only."""
    overall_accuracy: float | None
    """Share of the pixels mapped as labelled, 0..1; None where there is no pixel."""
    n: int
    """Pixels that are labelled and mapped."""


@dataclass(frozen=True)
class Spread:
    """A score over repeated runs, for example one for each seed."""

    mean: float | None
    """None where the score was defined in no run."""
    std: float | None
    """Sample standard deviation (n - 1); None with fewer than two runs."""
    low: float | None
    """Smallest value."""
    high: float | None
    """Largest value."""
    n: int
    """Runs in which the score was defined."""


def binary_scores(truth: np.ndarray, score: np.ndarray, threshold: float) -> BinaryScores:
    """Score a change map: a pixel is mapped as changed where `score >= threshold`.

    Args:
        truth: Any shape: 0 = unchanged, 1 = changed, 255 = not labelled.
        score: Same shape; the higher, the more likely changed; NaN = not observed.
        threshold: In the units of `score`.

    Raises:
        ValueError: The shapes differ, or `truth` holds another value.
    """
    # Slow to import, and a map needs none.
    from sklearn.metrics import cohen_kappa_score, roc_auc_score

    keep = _mask_labelled(truth, score) & np.isfinite(score)
    y, s = truth[keep].astype(np.uint8), score[keep]
    if y.size and y.max() > 1:
        raise ValueError(f"Labels hold {y.max()}; expected 0 (unchanged), 1 (changed) or 255 (not labelled).")
    mapped = (s >= threshold).astype(np.uint8)
    (tn, fp), (fn, tp) = confusion(y, mapped, (0, 1)).tolist()
    both = 0 < tp + fn < y.size
    return BinaryScores(
        kappa=float(cohen_kappa_score(y, mapped, labels=[0, 1])) if both else None,
        f1=_ratio(2 * tp, 2 * tp + fp + fn) if tp + fn else None,
        iou=_ratio(tp, tp + fp + fn) if tp + fn else None,
        precision=_ratio(tp, tp + fp),
        recall=_ratio(tp, tp + fn),
        auc=float(roc_auc_score(y, s)) if both else None,
        overall_accuracy=_ratio(tp + tn, y.size),
        n=int(y.size),
    )


def score_evidence(
    truth: np.ndarray, mapped: np.ndarray, blocks: np.ndarray, *, replicates: int = 1000, seed: int = 0
) -> ScoreEvidence:
    """Return what scores of changed rest on: percentiles of a bootstrap that draws whole blocks.

    Pixels of a block are alike, so that drawing pixels would make the intervals far too narrow. With few blocks these are too
    narrow as well, and they are about other blocks of the same territory, never about other territories.

    Args:
        truth: (n,): 0 = unchanged, 1 = changed; labelled pixels alone.
        mapped: bool (n,): mapped as changed.
        blocks: int (n,): the block of each pixel.
        replicates: Draws.
        seed: Of the draws.
    """
    names, index = np.unique(blocks, return_inverse=True)
    changed = truth == 1
    parts = (changed & mapped, ~changed & mapped, changed & ~mapped, ~changed & ~mapped)
    cells = np.stack([np.bincount(index, weights=part, minlength=len(names)) for part in parts])
    return evidence_of_cells(cells, replicates=replicates, seed=seed)


def evidence_of_cells(cells: np.ndarray, *, replicates: int = 1000, seed: int = 0) -> ScoreEvidence:
    """Return the same as `score_evidence` from counts (4, block): hits, false alarms, misses, and unchanged pixels left so."""
    count, changed, bounds = cells.shape[1], int(cells[[0, 2]].sum()), list[tuple[float, float] | None]([None] * 4)
    if count > 1 and changed:
        drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=replicates)
        again = (cells @ drawn.T).astype(np.float64)
        for number, values in enumerate((*kappa_and_f1(again), *(_divide(again[0], again[0] + again[i]) for i in (1, 2)))):
            known = values[np.isfinite(values)]
            bounds[number] = tuple(np.quantile(known, [0.025, 0.975]).tolist()) if known.size else None
    return ScoreEvidence(changed, count, bounds[0], bounds[1], precision=bounds[2], recall=bounds[3])


def kappa_and_f1(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return Cohen's kappa and F1 of changed, each (n,), NaN where not defined, from counts (4, n) as `evidence_of_cells`."""
    hit, false, missed, still = cells.astype(np.float64)
    total = hit + false + missed + still
    chance = (hit + false) * (hit + missed) + (missed + still) * (false + still)
    return _divide(total * (hit + still) - chance, total**2 - chance), _divide(2 * hit, 2 * hit + false + missed)


def kind_scores(
    truth: np.ndarray, mapped: np.ndarray, blocks: np.ndarray, legend: Legend
) -> tuple[KindScore, ...]:  # fmt: skip
    """Return how often each kind of change was right, and found: one row for each kind of the legend.

    Args:
        truth: (n,): change codes of the labelled, observed test pixels, 1 = unchanged.
        mapped: (n,), mapped, in the same codes.
        blocks: int (n,): the block of each pixel.
        legend: The project's legend.
    """
    same = truth == mapped
    return tuple(
        KindScore(
            kind.code, kind.name,
            *(share_in_blocks(same[codes == kind.code], blocks[codes == kind.code]) for codes in (mapped, truth)),
        )
        for kind in legend.changes[CHANGED:]
    )  # fmt: skip


def class_scores(truth: np.ndarray, predicted: np.ndarray, legend: Legend) -> ClassScores:
    """Score a land-use map of one date.

    Args:
        truth: Any shape: land-use codes, 255 = not labelled.
        predicted: Same shape: land-use codes, 0 or 255 = not observed.
        legend: The classes; not a binary one.

    Raises:
        ValueError: The shapes differ.
        InputError: A code is not in the legend.
    """
    return _scores(truth, predicted, {c.code: c.name for c in legend.classes})


def transition_scores(truth: np.ndarray, predicted: np.ndarray, legend: Legend) -> ClassScores:
    """Score a change map: as `class_scores`, with the legend's change codes (1 = unchanged, then one a change)."""
    return _scores(truth, predicted, {c.code: c.name for c in legend.changes if c.code != NOT_OBSERVED})


def confusion(truth: np.ndarray, predicted: np.ndarray, codes: Sequence[int]) -> np.ndarray:
    """Count the pixels of each pair of codes.

    Args:
        truth: Any shape; 255 = not labelled, left out.
        predicted: Same shape; 255 = not observed, left out.
        codes: Order of the rows and columns; a pixel with another code on either side is left out.

    Returns:
        int64 (code, code), indexed `[truth, predicted]`.

    Raises:
        ValueError: The shapes differ.
    """
    keep = _mask_labelled(truth, predicted) & np.isin(truth, codes) & np.isin(predicted, codes)
    if not keep.any():
        return np.zeros((len(codes), len(codes)), dtype=np.int64)
    # Slow to import, and a map needs none.
    from sklearn.metrics import confusion_matrix

    return np.asarray(confusion_matrix(truth[keep], predicted[keep], labels=list(codes)), dtype=np.int64)


def mean_and_spread(scores: Sequence[BinaryScores]) -> dict[str, Spread]:
    """Summarise repeated runs: one `Spread` for each field of `BinaryScores`."""
    return {name: spread([getattr(row, name) for row in scores]) for name in BinaryScores.__dataclass_fields__}


def spread(values: Sequence[float | None]) -> Spread:
    """Summarise the values that are defined; None and NaN are left out."""
    known = np.asarray([v for v in values if v is not None and not math.isnan(v)], dtype=np.float64)
    if known.size == 0:
        return Spread(None, None, None, None, n=0)
    std = float(known.std(ddof=1)) if known.size > 1 else None
    return Spread(float(known.mean()), std, float(known.min()), float(known.max()), n=int(known.size))


def _scores(truth: np.ndarray, predicted: np.ndarray, names: Mapping[int, str]) -> ClassScores:
    keep = _mask_labelled(truth, predicted) & (predicted != NOT_LABELLED) & (predicted != NOT_OBSERVED)
    t, p = truth[keep], predicted[keep]
    unknown = sorted({int(v) for v in np.concatenate([np.unique(t), np.unique(p)])} - set(names))
    if unknown:
        raise InputError(f"Code {unknown[0]} is not in the legend ({sorted(names)}): was the map made with another one?")
    counts = confusion(t, p, tuple(names))
    hits, labelled, mapped = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
    classes = tuple(
        ClassScore(
            code=code,
            name=name,
            f1=_ratio(2 * hits[k], labelled[k] + mapped[k]),
            iou=_ratio(hits[k], labelled[k] + mapped[k] - hits[k]),
            precision=_ratio(hits[k], mapped[k]),
            recall=_ratio(hits[k], labelled[k]),
            support=int(labelled[k]),
        )
        for k, (code, name) in enumerate(names.items())
    )
    # Slow to import, and a map needs none.
    from sklearn.metrics import cohen_kappa_score

    present = [c for c in classes if c.support]
    return ClassScores(
        classes=classes,
        macro_f1=spread([c.f1 for c in present]).mean,
        macro_iou=spread([c.iou for c in present]).mean,
        kappa=float(cohen_kappa_score(t, p)) if len(present) > 1 else None,
        overall_accuracy=_ratio(hits.sum(), t.size),
        n=int(t.size),
    )


def _mask_labelled(truth: np.ndarray, other: np.ndarray) -> np.ndarray:
    if truth.shape != other.shape:
        raise ValueError(f"Labels have shape {truth.shape} and the map {other.shape}; they must be the same.")
    return np.asarray(truth != NOT_LABELLED)


def _divide(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.asarray(np.divide(part, whole, out=np.full_like(whole, np.nan), where=whole > 0))


def _ratio(part: float, whole: float) -> float | None:
    return float(part) / float(whole) if whole else None
