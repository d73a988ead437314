"""Clouds of one date that no mask took out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from landshift.pipeline.epochs.checks.levels import light_of
from landshift.pipeline.formatting import percent
from landshift.pipeline.gates import RULES, Caution, Gate, GateRules, judge, judge_unknown

_CLEAR_BLUE_NM = 450
"""Nearer to violet the air itself is bright, and a cloud stands out less."""
_TIMES = 1.7
"""How many times as bright as the other date a cloud is, in every visible band: as that pixel and as that date's median."""
_ADDED = 0.05
"""Reflectance that a cloud adds at least, in every visible band."""
_WHITE = 0.5
"""A cloud adds in its bluest band at least so much of what it adds in its reddest one; bare soil, tiles and stubble less."""
_SOLID = np.ones((3, 3), dtype=bool)
"""Smaller bright things are roofs and edges."""


@dataclass(frozen=True)
class UnmaskedClouds:
    """How much of each date looks like cloud though nothing masked it."""

    before: float | None
    """Share of the pixels observed on both dates, 0..1; None where it could not be measured."""
    after: float | None
    """As `before`."""
    reason: str = ""
    """Why it could not be measured, a clause; empty where it was."""


class CloudCount:
    """Counts pixels that are bright and white on one date only, window by window."""

    def __init__(self, medians: Sequence[float], wavelengths_nm: Sequence[float | None], *, is_reflectance: bool) -> None:
        """Start to count.

        Args:
            medians: Of each band, before and then after; empty where nothing was observed on both dates.
            wavelengths_nm: Of each band, None where it is not known.
            is_reflectance: Whether the values are reflectance; other units are compared band by band at one median, and their
                whiteness is not asked.
        """
        seen = [i for i, w in enumerate(wavelengths_nm) if w is not None and w >= _CLEAR_BLUE_NM and light_of(w) == "visible"]
        self._bands = sorted(seen, key=lambda i: wavelengths_nm[i] or 0)
        self._is_reflectance = is_reflectance
        levels = np.array(medians, dtype=np.float64).reshape(2, -1)[:, self._bands] if medians else np.ones((2, 0))
        self._levels = levels[:, :, None, None]
        self._observed, self._cloudy = 0, [0, 0]

    def add(self, before: np.ndarray, after: np.ndarray) -> None:
        """Count a window of both dates, (band, y, x), NaN where not observed."""
        if not self._levels.size or (self._levels <= 0).any():
            return
        observed = np.isfinite(before).all(axis=0) & np.isfinite(after).all(axis=0)
        self._observed += int(observed.sum())
        images = [image[self._bands] for image in (before, after)]
        levels = list(self._levels)
        if not self._is_reflectance:
            images = [image / level for image, level in zip(images, levels, strict=True)]
            levels = [np.ones_like(level) for level in levels]
        for date in (0, 1):
            here, there, usual = images[date], images[1 - date], levels[1 - date]
            bright = ((here > _TIMES * there) & (here > _TIMES * usual)).all(axis=0) & observed
            if self._is_reflectance:
                added = here - there
                bright &= (added > _ADDED).all(axis=0) & (added[0] > _WHITE * added[-1])
            self._cloudy[date] += int(ndimage.binary_opening(bright, _SOLID).sum())

    def result(self) -> UnmaskedClouds:
        """Return the shares of what was counted."""
        if not self._bands:
            return UnmaskedClouds(None, None, "no band is known to see visible light")
        if not self._levels.size or not self._observed:
            return UnmaskedClouds(None, None, "no pixel was observed on both dates")
        if (self._levels <= 0).any():
            return UnmaskedClouds(None, None, "a visible band is not above 0 at its median, so that brighter has no meaning")
        before, after = (count / self._observed for count in self._cloudy)
        return UnmaskedClouds(before, after)


def cloud_gate(clouds: UnmaskedClouds, rules: GateRules = RULES) -> Gate:
    """Ask how much of a date looks like cloud that no mask took out."""
    name, limit = "Clouds that no mask took out", f"at most {percent(rules['unmasked_clouds'].limit)} of a date"
    if clouds.before is None or clouds.after is None:
        reason = f"Whether clouds were left in could not be measured: {clouds.reason}."
        return judge_unknown("unmasked_clouds", name, rules, limit=limit, reason=reason)
    date, share = max((("before", clouds.before), ("after", clouds.after)), key=lambda pair: pair[1])
    return judge(
        "unmasked_clouds", name, share, rules, found=f"{percent(share)} of the date {date}" if share else "none", limit=limit,
        met="Next to nothing is bright and white on one date only. Thin haze, and clouds on both dates at one place, cannot be "
        "seen.",
        missed=Caution(
            f"{percent(share)} of the date {date} is bright and white, and dark on the other date: cloud that no mask took "
            f"out, snow, or large new roofs or quarries, which pixels alone do not distinguish. It will be mapped as change.",
            "Mask it (`scenes: clouds: mask: model`), or choose another date.",
        ),
    )  # fmt: skip
