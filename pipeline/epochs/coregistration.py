"""Shift between two images of one grid, measured on their outlines."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from landshift.pipeline.raster.images import ImageReader
from landshift.pipeline.tiles import Window, spread_windows

_LARGEST = 16.0
"""Pixels: shifts beyond this are chance, or no matter of pixels."""
_SEEN = 0.8
"""Share of a window that both dates need to have observed."""
_DISTINCT = 0.2
"""Correlation of the outlines at the shift that was found, below which a window shows nothing that both dates share."""
_AGREE = 0.75
"""Pixels: windows this close to the median in both axes agree."""
_FEWEST = 4
"""Windows that have to agree."""
_SUREST = 0.2
"""Pixels: standard error of the median beyond which it is too uncertain."""
_MEDIAN_ERROR = 1.2533
"""Standard error of a median over that of a mean, for normal errors."""
_FINE = 50
"""Steps within a pixel."""
_BRIGHTEST = 0.98
"""Quantile from which outlines count alike, so that a few new roofs or cloud edges do not outvote the rest."""
_SMOOTH, _LOCAL = 1.0, 8.0
"""Pixels: outlines are taken at the first scale; what is level over the second does not show where they lie."""


@dataclass(frozen=True)
class Misregistration:
    """Where the later image lies relative to the earlier one."""

    dy: float | None
    """Pixels that things lie further down (south) in the later image; None where it could not be measured."""
    dx: float | None
    """Pixels that things lie further right (east) in the later image; None where it could not be measured."""
    windows: int
    """That agree, and that the shift is the median of."""
    looked_at: int
    """Windows that both dates observed well enough to be compared."""
    spread: float | None
    """Robust standard deviation of the shifts of those windows, in pixels, of the worse axis; None as above."""
    reason: str = ""
    """Why it could not be measured; empty where it was."""

    @property
    def pixels(self) -> float | None:
        """Length of the shift in pixels; None where it could not be measured."""
        return None if self.dy is None or self.dx is None else float(np.hypot(self.dy, self.dx))


def misregistration(before: ImageReader, after: ImageReader) -> Misregistration:
    """Measure the shift between two images on one grid, window by window; no more than one window is in memory.

    In each of at most 64 windows spread over the region, outlines (the length of the gradient, so that neither light nor
    season matters) are cross-correlated with sub-pixel steps (Guizar-Sicairos, Thurman and Fienup 2008,
    doi:10.1364/OL.33.000156). Windows where the dates share no outlines are left out; the shift is the median of those
    that agree, and it counts only where they are at least four and more than half. Change, clouds that were missed and
    water so have no part in it.
    """
    found, looked_at = [], 0
    for window in spread_windows(before.info.shape):
        first = before.read(window)
        seen = window_shift(first, after.read(window))
        if seen is None:
            continue
        looked_at += 1
        dy, dx, likeness = seen
        whole = round(dy), round(dx)
        if any(whole) and max(map(abs, (dy, dx))) <= _LARGEST and likeness >= _DISTINCT:
            # The window shows another part of the scene on the later date: look again where this part went to.
            moved = Window(window.y + whole[0], window.x + whole[1], window.height, window.width)
            rest = window_shift(first, after.read(moved))
            dy, dx, likeness = (0.0, 0.0, 0.0) if rest is None else (whole[0] + rest[0], whole[1] + rest[1], rest[2])
        if likeness >= _DISTINCT and max(map(abs, (dy, dx))) <= _LARGEST:
            found.append((dy, dx))
    return median_shift(np.array(found, dtype=np.float64).reshape(-1, 2), looked_at)


def window_shift(before: np.ndarray, after: np.ndarray) -> tuple[float, float, float] | None:
    """Compare the outlines of one window (band, y, x) on both dates, NaN = not observed.

    Returns:
        Pixels that things lie further down and further right in `after`, and the correlation of the outlines there; None
        where either date observed too little.
    """
    outlines = [_outlines(image) for image in (before, after)]
    if any(share < _SEEN for _, share in outlines):
        return None
    first, second = (signal for signal, _ in outlines)
    length = float(np.sqrt((first**2).sum() * (second**2).sum()))
    if length == 0:
        return 0.0, 0.0, 0.0
    # Without normalisation: whitening the spectrum lets noise speak as loud as outlines.
    back, _, _ = phase_cross_correlation(first, second, normalization=None, upsample_factor=_FINE)  # type: ignore[no-untyped-call]
    dy, dx = (-float(v) for v in back)
    likeness = float((first * np.roll(second, (-round(dy), -round(dx)), axis=(0, 1))).sum()) / length
    return dy, dx, likeness


def _outlines(image: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the outlines (y, x) of a window (band, y, x), 0 on average and towards its edges, and the share observed."""
    seen = np.isfinite(image).all(axis=0)
    share = float(seen.mean())
    if share < _SEEN:
        return np.zeros(seen.shape), share
    total = np.zeros(seen.shape)
    bands = []
    for band in image.astype(np.float64):
        level, spread = band[seen].mean(), band[seen].std()
        if spread > 0:
            bands.append(np.where(seen, (band - level) / spread, 0))
    if bands:
        total = _steepness(np.stack(bands))
    # The border of a hole is no outline of the ground.
    known = ndimage.binary_erosion(seen, iterations=3, border_value=1)
    strength = np.sqrt(total)
    strength = np.where(known, np.minimum(strength, np.quantile(strength[known], _BRIGHTEST)), 0)
    weight = ndimage.gaussian_filter(known.astype(np.float64), _LOCAL)
    local = ndimage.gaussian_filter(strength, _LOCAL) / np.maximum(weight, 1e-6)
    apodised = np.where(known, strength - local, 0) * np.multiply.outer(*(_hann(n) for n in seen.shape))
    return apodised, share


def _steepness(bands: np.ndarray) -> np.ndarray:
    """Return the sum over bands (band, y, x) of the squared lengths of their gradients, (y, x), as scale space has them."""
    total = np.zeros(bands.shape[1:])
    slopes = []
    for orders in ((1, 0), (0, 1)):
        part = bands
        # All bands in one call, line by line the same as one after the other.
        for axis, order in zip((1, 2), orders, strict=True):
            part = ndimage.gaussian_filter1d(part, _SMOOTH, axis=axis, order=order)
        slopes.append(part)
    for down, right in zip(*slopes, strict=True):
        total += down**2 + right**2
    return total


def median_shift(found: np.ndarray, looked_at: int) -> Misregistration:
    """Return the median of the shifts (n, 2) that agree with most others."""
    if looked_at < _FEWEST:
        reason = f"both dates observed {looked_at} parts of the region well enough, and {_FEWEST} are needed"
        return Misregistration(None, None, 0, looked_at, spread=None, reason=reason)
    agree = np.zeros(len(found), dtype=bool)
    if len(found):
        agree = np.abs(found - np.median(found, axis=0)).max(axis=1) <= _AGREE
        if agree.any():
            agree = np.abs(found - np.median(found[agree], axis=0)).max(axis=1) <= _AGREE
    count = int(agree.sum())
    if len(found) < _FEWEST:
        reason = f"{len(found)} of {looked_at} parts of the region show outlines that both dates share (water, cloud, snow?)"
        return Misregistration(None, None, count, looked_at, spread=None, reason=reason)
    middle = np.median(found[agree], axis=0) if count else np.median(found, axis=0)
    spread = float(1.4826 * np.median(np.abs(found[agree] - middle), axis=0).max()) if count else 0.0
    if count < max(_FEWEST, len(found) / 2) or _MEDIAN_ERROR * spread / np.sqrt(count) > _SUREST:
        reason = f"{count} of {len(found)} parts of the region agree on a shift, and too roughly or too few"
        return Misregistration(None, None, count, looked_at, spread=None, reason=reason)
    return Misregistration(float(middle[0]), float(middle[1]), count, looked_at, spread=spread)


def _hann(size: int) -> np.ndarray:
    """Return a Hann window, float64 (size,), 0 at both ends."""
    return np.asarray(0.5 + 0.5 * np.cos(np.linspace(-np.pi, np.pi, size)))
