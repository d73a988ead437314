"""Normalisation: from pixels to the numbers that an encoder was trained on.

The encoder's own statistics are used where the units agree, and otherwise one mean and standard deviation per band from
both dates together: never per date and never per tile, which would hide change or invent it.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from landshift.models.encoders.bands import BandPlan, Encoder, match_bands
from landshift.pipeline.errors import InputError


@dataclass(frozen=True)
class Normalisation:
    """What turns pixels into input of the network: `(pixel * scale - mean) / std`, band by band."""

    mean: tuple[float, ...]
    """One per band that enters the network, in units of the pixels times `scale`."""
    std: tuple[float, ...]
    """One per band, above 0."""
    scale: float
    """Factor from the pixels' units to the encoder's."""
    origin: str
    """`encoder` or `both dates`."""
    bands: tuple[str, ...] = ()
    """Our bands that enter the network, in our order."""
    notes: tuple[str, ...] = ()
    """Sentences for a person."""


def normalisation_for(
    encoder: Encoder,
    bands: Sequence[str],
    units: str,
    statistics: tuple[Sequence[float], Sequence[float]] | None = None,
    *,
    wavelengths: Mapping[str, float] | None = None,
    extra: str = "mean",
) -> Normalisation:
    """Choose the normalisation: the encoder's own where the units agree, else from both dates together.

    Args:
        encoder: The row of the table.
        bands: Our bands in order.
        units: Of our pixels: `reflectance`, `reflectance x 10000`, `digital numbers`, `rgb 0..1`...
        statistics: Means and standard deviations per band of `bands`, over the observed pixels of both dates together.
        wavelengths: As for `match_bands`.
        extra: As for `match_bands`.

    Raises:
        InputError: Statistics are needed and lack, do not fit the bands, or contradict the units.
    """
    plan = match_bands(encoder, bands, wavelengths, extra=extra)
    if statistics is not None:
        _check_statistics(bands, units, statistics)
    ours, theirs = _reflectance_factor(units), _reflectance_factor(encoder.units)
    same = units.casefold() == encoder.units.casefold()
    if encoder.mean and (same or (ours is not None and theirs is not None)):
        return _from_encoder(encoder, plan, 1.0 if same or ours is None else encoder.scale / ours)
    why = (
        f"Encoder {encoder.name} has no statistics of its own"
        if not encoder.mean
        else f"Encoder {encoder.name} was trained on {encoder.units}, and the pixels are {units}"
    )
    if statistics is None:
        raise InputError(
            f"{why}: give the mean and standard deviation per band of both dates together (not per date: that would "
            "hide change)"
            + (", or scale the pixels to reflectance 0..1 with the sensor's scale and offset." if theirs else ".")
        )
    means, stds = (dict(zip(bands, values, strict=True)) for values in statistics)
    note = f"{why}: pixels are standardised with the mean and standard deviation of both dates together."
    chosen = ([float(d[b]) for b in plan.used] for d in (means, stds))
    mean, std = (tuple(values) for values in chosen)
    return Normalisation(mean, std, scale=1.0, origin="both dates", bands=plan.used, notes=(note,))


def _from_encoder(encoder: Encoder, plan: BandPlan, scale: float) -> Normalisation:
    """Give each used band the statistics of the channel that it feeds, and an extra band their median."""
    own = {b: (encoder.mean[i], encoder.std[i]) for i, b in enumerate(plan.channels) if b is not None}
    # The median, because a thermal band in kelvin would drag a mean along.
    usual = (median(m for m, _ in own.values()), median(s for _, s in own.values()))
    pairs = [own.get(band, usual) for band in plan.used]
    notes: tuple[str, ...] = ()
    if plan.extra:
        notes = (f"{', '.join(plan.extra)}: normalised with the median statistics of the encoder's bands.",)
    mean, std = tuple(m for m, _ in pairs), tuple(s for _, s in pairs)
    return Normalisation(mean, std, scale, origin="encoder", bands=plan.used, notes=notes)


def _check_statistics(bands: Sequence[str], units: str, statistics: tuple[Sequence[float], Sequence[float]]) -> None:
    means, stds = statistics
    if not len(means) == len(stds) == len(bands):
        raise InputError(
            f"{len(means)} means and {len(stds)} standard deviations for the bands {', '.join(bands)}; give one each."
        )
    factor = _reflectance_factor(units)
    for band, mean, std in zip(bands, means, stds, strict=True):
        if not (math.isfinite(mean) and math.isfinite(std) and std > 0):
            raise InputError(
                f"Band {band}: mean {mean:g} and standard deviation {std:g} over both dates; a band that is constant "
                "or nowhere observed cannot be normalised: check its file, or leave it out."
            )
        thermal = band.startswith("lwir")
        if factor is not None and not thermal and not -0.5 * factor <= mean <= 1.5 * factor:
            raise InputError(
                f"Band {band}: units are {units!r}, but the mean over both dates is {mean:g}, which is no reflectance "
                f"(0 to {factor:g}). Set the sensor's scale and offset, or name the units, for example "
                "'reflectance x 10000' or 'digital numbers'."
            )


def _reflectance_factor(units: str) -> float | None:
    """Return what reflectance 1 is in these units, or None where they are no reflectance."""
    found = re.fullmatch(r"reflectance(?: x (\d+))?", units.strip().casefold())
    return None if found is None else float(found.group(1) or 1)
