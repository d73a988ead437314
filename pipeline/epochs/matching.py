"""What a model is given of a pair: dates matched and standardised, and what its light cannot change."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from array_api_compat import array_namespace, device

from landshift.pipeline.epochs.classical import IrMad, fit_ir_mad
from landshift.pipeline.epochs.radiometry import BandMapping, TooFewInvariant, fit_moments, fit_radiometric
from landshift.pipeline.errors import InputError
from landshift.pipeline.gates import RULES, Caution, Gate, GateRules, judge, judge_unknown
from landshift.pipeline.raster.images import (
    BandStatistics,
    ImageReader,
    ImageSource,
    Mapped,
    StoredWindow,
    band_statistics,
    open_readers,
    reader_of,
    sample_image,
)
from landshift.pipeline.records import Array, Numbers
from landshift.pipeline.tiles import Window

PRIORS = ("ir-mad", "difference")
"""What a network may be given beside the dates: the square root of the IR-MAD statistic, and the distance of the dates in each
band."""

Mappings = tuple[BandMapping | None, BandMapping | None]
"""Of the dates before and after; None leaves a date as it is."""

_MAD_TO_DEVIATION = 1.4826
_FLAT, _SMALLEST = 1e-6, 1e-12
"""Least spread of a difference: a share of its deviation, and an absolute one."""


@dataclass(frozen=True)
class Treatment:
    """How a pair is brought to the radiometry of a model; a model takes no pair that was treated otherwise."""

    matched: bool = False
    """Whether the date after was brought to the light of the date before."""
    standardised: bool = False
    """Whether each band has mean 0 and deviation 1 over both dates of the pair; of chips, of all training chips."""

    @property
    def setting(self) -> str:
        """The section `radiometry:` of a config that asks for it."""
        match, standardise = ("auto" if done else "none" for done in (self.matched, self.standardised))
        return f"{{match: {match}, standardise: {standardise}}}"

    def __str__(self) -> str:
        """Describe it for people."""
        dates = "dates matched" if self.matched else "dates as they are"
        return f"{dates}, {'each pair standardised' if self.standardised else 'values as they are'}"


@dataclass(frozen=True, eq=False)
class Radiometry:
    """How the pixels of a pair become what a model is given."""

    treatment: Treatment = Treatment()
    """What was done."""
    before: BandMapping | None = None
    """Of the image before; None leaves it as it is."""
    after: BandMapping | None = None
    """Of the image after; None leaves it as it is."""
    statistic: IrMad | None = None
    """Of the pixels as the model is given them; None where it could not be fitted."""
    spread: Numbers | None = None
    """float64 (band,): deviation of the difference of the dates, by its median; above 0; None without `statistic`."""
    invariant: int | None = None
    """Pixels that look unchanged for certain, which the match is fitted on and tested with; None where none was wanted."""
    residuals: tuple[tuple[float, float], ...] = ()
    """Of each band, the root mean square difference of the dates on held-out invariant pixels, in the units of the image: as
    they are, and matched."""
    notes: tuple[str, ...] = ()
    """What was done and why, in sentences."""

    @property
    def mappings(self) -> Mappings:
        """Of both dates."""
        return self.before, self.after


AS_IT_IS = Radiometry()
"""A pair that a model is given as it is."""


@dataclass(frozen=True, eq=False)
class PairWindow:
    """A window of both dates, as a model is given it, wherever its arrays lie."""

    before: Array
    """float32 (band, y, x), NaN = not observed."""
    after: Array
    """As `before`."""
    priors: Array | None = None
    """float32 (prior, y, x), at least 0, NaN = not observed on both dates; None where none was wanted."""

    def crop(self, part: Window) -> "PairWindow":
        """Return a part of it, which lies inside; its place is counted from the first pixel."""
        at = (slice(None), *part.slices)
        return PairWindow(self.before[at], self.after[at], None if self.priors is None else self.priors[at])


@dataclass(frozen=True)
class PairSource:
    """The images of a pair, and how a model is to see them."""

    before: ImageSource
    """Of the date before."""
    after: ImageSource
    """Of the date after, on the same grid."""
    radiometry: Radiometry = AS_IT_IS
    """Of the pair."""
    adaptation: Mappings = (None, None)
    """What else is done to each date, after the radiometry; nothing of it enters the priors."""

    @property
    def images(self) -> tuple[ImageSource, ImageSource]:
        """Of both dates."""
        return self.before, self.after

    def sample(self) -> tuple[np.ndarray, np.ndarray]:
        """Draw observed pixels of each date, float32 (n, band), without an adaptation; not the same ones of both."""
        mapped = _functions(self.radiometry.mappings)
        before, after = (sample_image(path, mapped=m) for path, m in zip(self.images, mapped, strict=True))
        return before, after

    def statistics(self, mask: np.ndarray | None = None) -> BandStatistics:
        """Describe the bands of both dates together, without an adaptation.

        Args:
            mask: bool (y, x): only these pixels; all where None.
        """
        return band_statistics(self.images, mask, _functions(self.radiometry.mappings))

    @contextmanager
    def open(self) -> Iterator["PairReader"]:
        """Open both images; they are closed whatever happens.

        Raises:
            InputError: A file cannot be read.
        """
        with open_readers(*self.images) as (before, after):
            yield PairReader(self, before, after)

    def reader(self) -> "PairReader":
        """Return a reader that opens the files where and when it first reads, as workers of a training need it.

        Raises:
            InputError: A file cannot be read.
        """
        return PairReader(self, reader_of(self.before), reader_of(self.after))


def _functions(mappings: Mappings) -> list[Mapped | None]:
    return [None if mapping is None else mapping.apply for mapping in mappings]


class PairReader:
    """Reads windows of a pair as a model is given them; safe in threads, travels to other processes."""

    def __init__(self, source: PairSource, before: ImageReader, after: ImageReader) -> None:
        """Remember what is read and how."""
        self._source, self._readers = source, (before, after)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        return self._readers[0].info.shape

    def read_stored(self, date: int, window: Window) -> StoredWindow:
        """Read the numbers of a window of the date before (0) or after (1), mirrored where it reaches past the edges."""
        return self._readers[date].read_stored(window.clip(self.shape)).mirror(window, self.shape)

    def treat(self, dates: Sequence[Array], priors: Sequence[str] = ()) -> PairWindow:
        """Return both dates of one window, float32 (band, y, x) as they lie in their files, as a model is given them."""
        matched = _map_dates(self._source.radiometry.mappings, dates)
        before, after = _map_dates(self._source.adaptation, matched)
        return PairWindow(before, after, prior_channels(self._source.radiometry, matched[0], matched[1], priors))

    def read(self, window: Window, priors: Sequence[str] = ()) -> PairWindow:
        """Read a window of both dates, NaN past the edges."""
        dates = [reader.read(window) for reader in self._readers]
        for image in dates:
            # A pixel is observed in all bands or in none, as in `read_stored`.
            unseen = ~np.isfinite(image.sum(axis=0))
            if unseen.any():
                image[:, unseen] = np.nan
        return self.treat(dates, priors)


def _map_dates(mappings: Mappings, dates: Sequence[Array]) -> list[Array]:
    return [image if mapping is None else mapping.apply(image) for image, mapping in zip(dates, mappings, strict=True)]


def prior_channels(radiometry: Radiometry, before: Array, after: Array, priors: Sequence[str]) -> Array | None:
    """Compute what a network is given beside the dates; swapping the dates changes nothing of it.

    Each is 0 where nothing differs, about 1 where a pixel differs as unchanged ones do, and grows with the logarithm beyond.

    Args:
        radiometry: Of the pair, with its statistic.
        before: float32 (band, y, x), as the model is given it.
        after: As `before`.
        priors: Of `PRIORS`.

    Returns:
        float32 (prior, y, x), where the images lie: one channel for `ir-mad`, one a band for `difference`; None where none is
        wanted.

    Raises:
        InputError: IR-MAD could not be fitted to the pair.
    """
    if not priors:
        return None
    if radiometry.statistic is None or radiometry.spread is None:
        raise InputError(f"The model wants the IR-MAD statistic of the pair, which is not there. {' '.join(radiometry.notes)}")
    xp, channels = array_namespace(before, after), []
    if "ir-mad" in priors:
        # By its degrees of freedom, so that it means the same whatever the number of bands.
        channels.append(xp.sqrt(radiometry.statistic.apply(before, after)[None] / len(before)))
    if "difference" in priors:
        spread = xp.asarray(radiometry.spread[:, None, None], dtype=xp.float32, device=device(before))
        channels.append(xp.abs(after - before) / spread)
    return xp.log1p(xp.concat(channels)) / math.log(2)


def count_priors(priors: Sequence[str], bands: int) -> int:
    """Return how many channels `prior_channels` gives for images of so many bands."""
    return sum({"ir-mad": 1, "difference": bands}[name] for name in priors)


def fit_radiometry(before: np.ndarray, after: np.ndarray, *, match: bool, standardise: bool) -> Radiometry:
    """Fit how a pair becomes what a model is given, on pixels of both dates.

    The date after is matched to the date before by an orthogonal regression on pixels that IR-MAD finds invariant
    (`fit_radiometric`), in each band where this makes held-out invariant pixels more alike; a band in which they agreed already
    stays as it is. Standardising takes one mean and deviation a band over both dates, never over one: that would hide change.

    Args:
        before: (n, band), no NaN.
        after: Same shape, the same pixels.
        match: Match the dates.
        standardise: Bring each band to mean 0 and deviation 1.

    Returns:
        With `treatment.matched` False where matching was wanted and too few pixels are invariant, and with no statistic where
        IR-MAD cannot be fitted at all; the first note is the reason.
    """
    try:
        statistic = fit_ir_mad(before, after)
    except InputError as error:
        return Radiometry(notes=(f"What did not change could not be found, so the pair stays as it is. {error}",))
    found, mapping = _match(before, after, statistic) if match else (Radiometry(), None)
    first: BandMapping | None = None
    if standardise:
        matched = after if mapping is None else _apply(mapping, after)
        first = fit_moments(np.zeros(before.shape[1]), np.ones(before.shape[1]), np.concatenate([before, matched]))
        mapping = first if mapping is None else _follow(mapping, first)
        note = "Each band was standardised with its mean and deviation over both dates of this pair."
        found = replace(found, treatment=replace(found.treatment, standardised=True), notes=(*found.notes, note))
    difference = (after if mapping is None else _apply(mapping, after)) - (before if first is None else _apply(first, before))
    spread = _MAD_TO_DEVIATION * np.median(np.abs(difference - np.median(difference, axis=0)), axis=0)
    return replace(
        found, before=first, after=mapping, spread=np.maximum(spread, _FLAT * difference.std(axis=0) + _SMALLEST),
        statistic=statistic.rescale(_line(first, before.shape[1]), _line(mapping, before.shape[1])),
    )  # fmt: skip


def _match(before: np.ndarray, after: np.ndarray, statistic: IrMad) -> tuple[Radiometry, BandMapping | None]:
    """Match the dates where that can be done and helps."""
    try:
        mapping = fit_radiometric(before, after, statistic=statistic)
    except InputError as error:
        count = error.found if isinstance(error, TooFewInvariant) else None
        return Radiometry(invariant=count, notes=(f"The dates were not matched. {error}",)), None
    return _where_it_helps(mapping)


def _line(mapping: BandMapping | None, bands: int) -> tuple[np.ndarray, np.ndarray]:
    """Return slopes and offsets (band,) of a linear mapping."""
    if mapping is None:
        return np.ones(bands), np.zeros(bands)
    (left, right), (low, high) = np.array(mapping.source).T, np.array(mapping.target).T
    slope = (high - low) / (right - left)
    return slope, low - slope * left


def _where_it_helps(mapping: BandMapping) -> tuple[Radiometry, BandMapping | None]:
    """Keep a match in the bands where it brings held-out pixels closer; None where it does in none."""
    was, now = mapping.facts["rmse_before"], mapping.facts["rmse_after"]
    helps = [b < a for a, b in zip(was, now, strict=True)]
    target = tuple(t if h else s for s, t, h in zip(mapping.source, mapping.target, helps, strict=True))
    notes = list(mapping.notes[:1])
    left = [str(i) for i, h in enumerate(helps, 1) if not h]
    if left:
        notes.append(f"Band {', '.join(left)} stays as it is: the dates agreed there already.")
    found = Radiometry(
        Treatment(matched=True), invariant=mapping.invariant, residuals=tuple(zip(was, now, strict=True)), notes=tuple(notes)
    )
    return found, replace(mapping, target=target) if any(helps) else None


def _follow(first: BandMapping, second: BandMapping) -> BandMapping:
    """Return the linear mapping that does both, one after the other."""
    return replace(second, source=first.source, target=tuple(map(tuple, second.map_knots(np.array(first.target)).tolist())))


def _apply(mapping: BandMapping, samples: np.ndarray) -> np.ndarray:
    return np.asarray(mapping.apply(samples.T[:, np.newaxis])[:, 0].T, dtype=np.float64)


def matching_gate(radiometry: Radiometry, rules: GateRules = RULES) -> Gate:
    """Ask whether enough pixels are invariant to match the dates.

    Args:
        radiometry: Of the pair, matching wanted.
        rules: With `invariant_pixels`.
    """
    name, limit = "Match of the dates", f"at least {rules['invariant_pixels'].limit:g} invariant pixels"
    reason = radiometry.notes[0] if radiometry.notes else "The dates were not matched."
    if radiometry.invariant is None:
        return judge_unknown("invariant_pixels", name, rules, limit=limit, reason=reason)
    gains = [f"{was:.3g} to {now:.3g}" for was, now in radiometry.residuals if now < was]
    return judge(
        "invariant_pixels", name, radiometry.invariant, rules, found=f"{radiometry.invariant} invariant pixels", limit=limit,
        met="The light of the date after was matched to the date before on ground that did not change"
        + (f"; in {len(gains)} bands the difference there went from {', '.join(gains)}." if gains else "; it agreed already."),
        missed=Caution(
            reason
            if not radiometry.treatment.matched
            else f"The light of the dates was matched on only {radiometry.invariant} pixels that look unchanged: "
            f"differences of light may look like change.",
            "Choose dates with less change or cloud.",
        ),
    )  # fmt: skip
