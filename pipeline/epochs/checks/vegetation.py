"""Season that the plants of two dates show, whatever the dates of the files are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from landshift.pipeline.gates import RULES, Caution, Gate, GateRules, judge, judge_unknown

_RED_NM, _NEAR_NM = (610, 700), (740, 920)
_PLANTS = 0.4
"""Vegetation index from which ground counts as covered by plants, on the greener date."""
_FEWEST = 100
"""Pixels with plants that are needed."""


@dataclass(frozen=True)
class VegetationDifference:
    """How much greener one date is than the other."""

    median: float | None
    """Of the index after less that before, -2..2, over ground that plants cover on either date; None where it could not be
    measured."""
    share: float
    """Of the observed pixels that plants cover on either date, 0..1."""
    reason: str = ""
    """Why it could not be measured, a clause; empty where it was."""


def vegetation_difference(
    before: np.ndarray, after: np.ndarray, wavelengths_nm: Sequence[float | None], *, is_reflectance: bool
) -> VegetationDifference:
    """Measure the difference of the vegetation index (near infrared less red over their sum) of the same pixels, (n, band).

    Land use that changes on less than half of the ground that plants cover has no part in the median, nor have crops that
    follow one another: what is green on one field is bare on another.
    """
    red, near = (_nearest(wavelengths_nm, low, high) for low, high in (_RED_NM, _NEAR_NM))
    if not is_reflectance:
        return VegetationDifference(None, 0.0, "the values are not reflectance, and other units have no index of plants")
    if red is None or near is None:
        return VegetationDifference(None, 0.0, "it takes a red and a near infrared band of known wavelengths")
    first, second = (_index(date[:, red], date[:, near]) for date in (before, after))
    plants = np.maximum(first, second) > _PLANTS
    share = float(plants.mean()) if plants.size else 0.0
    if int(plants.sum()) < _FEWEST:
        return VegetationDifference(None, share, "plants cover too little of what was observed on both dates")
    return VegetationDifference(float(np.median(second[plants] - first[plants])), share)


def vegetation_gate(difference: VegetationDifference, rules: GateRules = RULES) -> Gate:
    """Ask whether the plants of both dates show one season."""
    name, limit = "Season of the plants", f"at most {rules['vegetation_difference'].limit:g} of the vegetation index"
    if difference.median is None:
        reason = f"Whether plants show the same season on both dates could not be measured: {difference.reason}."
        return judge_unknown("vegetation_difference", name, rules, limit=limit, reason=reason)
    size, word = abs(difference.median), "greener" if difference.median > 0 else "less green"
    return judge(
        "vegetation_difference", name, size, rules, found=f"{size:.2f} {word} after", limit=limit,
        met="Ground that plants cover is about as green on both dates.",
        missed=Caution(
            f"Over half of the ground that plants cover is {word} after, by {size:.2f} of the vegetation index: another "
            f"season, drought, cloud or haze, or a change of most plants, which pixels alone do not distinguish.",
            "Check that the dates of the files are those of the images, and choose dates of one season.",
        ),
    )  # fmt: skip


def _nearest(wavelengths_nm: Sequence[float | None], low: float, high: float) -> int | None:
    """Return the number of the band nearest to the middle of a range, None where none lies in it."""
    inside = {i: abs(w - (low + high) / 2) for i, w in enumerate(wavelengths_nm) if w is not None and low <= w <= high}
    return min(inside, key=lambda i: inside[i]) if inside else None


def _index(red: np.ndarray, near: np.ndarray) -> np.ndarray:
    total = near + red
    return np.asarray(np.divide(near - red, total, out=np.zeros_like(total), where=total > 0))
