"""What the command line states about a sample: pixels, hours and the interval that is expected, before anything is judged."""

from pathlib import Path

from landshift.flows.runtime.reply import table_lines
from landshift.flows.steps.publication.sample import Sampled
from landshift.pipeline.errors import InputError
from landshift.pipeline.sample.draw import SECONDS_PER_PIXEL, SamplePlan


def require_consistent(
    *, area_error: float | None, target_error: float | None, size: int | None, minimum: int | None, add_to: Path | None
) -> None:
    """Refuse options that contradict each other.

    Raises:
        InputError: Two of them decide about the same thing, or one has no meaning beside another.
    """
    if area_error is not None and target_error is not None:
        raise InputError("--area-error and --target-error both choose the size: give one of them.")
    if size is not None and target_error is not None and add_to is None:
        return
    if add_to is not None:
        if target_error is not None or minimum is not None:
            given = "--target-error" if target_error is not None else "--minimum"
            raise InputError(f"{given}: a sample that is added to keeps its design: give --size or --area-error alone.")
        if (size is None) == (area_error is None):
            raise InputError("--add-to needs --size (pixels to add) or --area-error (of all together), one of the two.")


def sample_lines(sampled: Sampled, *, planned: bool) -> list[str]:
    """Return a sample in words, for the command line: a sentence, a table, and where the expectations come from.

    Args:
        sampled: The sample.
        planned: Whether it was only planned.
    """
    plan, record = sampled.record.plan, sampled.record
    note = "" if planned or sampled.fresh else " (they were drawn before)"
    before = sum(sum(draw.sizes) for draw in record.earlier)
    added = f" more, beside {before:,} that were drawn" if before else ""
    header = ("stratum", "pixels to judge", "of", "expected to have changed")
    rows = [(s.name, f"{s.samples:,}", f"{s.pixels:,}", f"{100 * s.expected_changed:.1f} %") for s in record.strata]
    return [
        f"{sampled.total:,} pixels{added} to judge: {hours_text(plan)} at {SECONDS_PER_PIXEL} seconds each{note}.",
        expectation_text(plan),
        "",
        *table_lines(header, rows),
        "",
        *plan.grounds,
    ]


def hours_text(plan: SamplePlan) -> str:
    """State how long the judging takes."""
    return f"{plan.hours:.1f} hours" if plan.hours >= 1 else f"{max(60 * plan.hours, 1):.0f} minutes"


def expectation_text(plan: SamplePlan) -> str:
    """State which interval is expected."""
    return (
        f"Expected: {plan.expected_ha:,.1f} ha changed, 95 % interval {plan.expected_low_ha:,.1f} to "
        f"{plan.expected_high_ha:,.1f} (relative error {plan.relative_error:.0%}); {plan.mapped_ha:,.1f} ha are mapped as "
        f"changed."
    )
