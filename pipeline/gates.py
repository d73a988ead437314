"""Gates: what is asked of a run's data and model, what was found, and what happens where that is not good enough."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from landshift.pipeline.errors import InputError

Otherwise = Literal["pass", "mark", "stop"]
"""What happens where a limit is not met: nothing, a warning on everything that the run makes, or no run at all."""

GateOutcome = Literal["pass", "mark", "stop", "not measured"]

PASS: GateOutcome = "pass"  # noqa: S105 (no password)
MARK: GateOutcome = "mark"
STOP: GateOutcome = "stop"
NOT_MEASURED: GateOutcome = "not measured"


@dataclass(frozen=True)
class GateRule:
    """What is asked of one number."""

    limit: float
    """In the unit of `RULES`."""
    otherwise: Otherwise = "mark"
    """What happens where the limit is not met."""
    at_least: bool = False
    """Whether the limit is the least that is good enough; else it is the most."""

    def holds(self, value: float) -> bool:
        """Return whether a number meets the limit; one on the limit does."""
        return value >= self.limit if self.at_least else value <= self.limit


@dataclass(frozen=True)
class Caution:
    """What to know about a map, in the voices of its two readers."""

    plain: str
    """For the map's reader: what it means, sentences without settings, commands or names of files."""
    remedy: str = ""
    """For the map's maker: what to do about it, sentences; empty where there is nothing to do."""

    @property
    def full(self) -> str:
        """Both, for the map's maker."""
        return f"{self.plain} {self.remedy}".strip()


GateRules = Mapping[str, GateRule]

RULES: GateRules = {
    "observed_share": GateRule(0.5, at_least=True),
    "grid_overlap": GateRule(0.9, at_least=True),
    # Half a pixel: from there on, edges of fields and roads that did not change look like change.
    "misregistration_px": GateRule(0.5),
    "season_gap_days": GateRule(45),
    # Real pairs without cloud or winter lie between 0.06 and 0.41, those with either between 0.58 and 1.6.
    "radiometric_difference": GateRule(0.5),
    # As many as `radiometry.fit_radiometric` needs.
    "invariant_pixels": GateRule(100, at_least=True),
    # Real clear pairs lie between 0.75 and 1.33, clear against overcast up to 3.2. A scale that is wrong is off by 10.
    "level_ratio": GateRule(3.0, "stop"),
    "implausible_levels": GateRule(0),
    # Real clear pairs have 0.2 % at most; pairs of the demo, whose masks leave thin cloud in, 1.2; overcast dates 67 to 100.
    "unmasked_clouds": GateRule(0.02),
    # Pairs of 226 pixels and more have 0.010 at most, parts of them of 128 pixels 0.017; every eighth row or column 15 %
    # brighter gives 0.033 and more.
    "stripes": GateRule(0.02),
    # Between dates with leaves real pairs differ by up to 0.06, whatever the months; a date without leaves by 0.16 to 0.22.
    "vegetation_difference": GateRule(0.1),
    "domain_shift": GateRule(0.2),
    "calibration_error": GateRule(0.1),
    # Where more than half of a region really changed, a person knows it, and can set another limit.
    "mapped_share": GateRule(0.5, "stop"),
    # Labels mostly hold more change than the ground, and Otsu's threshold draws change where nothing changed.
    "mapped_ratio": GateRule(3),
    # Below 0.2, a kappa is called slight (Landis and Koch 1977, doi:10.2307/2529310).
    "second_opinion": GateRule(0.2, at_least=True),
}
"""What is asked where a configuration asks nothing else. `observed_share`, `grid_overlap`: shares of the region, 0..1.
`misregistration_px`: pixels. `season_gap_days`: days. `radiometric_difference`: share of the mean, from 0.
`invariant_pixels`: pixels of a sample. `level_ratio`: times, from 1. `implausible_levels`: how many levels. `unmasked_clouds`:
share of a date, 0..1. `stripes`: share of a band's median, from 0. `vegetation_difference`: of the vegetation index, 0..2.
`domain_shift`: share of the territory beyond the edge of the training regions, 0..1; 0.05 lie there by definition.
`calibration_error`: 0..1. `mapped_share`: share of the observed area, 0..1. `mapped_ratio`: times the larger of the shares
changed in the training labels and in the IR-MAD map. `second_opinion`: conditional kappa of the mapped change with the IR-MAD
map, up to 1."""


@dataclass(frozen=True)
class Gate:
    """One question to a run, with its answer."""

    name: str
    """What is looked at."""
    found: str
    """What was found."""
    limit: str
    """What was expected."""
    outcome: GateOutcome
    """Whether it was met; a run that is marked shows it everywhere."""
    meaning: str
    """What to make of it, for the map's reader: sentences without settings or commands."""
    setting: str | None = None
    """Key of `gates:` in the configuration; None where there is nothing to set."""
    value: int | float | None = None
    """What was found, as a number in the unit of the rule; None where there is no number."""
    otherwise: Otherwise = "mark"
    """What the configuration wants where the limit is not met."""
    remedy: str = ""
    """What the map's maker can do about it, sentences; empty where there is nothing to do."""

    @property
    def caution(self) -> Caution:
        """The warning of a run that it marks."""
        return Caution(self.meaning, self.remedy)


def judge(
    setting: str, name: str, value: float, rules: GateRules, *, found: str, limit: str, met: str, missed: Caution
) -> Gate:
    """Hold a number against its rule.

    Args:
        setting: Key of the rule.
        name: What is looked at.
        value: What was found.
        rules: By key.
        found: `value` in words.
        limit: What was expected, in words.
        met: The meaning where the limit is met.
        missed: The meaning where it is not, and what to do.
    """
    rule = rules[setting]
    if rule.holds(value):
        return Gate(name, found, limit, PASS, meaning=met, setting=setting, value=value, otherwise=rule.otherwise)
    remedy = f"{missed.remedy} The configuration lets this pass.".strip() if rule.otherwise == PASS else missed.remedy
    return Gate(
        name, found, limit, rule.otherwise, meaning=missed.plain, setting=setting, value=value, otherwise=rule.otherwise,
        remedy=remedy,
    )  # fmt: skip


def judge_unknown(
    setting: str | None, name: str, rules: GateRules, *, limit: str, reason: str, remedy: str = ""
) -> Gate:  # fmt: skip
    """Return the gate of a number that could not be measured, with the reason."""
    otherwise: Otherwise = rules[setting].otherwise if setting else "mark"
    return Gate(name, "not known", limit, NOT_MEASURED, meaning=reason, setting=setting, otherwise=otherwise, remedy=remedy)


def cautions_of(gates: Sequence[Gate]) -> list[Caution]:
    """Return what the gates that were not met warn of."""
    return [gate.caution for gate in gates if gate.outcome == MARK]


def warnings_of(gates: Sequence[Gate]) -> list[str]:
    """Return the same in full, for the map's maker."""
    return [caution.full for caution in cautions_of(gates)]


def require_open(gates: Sequence[Gate]) -> None:
    """Refuse a run that a gate stops: where its limit is not met, or could not be measured.

    Raises:
        InputError: Names each such gate, what was found and expected, and what to do.
    """
    shut = [g for g in gates if g.outcome == STOP or (g.outcome == NOT_MEASURED and g.otherwise == STOP)]
    if shut:
        reasons = "\n".join(f"  {g.setting}: found {g.found}, expected {g.limit}. {g.caution.full}" for g in shut)
        raise InputError(
            f"The run was stopped by {'a gate' if len(shut) == 1 else f'{len(shut)} gates'}, and an earlier run is left as it "
            f"is:\n{reasons}\nTo go on all the same, set "
            f"{'; '.join(f'`gates: {g.setting}: otherwise: mark` or another `limit:`' for g in shut)}."
        )
