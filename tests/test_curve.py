"""The curve of label efficiency: what each share of the labels gives, from pretrained and from random weights."""

from typing import Any

import pytest

from landshift.flows.steps.assessment.curve import RANDOM, curve_arms, curve_trials, measure_curve
from landshift.flows.steps.assessment.trials import BLOCKS, Trial, TrialResult
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.records import content_of
from tests.binary_territory import LITE, BinaryTerritory, cost_of, done, fit_of


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> BinaryTerritory:
    return BinaryTerritory(tmp_path_factory.mktemp("curve"), size=48)


def workspace(place: BinaryTerritory, **changes: Any) -> Workspace:
    assess = {"seeds": [0, 1, 2], "fractions": [0.1, 1.0], **changes.pop("assess", {})}
    return place.workspace(**{"model": {"encoder": LITE}, **changes}, assess=assess)


def trained(trial: Trial, f1: float, history: list[float], kwh: float | None = 0.004) -> TrialResult:
    return done(trial, f1, fit=fit_of(history), cost=None if kwh is None else cost_of(kwh))


def outcomes_of(ws: Workspace) -> dict[Trial, TrialResult]:
    """Pretrained weights are 0.2 better with a tenth of the labels and 0.05 with all; seeds add 0.01 each to both."""
    found = {}
    for trial in curve_trials(ws):
        base = 0.4 if trial.share < 1 else 0.7
        if trial.strategy == "scratch":
            found[trial] = trained(trial, base + 0.01 * trial.seed, [0.1, 0.2, 0.3, 0.4])
        else:
            gain = 0.2 if trial.share < 1 else 0.05
            found[trial] = trained(trial, base + gain + 0.01 * trial.seed, [0.3, 0.45, 0.5, 0.6], 0.008)
    return found


def label_efficiency(ws: Workspace, outcomes: dict[Trial, TrialResult]) -> dict[str, Any]:
    return dict(content_of(measure_curve(ws, outcomes)))


def rows_of(content: dict[str, Any]) -> dict[tuple[str, float], dict[str, Any]]:
    return {(row["arm"], row["share"]): row for row in content["rows"]}


def test_every_share_arm_and_seed_is_trained_on_the_blocks(place: BinaryTerritory) -> None:
    ws = workspace(place, assess={"curve_encoders": [LITE, "imagenet-efficientnet-lite1"]})
    trials = curve_trials(ws)
    assert len(set(trials)) == len(trials) == 2 * 3 * 3
    assert {t.split for t in trials} == {BLOCKS}
    assert trials[0].share == 1, "the whole labels first: what is fewest may not be possible"
    assert curve_arms(ws)[RANDOM] == (LITE, "scratch")
    assert curve_arms(ws)["imagenet-efficientnet-lite1"] == ("imagenet-efficientnet-lite1", "full")


def test_a_project_from_scratch_still_compares_pretrained_weights(place: BinaryTerritory) -> None:
    ws = workspace(place, training={"strategy": "scratch"})
    assert curve_arms(ws) == {LITE: (LITE, "full"), RANDOM: (LITE, "scratch")}
    frozen = workspace(place, training={"strategy": "frozen"})
    assert curve_arms(frozen)[LITE] == (LITE, "frozen")


def test_the_table_has_f1_and_the_paired_gain(place: BinaryTerritory) -> None:
    ws = workspace(place)
    content = label_efficiency(ws, outcomes_of(ws))
    assert content["notes"] == []
    rows = rows_of(content)
    assert set(rows) == {(arm, share) for arm in (LITE, RANDOM) for share in (0.1, 1.0)}
    few = rows[LITE, 0.1]
    assert few["seeds"] == 3
    assert few["f1"]["mean"] == pytest.approx(0.61)
    # Student's t with 2 degrees of freedom, standard deviation 0.01.
    assert few["f1"]["high"] == pytest.approx(0.61 + 4.302652729911275 * 0.01 / 3**0.5, abs=1e-6)
    assert few["f1_by_seed"] == pytest.approx({"0": 0.6, "1": 0.61, "2": 0.62})
    assert [few["gain"][k] for k in ("mean", "low", "high")] == pytest.approx([0.2] * 3), "seeds share their luck"
    assert rows[LITE, 1.0]["gain"]["mean"] == pytest.approx(0.05)
    assert rows[RANDOM, 0.1]["gain"]["mean"] is None


def test_an_interval_of_f1_stays_within_what_f1_can_be(place: BinaryTerritory) -> None:
    ws = workspace(place, assess={"seeds": [0, 1]})
    outcomes = outcomes_of(ws)
    for trial in outcomes:
        outcomes[trial] = trained(trial, (0.02, 0.97)[trial.seed], [0.5])
    for row in label_efficiency(ws, outcomes)["rows"]:
        assert 0 <= row["f1"]["low"] <= row["f1"]["mean"] <= row["f1"]["high"] <= 1


def test_what_it_took_to_reach_the_target(place: BinaryTerritory) -> None:
    ws = workspace(place)
    row = rows_of(label_efficiency(ws, outcomes_of(ws)))
    own, random = row[LITE, 1.0], row[RANDOM, 1.0]
    assert own["target_f1"] == random["target_f1"] == pytest.approx(0.4), "what random weights reach in the end"
    assert (own["reached"], own["epochs_to_target"]) == (3, 2)
    assert own["kwh_to_target"] == pytest.approx(0.008 * 2 / 4)
    assert (random["reached"], random["epochs_to_target"], random["kwh_to_target"]) == (3, 4, pytest.approx(0.004))
    assert (own["epochs"], own["seconds"], own["kwh"]) == (4, 6, pytest.approx(0.008))


def test_a_target_that_is_not_reached_is_told(place: BinaryTerritory) -> None:
    ws = workspace(place)
    outcomes = outcomes_of(ws)
    slow = Trial(LITE, "full", 1)
    outcomes[slow] = trained(slow, 0.5, [0.1, 0.2], None)
    own = rows_of(label_efficiency(ws, outcomes))[LITE, 1.0]
    assert (own["reached"], own["seeds"], own["epochs_to_target"]) == (2, 3, 2)
    assert own["kwh"] == pytest.approx(0.008), "of those that were measured"


def test_fewer_labels_than_a_share_asks_for_is_a_note_and_a_gap(place: BinaryTerritory) -> None:
    ws = workspace(place, assess={"fractions": [0.005, 1.0]})
    outcomes = outcomes_of(ws)
    reason = "0.5 % of the labels (blocks) leave 3 changed and 9 unchanged pixels for training; at least 8 of each are needed."
    for trial in [t for t in outcomes if t.share < 1]:
        outcomes[trial] = TrialResult(trial, "not possible", reason)
    content = label_efficiency(ws, outcomes)
    rows = rows_of(content)
    for arm in (LITE, RANDOM):
        gap = rows[arm, 0.005]
        assert (gap["seeds"], gap["f1"]["mean"], gap["gain"]["mean"], gap["target_f1"], gap["reached"]) == (
            0,
            None,
            None,
            None,
            0,
        )
        assert (gap["epochs"], gap["kwh"], gap["kwh_to_target"]) == (None, None, None)
    assert len(content["notes"]) == 6
    assert f"{LITE}, 0.5 % of the labels, seed 2: not possible. {reason}" in content["notes"]
    assert rows[LITE, 1.0]["gain"]["mean"] == pytest.approx(0.05)


def test_a_seed_that_diverged_is_named_and_its_pair_left_out(place: BinaryTerritory) -> None:
    ws = workspace(place)
    outcomes = outcomes_of(ws)
    broken, control = Trial(LITE, "full", 1), Trial(LITE, "scratch", 0)
    for trial in (broken, control):
        outcomes[trial] = TrialResult(trial, "diverged", "the loss is nan")
    content = label_efficiency(ws, outcomes)
    rows = rows_of(content)
    assert (rows[LITE, 1.0]["seeds"], rows[RANDOM, 1.0]["seeds"]) == (2, 2)
    assert rows[LITE, 1.0]["gain"] == {"mean": pytest.approx(0.05), "low": None, "high": None}, "only seed 2 has both"
    assert f"{LITE}, 100 % of the labels, seed 1: diverged. the loss is nan" in content["notes"]
    assert f"{RANDOM}, 100 % of the labels, seed 0: diverged. the loss is nan" in content["notes"]
