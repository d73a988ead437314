"""Gates: what is good enough, what marks or stops a run, and what nobody measured."""

import ast
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landshift.pipeline.change.second_opinion import SecondOpinion, result_gates
from landshift.pipeline.epochs.agreement import RadiometricDifference
from landshift.pipeline.epochs.checks.levels import Levels
from landshift.pipeline.epochs.checks.stripes import Stripes
from landshift.pipeline.epochs.checks.unmasked import UnmaskedClouds
from landshift.pipeline.epochs.checks.vegetation import VegetationDifference
from landshift.pipeline.epochs.coregistration import Misregistration
from landshift.pipeline.epochs.gates import Measured, image_gates, plan_gates, season_gap
from landshift.pipeline.epochs.matching import Radiometry, Treatment, matching_gate
from landshift.pipeline.errors import InputError
from landshift.pipeline.gates import MARK, NOT_MEASURED, PASS, RULES, STOP, Gate, GateRules, require_open, warnings_of
from landshift.pipeline.scores.gates import model_gates
from landshift.pipeline.scores.reliability import KnownCalibration

MODEL: dict[str, Any] = {
    "beyond": 0.05, "calibration": KnownCalibration(0.02, 0.02), "same_images": True,
    "adaptation": "none", "is_verified": False, "verdict": "helps",
}  # fmt: skip
RESULT: dict[str, Any] = {"mapped": 0.1, "opinion": SecondOpinion(0.6, 0.67, 0.07, 0.03, 0.05), "trained": 0.2}
PLAN: dict[str, Any] = {"before": date(2018, 6, 12), "after": date(2023, 6, 18), "overlap": 0.97}
LEVELS = Levels(("visible", "near infrared"), (0.03, 0.15, 0.02, 0.2), (0.1, 0.3, 0.11, 0.28), (1.1, 0.93))
DATA = Measured(
    0.9, LEVELS, Misregistration(0.1, -0.2, 14, 16, 0.06), RadiometricDifference(0.2, 2, 5000),
    clouds=UnmaskedClouds(0.001, 0.0), stripes=Stripes(0.004, 1, "rows", "after"), plants=VegetationDifference(-0.03, 0.8),
)  # fmt: skip
BANDS = ("red", "nir")


def shifted(dy: float) -> dict[str, Any]:
    return {"shift": replace(DATA.shift, dy=dy, dx=0.0)}


def light(share: float | None) -> dict[str, Any]:
    return {"difference": RadiometricDifference(share, 2 if share is not None else None, 5000, "" if share else "flat")}


MATCHED = Radiometry(Treatment(matched=True), invariant=700, residuals=((0.2, 0.1),))


def matched(invariant: int | None) -> dict[str, Any]:
    return {"radiometry": Radiometry(invariant=invariant, notes=("The dates were not matched.",))}


def levels(**changed: Any) -> dict[str, Any]:
    return {"levels": replace(LEVELS, **changed)}


def asked(rules: GateRules = RULES, units: str = "reflectance", **changed: Any) -> tuple[Gate, ...]:
    """All gates of a run that is sound but for what is changed."""
    data = replace(DATA, **{k: v for k, v in changed.items() if hasattr(DATA, k)})
    return (
        *plan_gates(**{k: changed.get(k, v) for k, v in PLAN.items()}, rules=rules),
        *image_gates(data, BANDS, units, rules, **{k: changed[k] for k in ("moved", "correction") if k in changed}),
        matching_gate(changed.get("radiometry", MATCHED), rules),
        *model_gates(**{k: changed.get(k, v) for k, v in MODEL.items()}, rules=rules),
        *result_gates(**{k: changed.get(k, v) for k, v in RESULT.items()}, rules=rules),
    )  # fmt: skip


def outcomes(*args: Any, **changed: Any) -> dict[str, str]:
    return {gate.name: gate.outcome for gate in asked(*args, **changed)}


def test_a_sound_run_passes_and_warns_of_nothing() -> None:
    assert set(outcomes().values()) == {PASS}
    assert warnings_of(asked()) == []
    require_open(asked())


def test_every_rule_is_asked_once() -> None:
    settings = [gate.setting for gate in asked() if gate.setting]
    assert sorted(settings) == sorted(RULES)


@pytest.mark.parametrize(
    ("gate", "changed", "outcome"),
    [
        ("Observed on both dates", {"observed_share": 0.5}, PASS),
        ("Observed on both dates", {"observed_share": 0.49}, MARK),
        ("Region covered by both dates", {"overlap": 0.9}, PASS),
        ("Region covered by both dates", {"overlap": 0.89}, MARK),
        ("Season of the dates", {"after": date(2023, 7, 27)}, PASS),
        ("Season of the dates", {"after": date(2023, 7, 28)}, MARK),
        ("Position of the dates", shifted(0.5), PASS),
        ("Position of the dates", shifted(-0.51), MARK),
        ("Position of the dates", {"shift": Misregistration(None, None, 1, 9, None, "water")}, NOT_MEASURED),
        ("Light of the dates", light(0.5), PASS),
        ("Light of the dates", light(0.51), MARK),
        ("Light of the dates", light(None), NOT_MEASURED),
        ("Match of the dates", matched(100), PASS),
        ("Match of the dates", matched(99), MARK),
        ("Match of the dates", matched(None), NOT_MEASURED),
        ("Scale of the values", levels(medians=(0.1, 2.5, 0.1, 0.3)), MARK),
        ("Scale of the values", levels(medians=(0.1, 0.3, 0.36, 0.3)), MARK),
        ("Scale of the values", levels(dark=(0.03, 0.15, -0.06, 0.2)), MARK),
        ("Scale of the values", levels(dark=(0.03, 0.15, 0.12, 0.25)), MARK),
        ("Scale of the values", levels(medians=(0.01, 0.03, 0.1, 0.3)), MARK),
        ("Scale of the values", levels(dark=(), medians=()), NOT_MEASURED),
        ("Scale of the values", levels(kinds=("unknown", "unknown")), NOT_MEASURED),
        ("Scale of the values", {"units": "digital numbers"}, NOT_MEASURED),
        ("Levels of the dates", levels(ratios=(2.9, 3.0)), PASS),
        ("Levels of the dates", levels(ratios=(), reason="flat"), NOT_MEASURED),
        ("Season of the plants", {"plants": VegetationDifference(0.1, 0.8)}, PASS),
        ("Season of the plants", {"plants": VegetationDifference(-0.11, 0.8)}, MARK),
        ("Season of the plants", {"plants": VegetationDifference(None, 0.0, "desert")}, NOT_MEASURED),
        ("Clouds that no mask took out", {"clouds": UnmaskedClouds(0.02, 0.0)}, PASS),
        ("Clouds that no mask took out", {"clouds": UnmaskedClouds(0.0, 0.03)}, MARK),
        ("Clouds that no mask took out", {"clouds": UnmaskedClouds(None, None, "radar")}, NOT_MEASURED),
        ("Stripes", {"stripes": Stripes(0.026, 2, "columns", "")}, MARK),
        ("Stripes", {"stripes": Stripes(None, None, reason="small")}, NOT_MEASURED),
        ("Likeness to the training regions", {"beyond": 0.2}, PASS),
        ("Likeness to the training regions", {"beyond": 0.21}, MARK),
        ("Likeness to the training regions", {"beyond": None}, NOT_MEASURED),
        ("Calibration on these images", {"calibration": KnownCalibration(0.1, 0.1)}, PASS),
        ("Calibration on these images", {"calibration": KnownCalibration(0.11, 0.01)}, MARK),
        ("Calibration on these images", {"calibration": KnownCalibration(None, 0.001)}, NOT_MEASURED),
        ("Images of the training", {"same_images": False}, MARK),
        ("Adaptation to the territory", {"adaptation": "moments", "is_verified": False}, MARK),
        ("Adaptation to the territory", {"adaptation": "moments", "is_verified": True}, PASS),
        ("Transfer from the encoder's source", {"verdict": "hurts"}, MARK),
        ("Transfer from the encoder's source", {"verdict": "no evidence"}, PASS),
        ("Transfer from the encoder's source", {"verdict": None}, NOT_MEASURED),
        ("Share mapped as changed", {"mapped": 0.5}, PASS),
        ("Share mapped, beside other evidence", {"mapped": 0.36, "trained": None}, PASS),
        ("Share mapped, beside other evidence", {"mapped": 0.37, "trained": None}, MARK),
        ("Second opinion (IR-MAD)", {"opinion": SecondOpinion(0.1, 0.2, 0.07, 0.03, 0.05)}, PASS),
        ("Second opinion (IR-MAD)", {"opinion": SecondOpinion(0.6, 0.19, 0.07, 0.03, 0.05)}, MARK),
        ("Second opinion (IR-MAD)", {"opinion": SecondOpinion(0.0, None, 0.0, 0.0, 0.12)}, NOT_MEASURED),
    ],
)
def test_each_gate_marks_alone(gate: str, changed: dict[str, Any], outcome: str) -> None:
    found = outcomes(**changed)
    assert found.pop(gate) == outcome
    assert set(found.values()) == {PASS}
    assert len(warnings_of(asked(**changed))) == (outcome == MARK)


@pytest.mark.parametrize(("elsewhere", "told"), [(0.001, "(its error there: 0.001)"), (None, "on other images, and")])
def test_an_error_on_other_images_is_not_measured_here(elsewhere: float | None, told: str) -> None:
    (gate,) = (g for g in asked(calibration=KnownCalibration(None, elsewhere)) if g.setting == "calibration_error")
    assert (gate.outcome, gate.found, gate.value) == (NOT_MEASURED, "not measured here", None)
    assert told in gate.caution.full
    assert "Uncalibrated here" in gate.caution.full
    assert "share of pixels that changed" not in gate.caution.full


BAD: dict[str, dict[str, Any]] = {
    "observed_share": {"observed_share": 0.1}, "grid_overlap": {"overlap": 0.2},
    "season_gap_days": {"after": date(2023, 12, 1)}, "misregistration_px": shifted(2.0),
    "radiometric_difference": light(0.9), "level_ratio": levels(ratios=(9.0, 10.0)),
    "implausible_levels": levels(dark=(0.12, 0.3, 0.12, 0.3)), "unmasked_clouds": {"clouds": UnmaskedClouds(0.1, 0.0)},
    "stripes": {"stripes": Stripes(0.05, 1, "rows", "after")},
    "vegetation_difference": {"plants": VegetationDifference(-0.2, 0.9)}, "domain_shift": {"beyond": 0.8},
    "calibration_error": {"calibration": KnownCalibration(0.4, 0.4)},
    "invariant_pixels": matched(7),
    "mapped_share": {"mapped": 0.9, "trained": 0.6}, "mapped_ratio": {"mapped": 0.49, "trained": 0.1},
    "second_opinion": {"opinion": SecondOpinion(0.03, 0.03, 0.01, 0.09, 0.11)},
}  # fmt: skip


@pytest.mark.parametrize("setting", RULES)
def test_a_gate_passes_marks_or_stops_as_it_was_set(setting: str) -> None:
    for otherwise, warned in (("pass", 0), ("mark", 1), ("stop", 0)):
        rules = {**RULES, setting: replace(RULES[setting], otherwise=otherwise)}
        (gate,) = (g for g in asked(rules, **BAD[setting]) if g.setting == setting)
        assert gate.outcome == otherwise
        assert len(warnings_of(asked(rules, **BAD[setting]))) == warned
        if otherwise == STOP:
            with pytest.raises(InputError) as error:
                require_open(asked(rules, **BAD[setting]))
            for told in (setting, gate.found, gate.limit, "limit:", "otherwise: mark"):
                assert told in str(error.value)
        else:
            require_open(asked(rules, **BAD[setting]))
        # The same rule leaves a sound run alone.
        require_open(asked(rules))


@pytest.mark.parametrize("setting", RULES)
def test_a_limit_is_the_one_that_was_set(setting: str) -> None:
    """Whatever was found is just good enough for a limit of that very number, and not for the next one."""
    (bad,) = (g for g in asked(**BAD[setting]) if g.setting == setting)
    assert bad.outcome == RULES[setting].otherwise
    assert bad.value is not None
    worse = 1e-6 if RULES[setting].at_least else -1e-6
    for limit, outcome in ((bad.value, PASS), (bad.value + worse, RULES[setting].otherwise)):
        rules = {**RULES, setting: replace(RULES[setting], limit=limit)}
        (gate,) = (g for g in asked(rules, **BAD[setting]) if g.setting == setting)
        assert gate.outcome == outcome


def test_every_gate_that_stops_is_named_at_once() -> None:
    rules = {name: replace(rule, otherwise=STOP) for name, rule in RULES.items()}
    with pytest.raises(InputError, match="2 gates") as error:
        require_open(asked(rules, overlap=0.2, **shifted(2.0)))
    assert "grid_overlap" in str(error.value)
    assert "misregistration_px" in str(error.value)
    assert "season_gap_days" not in str(error.value)


def test_what_should_stop_and_could_not_be_measured_stops() -> None:
    water = {"shift": Misregistration(None, None, 1, 9, None, "water")}
    assert warnings_of(asked(**water)) == []
    rules = {**RULES, "misregistration_px": replace(RULES["misregistration_px"], otherwise=STOP)}
    with pytest.raises(InputError, match=r"(?s)misregistration_px: found not known, .*water.*otherwise: mark"):
        require_open(asked(rules, **water))
    require_open(asked(rules))


def test_a_date_ten_times_as_bright_stops_whatever_the_unit() -> None:
    for units in ("reflectance", "digital numbers"):
        for ratios in ((10.0, 9.8), (0.1, 0.11)):
            with pytest.raises(InputError, match=r"level_ratio: found the date (before|after) is 9"):
                require_open(asked(units=units, **levels(ratios=ratios)))


def test_what_was_found_is_said_in_numbers() -> None:
    (warning,) = warnings_of(asked(beyond=0.34))
    assert warning.startswith("34 % of the territory looks unlike")
    (warning,) = warnings_of(asked(**light(0.61)))
    assert "61 % of the mean in band nir" in warning


def test_a_correction_is_told_with_what_is_left() -> None:
    told = "The image after was moved by -1.30 px down and +0.00 px right: from 1.30 px to 0.04 px."
    gates = asked(moved=(-1.3, 0.0), correction=told, shift=replace(DATA.shift, dy=0.04, dx=0.0))
    (gate,) = (g for g in gates if g.setting == "misregistration_px")
    assert gate.outcome == PASS
    assert gate.found.endswith("after the correction")
    assert told in gate.caution.full


@given(st.dates(date(1972, 1, 1), date(2100, 1, 1)), st.integers(-2000, 2000))
def test_the_season_gap_goes_round_the_year(day: date, days: int) -> None:
    other = day + timedelta(days)
    gap = season_gap(day, other)
    assert gap == season_gap(other, day)
    # A calendar year has 365.25 days on average, so the leap days shift it by at most two.
    turned = abs((days + 182.625) % 365.25 - 182.625)
    assert gap == pytest.approx(turned, abs=2)
    assert gap <= 182


@pytest.mark.parametrize(
    ("before", "after", "gap"),
    [
        (date(2019, 12, 31), date(2023, 1, 1), 1),
        (date(2019, 6, 12), date(2023, 6, 12), 0),
        (date(2019, 1, 10), date(2023, 12, 20), 21),
        (date(2019, 1, 1), date(2023, 7, 2), 182),
        (date(2000, 3, 17), date(2003, 2, 6), 39),
        (date(2020, 6, 15), date(2022, 6, 20), 5),
        (date(2020, 2, 29), date(2021, 2, 28), 0),
    ],
)
def test_the_season_gap_of_known_dates(before: date, after: date, gap: int) -> None:
    assert season_gap(before, after) == gap


VOICES = {"judge": ("met", "missed"), "judge_unknown": ("reason",), "Gate": ("meaning",), "Caution": ("plain",)}
"""What a reader of the map is told: arguments by the call that takes them."""
FOR_MAKERS = ("`", "landshift", ".tif", "config", "scenes:", "gates:", "detect:")


def _told(call: ast.Call, name: str) -> Iterator[str]:
    """The words of what a call tells the reader of a map; the second argument of a `Caution` is for its maker."""
    first = call.args[:1] if name == "Caution" else []
    for node in (*first, *(k.value for k in call.keywords if k.arg in VOICES[name])):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Caution":
            continue  # looked at as a call of its own
        yield from (n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str))


def test_readers_of_a_map_are_told_of_no_settings_or_commands() -> None:
    """One voice for the map's reader, and another (`remedy`) for its maker, wherever a gate or warning is made."""
    offenders, seen = [], 0
    for path in (p for room in ("pipeline", "flows", "models") for p in (Path(__file__).parents[1] / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if isinstance(node, ast.Call) and name in VOICES:
                words = list(_told(node, name))
                seen += len(words)
                offenders += [f"{path.name}:{node.lineno}: {w}" for w in words for sign in FOR_MAKERS if sign in w]
    assert not offenders
    assert seen > 60
