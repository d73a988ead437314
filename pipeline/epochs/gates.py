"""Gates on the images of a run, before a model sees them."""

from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from landshift.pipeline.epochs.agreement import RadiometricDifference
from landshift.pipeline.epochs.checks.levels import Levels, ratio_gate, scale_gate
from landshift.pipeline.epochs.checks.stripes import Stripes, stripe_gate
from landshift.pipeline.epochs.checks.unmasked import UnmaskedClouds, cloud_gate
from landshift.pipeline.epochs.checks.vegetation import VegetationDifference, vegetation_gate
from landshift.pipeline.epochs.coregistration import Misregistration
from landshift.pipeline.formatting import percent
from landshift.pipeline.gates import RULES, Caution, Gate, GateRules, judge, judge_unknown
from landshift.pipeline.scenes.sensors import REFLECTANCE

_COMMON_YEAR, _YEAR = 2001, 365
_TELLING = 0.1
"""Pixels from which on a shift is said to make false changes along edges; below lies what shifts are measured to."""


@dataclass(frozen=True)
class Measured:
    """What was measured on the images of both dates."""

    observed_share: float
    """Share of the region observed on both dates, 0..1."""
    levels: Levels
    """Of their bands."""
    shift: Misregistration
    """Of the images as the model sees them."""
    difference: RadiometricDifference
    """Of their light."""
    clouds: UnmaskedClouds
    """What looks like cloud on one date only."""
    stripes: Stripes
    """Rows or columns that stand out."""
    plants: VegetationDifference
    """How much greener one date is than the other."""


def season_gap(before: date, after: date) -> int:
    """Return the days between two dates in the course of a year, whatever the years and their leap days: 0..182."""
    first, second = (
        day.replace(year=_COMMON_YEAR, day=min(day.day, monthrange(_COMMON_YEAR, day.month)[1])) for day in (before, after)
    )
    days = abs((second - first).days)
    return min(days, _YEAR - days)


def plan_gates(before: date, after: date, overlap: float, rules: GateRules = RULES) -> tuple[Gate, ...]:
    """Check the cover and the season of both dates, before any pixel is read.

    `overlap` is the share of the region that scenes of both dates cover, 0..1.
    """
    gap = season_gap(before, after)
    return (
        judge(
            "grid_overlap", "Region covered by both dates", overlap, rules, found=f"{percent(overlap)} of the region",
            limit=f"at least {percent(rules['grid_overlap'].limit)}",
            met="Images of both dates cover the region, whatever clouds hide.",
            missed=Caution(
                f"Images of both dates cover only {percent(overlap)} of the region: what happened in the rest is unknown.",
                "Set a smaller `grid:`, or add scenes.",
            ),
        ),
        judge(
            "season_gap_days", "Season of the dates", gap, rules, found=_days(gap),
            limit=f"at most {_days(rules['season_gap_days'].limit)} apart in the year",
            met="The dates lie in the same season.",
            missed=Caution(
                f"The dates lie {_days(gap)} apart in the course of the year ({before} and {after}): crops, leaves, snow or "
                f"shadows may look like change.", "Choose dates of one season.",
            ),
        ),
    )  # fmt: skip


def image_gates(
    measured: Measured, bands: Sequence[str], units: str, rules: GateRules = RULES, *,
    moved: tuple[float, float] | None = None, correction: str = "",
) -> tuple[Gate, ...]:  # fmt: skip
    """Check cover, scale, position, light, season, clouds and stripes of the images.

    Args:
        measured: What was measured.
        bands: Their names, in order.
        units: Of the images; the scale of anything but reflectance is not known.
        rules: Limits, and what happens beyond them.
        moved: Pixels (y, x) that the image after was moved by; None where it was left as it is.
        correction: What became of the correction that was asked for, a sentence; empty where none was.
    """
    return (
        coverage_gate(measured.observed_share, rules),
        scale_gate(measured.levels, bands, is_reflectance=units == REFLECTANCE, rules=rules),
        ratio_gate(measured.levels, rules),
        _shift(measured.shift, rules, is_moved=moved is not None, correction=correction),
        _difference(measured.difference, bands, rules), vegetation_gate(measured.plants, rules),
        cloud_gate(measured.clouds, rules), stripe_gate(measured.stripes, bands, rules),
    )  # fmt: skip


def coverage_gate(share: float, rules: GateRules = RULES) -> Gate:
    """Check the share of the region that was observed on both dates, 0..1."""
    return judge(
        "observed_share", "Observed on both dates", share, rules, found=f"{percent(share)} of the region",
        limit=f"at least {percent(rules['observed_share'].limit)}",
        met="What was not observed is not counted as unchanged.",
        missed=Caution(
            f"Only {percent(share)} of the region was observed on both dates: what happened in the rest is unknown.",
            "Add scenes, or widen the epochs.",
        ),
    )  # fmt: skip


def _shift(shift: Misregistration, rules: GateRules, *, is_moved: bool, correction: str) -> Gate:
    limit = f"at most {rules['misregistration_px'].limit:g} px"
    name, note = "Position of the dates", f" {correction}" if correction else ""
    if shift.pixels is None or shift.dy is None or shift.dx is None:
        reason = f"How far the images of the two dates lie apart could not be measured: {shift.reason}.{note}"
        return judge_unknown("misregistration_px", name, rules, limit=limit, reason=reason)
    where = f"{shift.pixels:.2f} px ({shift.dy:+.2f} down, {shift.dx:+.2f} right)"
    found = f"{where} after the correction" if is_moved else where
    return judge(
        "misregistration_px", name, shift.pixels, rules, found=found, limit=limit,
        met=f"The images lie {shift.pixels:.2f} px apart, within the limit of {rules['misregistration_px'].limit:g}, in "
        f"{shift.windows} parts of the region that differ by {shift.spread:.2f} px"
        + (f"; narrow changes along edges may be false.{note}" if shift.pixels >= _TELLING else f".{note}"),
        missed=Caution(
            f"The image after lies {shift.pixels:.2f} pixels beside the one before, in {shift.windows} parts of the region: "
            f"borders that did not move may look like change.{note}",
            "" if note else "Set `gates: misregistration_px: correct: true`, or take scenes that were aligned.",
        ),
    )  # fmt: skip


def _difference(difference: RadiometricDifference, bands: Sequence[str], rules: GateRules) -> Gate:
    name, limit = "Light of the dates", f"at most {percent(rules['radiometric_difference'].limit)} of the mean"
    if difference.share is None or difference.band is None:
        reason = f"How different the light of the dates is could not be measured: {difference.reason.rstrip('.')}."
        return judge_unknown("radiometric_difference", name, rules, limit=limit, reason=reason)
    found = f"{percent(difference.share)} of the mean in band {bands[difference.band - 1]}"
    return judge(
        "radiometric_difference", name, difference.share, rules, found=found, limit=limit,
        met="Ground that looks unchanged has much the same values on both dates.",
        missed=Caution(
            f"Even ground that looks unchanged differs by {found}: season, haze or a wrong scale may look like change.",
            "Choose other dates, or check `sensor:`.",
        ),
    )  # fmt: skip


def _days(count: float) -> str:
    return f"{count:g} day{'' if count == 1 else 's'}"
