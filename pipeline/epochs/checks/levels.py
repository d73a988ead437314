"""Levels of the bands of two dates: whether scale and offset were read right, of one date or of both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from landshift.pipeline.gates import RULES, Caution, Gate, GateRules, judge, judge_unknown

Light = Literal["visible", "near infrared", "shortwave", "air", "unknown"]
"""What a band sees; `air` are those of water vapour and cirrus, which see little of the ground."""

_AIR_NM = ((930, 960), (1330, 1450), (1800, 1960))
"""Absorption of water vapour, where bands show the air."""
_VISIBLE_NM, _NEAR_NM, _SHORT_NM = (400, 700), (740, 1330), (1450, 2500)

# Vegetation, water, shadow and wet soil are dark in at least one band: dense vegetation has 0.01 to 0.06 in red (Kaufman et al.
# 1997, doi:10.1109/36.628795; spectra of many surfaces: doi:10.3133/ds1035). Twelve dates of real scenes and 18 of the demo
# have 0.010 to 0.035 where clear, 0.077 and 0.107 on the two under cloud. With Sentinel-2's offset of 0.1 left in that is
# 0.11 to 0.14, and taken off twice -0.09 to -0.06.
_LOWEST_DARK, _HIGHEST_DARK = -0.03, 0.08
# The brightest band of the same dates has a median of 0.23 to 0.43 (near infrared, of vegetation and soil). Where only visible
# bands are known, a forest is as dark as 0.03 in green.
_LOWEST_BRIGHT, _LOWEST_VISIBLE = 0.08, 0.012
_HIGHEST_MEDIAN: Mapping[Light, float] = {"visible": 0.35, "near infrared": 0.8, "shortwave": 0.7}
"""Beyond it at the median lie snow, cloud, salt or sand; the same dates have at most 0.32, 0.43 and 0.32, overcast ones too."""
_DARK = 5.0
"""Percentile of a band that is its dark level: low, but neither a defect nor a single shadow."""


@dataclass(frozen=True)
class Levels:
    """Levels of the bands of both dates, each before and then after, in the units of the images."""

    kinds: tuple[Light, ...]
    """What each band sees."""
    dark: tuple[float, ...]
    """5th percentile of each band, before and then after; empty where no pixel was observed on both dates."""
    medians: tuple[float, ...]
    """Of each band; empty as above."""
    ratios: tuple[float, ...]
    """Level after over that before on stable ground, a band each, above 0; empty where it has no meaning."""
    reason: str = ""
    """Why there are no ratios, a clause; empty where there are."""


def light_of(wavelength_nm: float | None) -> Light:
    """Return what a band of a centre wavelength in nanometres sees."""
    if wavelength_nm is None:
        return "unknown"
    if any(low <= wavelength_nm <= high for low, high in _AIR_NM):
        return "air"
    named: dict[Light, tuple[int, int]] = {"visible": _VISIBLE_NM, "near infrared": _NEAR_NM, "shortwave": _SHORT_NM}
    return next((kind for kind, (low, high) in named.items() if low <= wavelength_nm <= high), "unknown")


def measure_levels(
    before: np.ndarray, after: np.ndarray, wavelengths_nm: Sequence[float | None], stable: np.ndarray | None = None
) -> Levels:
    """Measure the levels of the same pixels of both dates, (n, band), no NaN.

    The ratio of a band is that of the medians of the stable pixels, which hold in any unit whose zero is dark. A band with a
    median that is not above 0 (decibels, an index) gives the ratio of the spreads of the dates instead.

    Args:
        before: Observed on both dates.
        after: The same pixels.
        wavelengths_nm: Of each band, None where it is not known.
        stable: Numbers of the pixels that look unchanged; None takes all.
    """
    kinds = tuple(light_of(w) for w in wavelengths_nm)
    if not len(before):
        return Levels(kinds, (), (), (), reason="no pixel was observed on both dates")
    dark = [float(v) for date in (before, after) for v in np.percentile(date, _DARK, axis=0)]
    medians = [float(v) for date in (before, after) for v in np.median(date, axis=0)]
    first, second = (date if stable is None else date[stable] for date in (before, after))
    ratios = []
    for band, (earlier, later) in enumerate(zip(first.T, second.T, strict=True)):
        low, high = float(np.median(earlier)), float(np.median(later))
        if low <= 0 or high <= 0:
            # Of all pixels: what is stable may be all alike.
            low, high = (float(np.subtract(*np.percentile(date[:, band], (95, 5)))) for date in (before, after))
        if low > 0 and high > 0:
            ratios.append(high / low)
    reason = "" if ratios else "no band has values above 0, or values that differ, on both dates"
    return Levels(kinds, tuple(dark), tuple(medians), tuple(ratios), reason=reason)


def ratio_gate(levels: Levels, rules: GateRules = RULES) -> Gate:
    """Ask whether one date is many times brighter than the other, in whatever unit.

    A wrong scale changes all bands alike, a season some more than others: the middle band's ratio counts.
    """
    limit, name = f"at most {rules['level_ratio'].limit:g} times", "Levels of the dates"
    if not levels.ratios:
        reason = f"Whether the dates have one scale could not be measured: {levels.reason}."
        return judge_unknown("level_ratio", name, rules, limit=limit, reason=reason)
    ratio = float(np.exp(np.median(np.log(levels.ratios))))
    times, brighter = max(ratio, 1 / ratio), "after" if ratio > 1 else "before"
    return judge(
        "level_ratio", name, times, rules, found=f"the date {brighter} is {times:.2f} times as bright", limit=limit,
        met="Ground that looks unchanged has the same order of values on both dates.",
        missed=Caution(
            f"The date {brighter} is {times:.3g} times as bright as the other, on ground that looks unchanged: its numbers "
            f"were read in another unit than the other's, or it lies under cloud or snow.",
            "Correct scale and offset in `sensor:`, bring the files to one unit, or choose another date.",
        ),
    )  # fmt: skip


def scale_gate(levels: Levels, bands: Sequence[str], *, is_reflectance: bool, rules: GateRules = RULES) -> Gate:
    """Ask whether the levels of each date can be the reflectance of land."""
    name, limit = "Scale of the values", "levels that land has"
    if not is_reflectance or not levels.medians or set(levels.kinds) <= {"unknown", "air"}:
        reason = (
            "Only reflectance has a known range; whether scale and offset are right is not known." if not is_reflectance
            else "Whether scale and offset are right is not known: no pixel was observed on both dates." if not levels.medians
            else "Whether scale and offset are right is not known: no wavelength of a band is."
        )  # fmt: skip
        remedy = "Set `sensor: wavelengths_nm:`." if is_reflectance and levels.medians else ""
        return judge_unknown("implausible_levels", name, rules, limit=limit, reason=reason, remedy=remedy)
    faults = _faults(levels, bands)
    low, high = min(levels.dark), max(levels.medians)
    found = f"{low:.3g} where dark to {high:.3g} at the median" + (f"; {len(faults)} implausible" if faults else "")
    return judge(
        "implausible_levels", name, len(faults), rules, found=found, limit=limit,
        met="Scale and offset of the scenes were read right, as far as levels show.",
        missed=Caution(
            f"{' '.join(faults)} Snow, cloud, desert or water all over the region look the same: levels do not distinguish "
            f"them from a wrong scale.", "Check `sensor: scale:`, `offset:` and `number_offset:`.",
        ),
    )  # fmt: skip


def _faults(levels: Levels, bands: Sequence[str]) -> list[str]:
    """Return what land does not look like, a sentence each."""
    known = [i for i, kind in enumerate(levels.kinds) if kind not in ("unknown", "air")]
    count, found = len(levels.kinds), []
    is_beyond_visible = any(levels.kinds[i] in ("near infrared", "shortwave") for i in known)
    for start, date in ((0, "Before"), (count, "After")):
        dark = min(known, key=lambda i: levels.dark[start + i])
        bright = max(known, key=lambda i: levels.medians[start + i])
        lowest, highest = levels.dark[start + dark], levels.medians[start + bright]
        if lowest < _LOWEST_DARK:
            found.append(f"{date}, {bands[dark]} is {lowest:.3g} where it is dark, as with an offset taken off twice.")
        if lowest > _HIGHEST_DARK:
            found.append(
                f"{date}, no band is darker than {lowest:.3g}, not even in shadow or vegetation, as with an "
                f"offset (Sentinel-2: 1000) left in or a scale too large."
            )
        if highest < (_LOWEST_BRIGHT if is_beyond_visible else _LOWEST_VISIBLE):
            found.append(f"{date}, no band is brighter than {highest:.3g} at its median, as with a scale too small.")
        found += [
            f"{date}, {bands[i]} has a median of {levels.medians[start + i]:.3g}, as with a scale too large."
            for i in known
            if levels.medians[start + i] > _HIGHEST_MEDIAN[levels.kinds[i]]
        ]
    return found
