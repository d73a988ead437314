"""Gates: what is good enough, what marks a run, and what nobody measured."""

from typing import Any

import pytest

from pipeline.gates import MARK, NOT_MEASURED, PASS, run_gates, warnings_of

GOOD: dict[str, Any] = {
    "observed_share": 0.9, "beyond": 0.05, "calibration_error": 0.02, "same_images": True,
    "adaptation": {"method": "none", "verified": False}, "verdict": "helps",
}  # fmt: skip


def outcomes(**changed: Any) -> dict[str, str]:
    return {gate.name: gate.outcome for gate in run_gates(**{**GOOD, **changed})}


def test_a_sound_run_passes_and_warns_of_nothing() -> None:
    assert set(outcomes().values()) == {PASS}
    assert warnings_of(run_gates(**GOOD)) == []


@pytest.mark.parametrize(
    ("gate", "changed", "outcome"),
    [
        ("Observed on both dates", {"observed_share": 0.5}, PASS),
        ("Observed on both dates", {"observed_share": 0.49}, MARK),
        ("Likeness to the training regions", {"beyond": 0.2}, PASS),
        ("Likeness to the training regions", {"beyond": 0.21}, MARK),
        ("Likeness to the training regions", {"beyond": None}, NOT_MEASURED),
        ("Calibration on the test blocks", {"calibration_error": 0.1}, PASS),
        ("Calibration on the test blocks", {"calibration_error": 0.11}, MARK),
        ("Calibration on the test blocks", {"calibration_error": None}, NOT_MEASURED),
        ("Images of the training", {"same_images": False}, MARK),
        ("Adaptation to the territory", {"adaptation": {"method": "moments", "verified": False}}, MARK),
        ("Adaptation to the territory", {"adaptation": {"method": "moments", "verified": True}}, PASS),
        ("Transfer from the encoder's source", {"verdict": "hurts"}, MARK),
        ("Transfer from the encoder's source", {"verdict": "no evidence"}, PASS),
        ("Transfer from the encoder's source", {"verdict": None}, NOT_MEASURED),
    ],
)
def test_each_gate_marks_alone(gate: str, changed: dict[str, Any], outcome: str) -> None:
    found = outcomes(**changed)
    assert found.pop(gate) == outcome
    assert set(found.values()) == {PASS}
    warnings = warnings_of(run_gates(**{**GOOD, **changed}))
    assert len(warnings) == (outcome == MARK)


def test_what_was_found_is_said_in_numbers() -> None:
    (warning,) = warnings_of(run_gates(**{**GOOD, "beyond": 0.34}))
    assert warning.startswith("34 % of the territory looks unlike")
