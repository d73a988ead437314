"""What a map of two dates can answer about a plot and a cut-off date, and what it cannot.

A change between two images can be dated to the time between them, and no closer. A plot without a mapped change may have
changed and been missed: how often, only a judged sample shows.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np

NOT_OBSERVED, TOO_SMALL, UNCERTAIN, NO_CHANGE, CHANGED, CHANGED_AFTER, CHANGED_AROUND, CHANGED_BEFORE = range(8)
"""Verdicts."""


@dataclass(frozen=True)
class VerdictRule:
    """When a plot counts as changed, and when there is no answer."""

    min_changed_ha: float
    """Changed hectares that count; less is too small to judge."""
    min_share: float
    """Share of the observed part that counts, 0..1; less is too small to judge."""
    min_probability: float
    """Mean probability of change over the changed part that counts, 0..1; less is uncertain."""
    min_observed: float
    """Share of the plot that both dates must show before "no change seen", 0..1."""
    min_plot_ha: float
    """Plots without a change that are smaller are too small to judge: the map holds no smaller changes."""


@dataclass(frozen=True)
class PlotDates:
    """The two dates of a map, and the date that is asked about."""

    before: date
    """Of the first image."""
    after: date
    """Of the second image."""
    cut_off: date | None
    """The question is what changed after it; None asks for any change between the images."""

    @property
    def changed(self) -> int:
        """The verdict on a plot that changed."""
        if self.cut_off is None:
            return CHANGED
        if self.cut_off <= self.before:
            return CHANGED_AFTER
        return CHANGED_AROUND if self.cut_off < self.after else CHANGED_BEFORE

    @property
    def asks_of_later(self) -> bool:
        """Whether the cut-off lies at the second image or after it: the map shows nothing of the time in question."""
        return self.cut_off is not None and self.cut_off >= self.after

    @property
    def gap_days(self) -> int:
        """Days from the cut-off to the first image, which no image shows; 0 without any."""
        return max((self.before - self.cut_off).days, 0) if self.cut_off is not None else 0


@dataclass(frozen=True, eq=False)
class PlotFacts:
    """What the map shows of plots."""

    total_ha: np.ndarray
    """float64 (plot): of the whole plot."""
    observed_ha: np.ndarray
    """float64 (plot): seen on both dates."""
    changed_ha: np.ndarray
    """float64 (plot): mapped as a change that counts."""
    probability: np.ndarray
    """float64 (plot): mean probability over them; NaN where nothing changed, or none is known."""


def judge(facts: PlotFacts, rule: VerdictRule, dates: PlotDates, pixel_ha: float) -> np.ndarray:
    """Return the verdict on each plot.

    A change that reaches the rule counts whatever else is hidden. Less than a pixel of change counts as no change: borders
    of plots and pixels never fit.

    Args:
        facts: Of the plots.
        rule: When a plot counts as changed.
        dates: Of the map, and the cut-off.
        pixel_ha: Hectares of a pixel.

    Returns:
        int64 (plot): constants of this module.
    """
    observed = np.maximum(facts.observed_ha, 1e-12)
    some = facts.changed_ha >= pixel_ha
    enough = some & (facts.changed_ha >= rule.min_changed_ha) & (facts.changed_ha / observed >= rule.min_share)
    sure = ~(facts.probability < rule.min_probability)
    seen = facts.observed_ha >= rule.min_observed * facts.total_ha
    nothing = NOT_OBSERVED if dates.asks_of_later else NO_CHANGE
    conditions = [
        facts.observed_ha < min(pixel_ha, 1e-9), enough & sure, ~seen, enough, some, facts.total_ha < rule.min_plot_ha,
    ]  # fmt: skip
    verdicts = [NOT_OBSERVED, dates.changed, NOT_OBSERVED, UNCERTAIN, TOO_SMALL, TOO_SMALL]
    return np.select(conditions, verdicts, default=nothing)


def name_verdicts(dates: PlotDates) -> dict[int, str]:
    """Return what verdicts are called in tables and legends."""
    day = dates.cut_off
    return {
        NOT_OBSERVED: "not observed", TOO_SMALL: "too small to judge", UNCERTAIN: "too uncertain to judge",
        NO_CHANGE: "no change seen", CHANGED: "changed", CHANGED_AFTER: f"changed after {day}",
        CHANGED_AROUND: f"changed, before or after {day}", CHANGED_BEFORE: f"changed before {day}",
    }  # fmt: skip


def explain_verdicts(dates: PlotDates, rule: VerdictRule) -> dict[int, str]:
    """Return why a plot has a verdict, in a sentence each."""
    between = f"between {dates.before} and {dates.after}"
    gap = f" No image shows the {dates.gap_days:,} days from {dates.cut_off} to {dates.before}." if dates.gap_days else ""
    hidden = (
        f"The image after is of {dates.after}, and shows nothing later than the cut-off {dates.cut_off}." if dates.asks_of_later
        else f"Less than {rule.min_observed:.0%} of the plot was seen on both dates, or none of it lies on the map."
    )  # fmt: skip
    changed = f"The change happened {between}."
    return {
        NOT_OBSERVED: hidden,
        TOO_SMALL: f"The change is smaller than {rule.min_changed_ha:g} ha or {rule.min_share:.0%} of what was seen, or the "
        f"plot is smaller than {rule.min_plot_ha:g} ha.",
        UNCERTAIN: f"The mean probability of the change is below {rule.min_probability:g}.",
        NO_CHANGE: f"No change of these kinds was mapped {between}; changes can be missed.{gap}",
        CHANGED: changed,
        CHANGED_AFTER: changed,
        CHANGED_AROUND: f"{changed} The cut-off {dates.cut_off} lies between the images: the date cannot be told.",
        CHANGED_BEFORE: f"{changed} That is before the cut-off; what came later is not known.",
    }  # fmt: skip
