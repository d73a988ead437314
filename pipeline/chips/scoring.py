"""Scores of a map image by image: the median, the spread and the worst, which a score over all pixels hides."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from landshift.pipeline.scores.accuracy import BinaryScores, kappa_and_f1
from landshift.pipeline.scores.training import ImageScore, ImageScores, Quartiles

WORST = 10
"""Images that are named."""


def score_images(cells: np.ndarray, names: Sequence[str]) -> tuple[ImageScore, ...]:
    """Score each image.

    Args:
        cells: int (4, image): hits, false alarms, misses, and unchanged pixels left so.
        names: Of the images.
    """
    kappa, f1 = kappa_and_f1(cells)
    hit, false, missed, still = cells.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        iou, alarms = hit / (hit + false + missed), false / (false + still)
    changed, pixels = hit + missed, cells.sum(axis=0)
    both = (changed > 0) & (changed < pixels)
    return tuple(
        ImageScore(
            name, int(pixels[i]), int(changed[i]), int(hit[i] + false[i]),
            kappa=float(kappa[i]) if both[i] else None, f1=float(f1[i]) if changed[i] else None,
            iou=float(iou[i]) if changed[i] else None, false_alarms=float(alarms[i]) if changed[i] < pixels[i] else None,
        )
        for i, name in enumerate(names) if pixels[i]
    )  # fmt: skip


def summarise_images(scores: Sequence[ImageScore]) -> ImageScores:
    """Summarise the images: quartiles of each score, and the worst."""
    with_change = [s for s in scores if s.changed]
    without = [s for s in scores if not s.changed]
    loudest = max(without, key=lambda s: s.false_alarms or 0.0, default=None)
    return ImageScores(
        len(scores), len(with_change), _quartiles([s.kappa for s in scores]), _quartiles([s.f1 for s in scores]),
        iou=_quartiles([s.iou for s in scores]), false_alarms=_quartiles([s.false_alarms for s in without]),
        worst=tuple(sorted(with_change, key=lambda s: (s.f1 or 0.0, s.name))[:WORST]),
        worst_alarms=loudest if loudest is not None and loudest.mapped else None,
    )  # fmt: skip


def scores_of_cells(cells: np.ndarray, auc: float | None) -> BinaryScores:
    """Return the scores over all pixels of all images from counts (4, image), exact but for `auc`, which is passed on."""
    total = cells.sum(axis=1, keepdims=True)
    kappa, f1 = (float(v[0]) for v in kappa_and_f1(total))
    hit, false, missed, still = (int(v) for v in total[:, 0])
    changed, pixels = hit + missed, hit + false + missed + still
    return BinaryScores(
        kappa=kappa if 0 < changed < pixels else None, f1=f1 if changed else None,
        iou=hit / (hit + false + missed) if changed else None, precision=hit / (hit + false) if hit + false else None,
        recall=hit / changed if changed else None, auc=auc,
        overall_accuracy=(hit + still) / pixels if pixels else None, n=pixels,
    )  # fmt: skip


def table_of_images(scores: Sequence[ImageScore]) -> list[Mapping[str, str | int | float | None]]:
    """Return one row an image, for a table."""
    return [asdict(score) for score in scores]


def _quartiles(values: Sequence[float | None]) -> Quartiles:
    known = [v for v in values if v is not None]
    if not known:
        return Quartiles(None, None, None, 0)
    low, median, high = (float(v) for v in np.quantile(known, [0.25, 0.5, 0.75]))
    return Quartiles(low, median, high, len(known))
