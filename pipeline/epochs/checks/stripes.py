"""Stripes of one date: rows or columns of a sensor that are brighter or darker than the others."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from landshift.pipeline.epochs.checks.levels import light_of
from landshift.pipeline.formatting import percent
from landshift.pipeline.gates import RULES, Caution, Gate, GateRules, judge, judge_unknown
from landshift.pipeline.tiles import Window

_WIDE = 8
"""Pixels across a profile: the median over so many pixels of a row."""
_NETWORK = (
    *((0, 2), (1, 3), (4, 6), (5, 7)), *((0, 4), (1, 5), (2, 6), (3, 7)), *((0, 1), (2, 3), (4, 5), (6, 7)),
    *((2, 4), (3, 5)), *((1, 4), (3, 6)), *((1, 2), (3, 4), (5, 6)),
)  # fmt: skip
"""Pairs of `_WIDE` values that are put in order one after the other until all are."""
_SMOOTH = 15
"""Pixels: what is wider than about half of this along a profile is ground and no stripe."""
_APART = 64
"""Pixels between profiles that are compared; fields, roads and roofs are seldom longer."""
_LARGEST = 0.2
"""Share of a band's median: differences beyond count as this much."""
_SEEN = 0.8
"""Share of a profile that has to be observed."""
_NEAR = 256
"""Pixels: windows nearer to one another than this are looked at together along slanted stripes."""
_SLOPES = (0.0, *(s / 20 for n in range(1, 6) for s in (n, -n)))
"""Rows that a stripe falls a pixel: images in map coordinates are turned against the sensor's rows, by up to a quarter."""
_SURE = 2.0
"""How much more than the other image the difference has to share with the one whose stripes they are."""
_FEWEST = 30
"""Pairs of profiles that a part of the region has to give."""


@dataclass(frozen=True)
class Stripes:
    """The strongest stripes of the difference of two dates."""

    strength: float | None
    """Standard deviation of what rows or columns share over long distances, as a share of the band's median, from 0; None where
    it could not be measured."""
    band: int | None
    """With the strongest ones, from 1; None as above."""
    along: str = ""
    """`rows` or `columns`; empty as above."""
    date: str = ""
    """Of the striped image, `before` or `after`; empty where both are alike or it could not be measured."""
    reason: str = ""
    """Why it could not be measured, a clause; empty where it was."""


@dataclass
class _Profiles:
    """Profiles across the stripes of a window."""

    start: int
    """Of the window, along the stripes."""
    place: int
    """Of the window, across the stripes."""
    values: np.ndarray = field(repr=False)
    """float32 (profile, image, band, pixel): difference, before, after, less their means; 0 where too little was observed."""
    known: np.ndarray = field(repr=False)
    """bool (profile, pixel): where enough was observed."""


class StripeSearch:
    """Gathers profiles of windows of two dates, and finds what those far apart share."""

    def __init__(self, medians: Sequence[float], wavelengths_nm: Sequence[float | None]) -> None:
        """Start with nothing.

        Args:
            medians: Of each band, before and then after; empty where nothing was observed on both dates.
            wavelengths_nm: Of each band, None where it is not known; bands that see the air alone are left out.
        """
        levels = np.array(medians, dtype=np.float64).reshape(2, -1) if medians else np.zeros((2, 0))
        usable = [i for i in range(levels.shape[1]) if light_of(wavelengths_nm[i]) != "air" and (levels[:, i] > 0).all()]
        self._bands, self._levels = usable, levels[:, usable, None, None]
        self._along: dict[str, list[_Profiles]] = {"rows": [], "columns": []}

    def add(self, window: Window, before: np.ndarray, after: np.ndarray) -> None:
        """Take the profiles of a window of both dates, (band, y, x), NaN where not observed."""
        if not self._bands:
            return
        first, second = (image[self._bands] / level for image, level in zip((before, after), self._levels, strict=True))
        difference = second - first
        # What changed differs by much more than a stripe, and would outvote it.
        middle = np.nanmedian(difference, axis=(1, 2), keepdims=True) if np.isfinite(difference).any() else 0
        difference = np.clip(difference - middle, -_LARGEST, _LARGEST)
        images = np.stack([difference, first, second]).astype(np.float32)
        images[:, :, ~np.isfinite(images[0]).all(axis=0)] = np.nan
        self._along["rows"].append(_Profiles(window.x, window.y, *_profiles(images)))
        self._along["columns"].append(_Profiles(window.y, window.x, *_profiles(images.swapaxes(2, 3))))

    def result(self) -> Stripes:
        """Return the strongest stripes that were found."""
        best: tuple[float, int, str, str] | None = None
        for along, parts in self._along.items():
            for slope in _SLOPES:
                shared = _find_shared(parts, slope)
                if shared is None:
                    continue
                strength = np.sqrt(np.maximum(shared[0], 0))
                band = int(strength.argmax())
                if best is None or strength[band] > best[0]:
                    # A stripe of the later image goes with the difference, one of the earlier image against it.
                    earlier, later = -shared[1, band], shared[2, band]
                    date = "after" if later > _SURE * abs(earlier) else "before" if earlier > _SURE * abs(later) else ""
                    best = float(strength[band]), self._bands[band] + 1, along, date
        if best is None:
            reason = "no band has values above 0" if not self._bands else "too little of the region was observed on both dates"
            return Stripes(None, None, reason=reason)
        return Stripes(best[0], best[1], along=best[2], date=best[3])


def stripe_gate(stripes: Stripes, bands: Sequence[str], rules: GateRules = RULES) -> Gate:
    """Ask whether rows or columns of a date stand out."""
    name, limit = "Stripes", f"at most {percent(rules['stripes'].limit)} of the median"
    if stripes.strength is None or stripes.band is None:
        reason = f"Whether the images have stripes could not be measured: {stripes.reason}."
        return judge_unknown("stripes", name, rules, limit=limit, reason=reason)
    found = f"{percent(stripes.strength)} of the median in band {bands[stripes.band - 1]}, along {stripes.along}"
    where = f"the image {stripes.date}" if stripes.date else "the images"
    return judge(
        "stripes", name, stripes.strength, rules, found=found, limit=limit,
        met="No rows or columns of one date stand out over long distances.",
        missed=Caution(
            f"Stripes along the {stripes.along} of {where} ({found}): a sensor's lines that are brighter or darker, or gaps "
            f"that were filled. They will be mapped as change.",
            "Take another scene, or one with its stripes taken out or masked.",
        ),
    )  # fmt: skip


def _profiles(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the profiles of images (image, band, y, x), without what is wide along them, as `_Profiles` has them."""
    kinds, bands, height, width = images.shape
    count = width // _WIDE
    blocks = images[..., : count * _WIDE].reshape(kinds, bands, height, count, _WIDE)
    seen = np.isfinite(blocks).all(axis=(0, 1, 4))
    middle = _median_of_eight(np.nan_to_num(blocks))
    # Gaps are filled along the profile, so that their borders are no stripes.
    at = np.arange(height)
    for i in range(count):
        known = np.flatnonzero(seen[:, i])
        if known.size and known.size < height:
            near = known[np.abs(at[:, None] - known[None, :]).argmin(axis=1)]
            middle[..., i] = middle[:, :, near, i]
    rest = middle - _smooth(middle)
    known = (seen & (seen.mean(axis=0) >= _SEEN)).T
    profiles = np.ascontiguousarray(np.moveaxis(rest, 3, 0))
    for there, profile in zip(known, profiles, strict=True):
        if there.any():
            profile -= profile[..., there].mean(axis=-1, keepdims=True)
        profile[..., ~there] = 0
    return profiles, known


def _median_of_eight(values: np.ndarray) -> np.ndarray:
    """Return the median along the last axis, of `_WIDE` values: sorted by a network, which is done for all at once."""
    lanes = list(np.moveaxis(values, -1, 0).copy())
    for i, j in _NETWORK:
        lanes[i], lanes[j] = np.minimum(lanes[i], lanes[j]), np.maximum(lanes[i], lanes[j])
    return np.asarray((lanes[_WIDE // 2 - 1] + lanes[_WIDE // 2]) / 2)


def _smooth(middle: np.ndarray) -> np.ndarray:
    """Return the running median along the third axis, the outermost values continued beyond the ends."""
    lines = np.moveaxis(middle, 2, -1)
    half = _SMOOTH // 2
    wide = np.pad(lines, ((0, 0),) * 3 + ((half, half),), mode="edge")
    # All lines as one: SciPy is much faster in one dimension.
    long = ndimage.median_filter(wide.ravel(), size=_SMOOTH, mode="nearest").reshape(wide.shape)
    return np.moveaxis(long[..., half : half + lines.shape[-1]], -1, 2)


def _find_shared(parts: Sequence[_Profiles], slope: float) -> np.ndarray | None:
    """Return what profiles far apart share, (image, band): the median over the region of what `_multiply` returns."""
    found = [shared for group in _groups(parts, slope) if (shared := _multiply(group, slope)) is not None]
    return np.median(found, axis=0) if found else None


def _groups(parts: Sequence[_Profiles], slope: float) -> Iterator[list[_Profiles]]:
    """Yield windows of one row of windows; along slanted stripes only those that lie near one another."""
    rows: dict[int, list[_Profiles]] = {}
    for part in parts:
        rows.setdefault(part.place, []).append(part)
    for row in rows.values():
        row.sort(key=lambda part: part.start)
        group = row[:1]
        for part in row[1:]:
            if slope and part.start - group[-1].start > _NEAR:
                yield group
                group = []
            group.append(part)
        yield group


def _multiply(group: Sequence[_Profiles], slope: float) -> np.ndarray | None:
    """Return what profiles of the difference share with those of each image at least `_APART` pixels apart, (image, band).

    It is the median over the pairs of profiles of their mean product; None where there are too few pairs.
    """
    places = np.array([part.start + _WIDE * i + _WIDE / 2 for part in group for i in range(len(part.values))])
    values, seen = (np.concatenate([getattr(part, name) for part in group]) for name in ("values", "known"))
    shifts = np.rint(slope * (places - places[0])).astype(int)
    shifts -= shifts.min()
    length = values.shape[-1]
    aligned = np.zeros((*values.shape[:-1], length + int(shifts.max())), dtype=np.float32)
    known = np.zeros(aligned.shape[::3], dtype=np.float32)
    for number, shift in enumerate(shifts.tolist()):
        aligned[number, ..., shift : shift + length] = values[number]
        known[number, shift : shift + length] = seen[number]
    overlap = known @ known.T
    pairs = np.triu(np.abs(places[:, None] - places[None, :]) >= _APART) & (overlap >= length / 2)
    if pairs.sum() < _FEWEST:
        return None
    # Pixels of a profile come last, so that the product of all pairs is one matrix product for each image and band.
    stacked = np.moveaxis(aligned, 0, 2)
    products = stacked[:1] @ stacked.swapaxes(2, 3)
    return np.asarray(np.median(products[..., pairs] / overlap[pairs], axis=-1))
