"""Rules of alerts: which changes subscribers are notified of."""

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import CHANGED, Legend

STATES = ("new", "confirmed", "closed", "rejected", "withdrawn")
"""Those of `register.states`, which takes long to import; a test holds them equal."""


@dataclass(frozen=True)
class AlertRule:
    """Which changes subscribers are notified of: those that meet all conditions."""

    name: str
    """Unique; sent alerts are recorded under it."""
    states: tuple[str, ...] = ("new", "confirmed")
    """States that a change has to have come into; of `STATES`."""
    changes: tuple[str, ...] = ()
    """Kinds of change, such as `Forest to Cropland`, whatever the case; empty for all."""
    min_area_ha: float = 0.0
    """Hectares (pixel count) that it has at least; 0 or more."""
    min_change_probability: float = 0.0
    """Mean probability of change that it has at least, 0..1."""
    areas: tuple[str, ...] = ()
    """Areas of interest, one of which it has to reach into, whatever the case; empty for anywhere."""


def require_known(rule: AlertRule, legend: Legend, areas: Collection[str] | None = None) -> None:
    """Refuse a rule with an unknown state, kind of change or area.

    Args:
        rule: The rule.
        legend: Of the register or project.
        areas: Names of the areas of interest; not looked at where None.

    Raises:
        InputError: An unknown state, kind of change or area; the message names the nearest right one.
    """
    kinds = [c.name for c in legend.changes if c.code >= CHANGED]
    for what, asked, known in (
        ("state", rule.states, STATES), ("kind of change", rule.changes, kinds), ("area of interest", rule.areas, areas),
    ):  # fmt: skip
        for name in asked if known is not None else ():
            _require(f"Alert rule {rule.name!r}", what, name, list(known or ()))


def _require(where: str, what: str, name: str, known: Sequence[str]) -> None:
    by_name = {k.casefold(): k for k in known}
    if name.casefold() in by_name:
        return
    near = difflib.get_close_matches(name.casefold(), by_name, n=1)
    more = len(known) - 12
    listed = ", ".join(known[:12]) + (f" and {more} more" if more > 0 else "")
    hint = f"Did you mean {by_name[near[0]]!r}?" if near else f"Expected one of {listed}." if known else f"There is no {what}."
    raise InputError(f"{where}: {name!r} is not a known {what}. {hint}")
