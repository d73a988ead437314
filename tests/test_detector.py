"""Classical detection: what it finds in pictures with known change, and what its thresholds keep."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2
from sklearn.metrics import cohen_kappa_score

from landshift.pipeline.change.second_opinion import (
    ENTRIES,
    SecondOpinion,
    compare_maps,
    form_opinion,
    lack_opinion,
    list_shares,
    result_gates,
)
from landshift.pipeline.epochs.classical import sample_pixels
from landshift.pipeline.epochs.detector import ClassicalDetector, ClassicalMethod, fit_detector
from landshift.pipeline.errors import InputError
from landshift.pipeline.gates import MARK, NOT_MEASURED, PASS, RULES, STOP

METHODS: tuple[ClassicalMethod, ...] = ("ir-mad", "cva")
GAIN, OFFSET = np.array([0.8, 1.3, 1.1]), np.array([20.0, -5.0, 8.0])


def pair(noise: float = 1.0, tails: float = np.inf) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return both dates (band, y, x) in other light, and where a rectangle changed."""
    rng = np.random.default_rng(3)
    ground = rng.normal(100, 20, (3, 80, 100))
    changed = np.zeros((80, 100), dtype=bool)
    changed[20:40, 30:60] = True
    draw = rng.standard_normal if tails == np.inf else lambda size: rng.standard_t(tails, size)
    before, after = (ground + noise * draw(ground.shape) for _ in range(2))
    after[:, changed] += np.array([40.0, -30.0, 50.0])[:, None]
    return before, after * GAIN[:, None, None] + OFFSET[:, None, None], changed


def fitted(before: np.ndarray, after: np.ndarray, method: ClassicalMethod, rate: float = 0.01) -> ClassicalDetector:
    return fit_detector(*sample_pixels(before, after), method, rate)


@pytest.mark.parametrize("method", METHODS)
def test_a_rectangle_is_found_in_other_light_and_what_nobody_saw_stays_unknown(method: ClassicalMethod) -> None:
    before, after, changed = pair()
    after[1, :3] = np.nan
    detector = fitted(before, after, method)
    statistic = detector.statistic(before, after)
    assert np.isnan(statistic[:3]).all()
    assert cohen_kappa_score((statistic[3:] >= detector.otsu).ravel(), changed[3:].ravel()) > 0.98


@pytest.mark.parametrize("method", METHODS)
def test_a_tile_gives_the_numbers_of_the_whole(method: ClassicalMethod) -> None:
    before, after, _ = pair()
    detector = fitted(before, after, method)
    tile = np.s_[:, 10:33, 40:71]
    np.testing.assert_array_equal(detector.statistic(before, after)[tile[1:]], detector.statistic(before[tile], after[tile]))


@pytest.mark.parametrize("noise", [1.0, 5.0])
@pytest.mark.parametrize("rate", [0.01, 0.05])
def test_the_scaled_chi_square_threshold_keeps_the_rate_of_false_alarms(rate: float, noise: float) -> None:
    before, after, changed = pair(noise)
    detector = fitted(before, after, "ir-mad", rate)
    alarm, statistic = detector.false_alarm, detector.statistic(before, after)
    assert (alarm.rule, alarm.rate) == ("chi-square", rate)
    assert (statistic[~changed] >= alarm.value).mean() == pytest.approx(rate, rel=0.25)
    assert alarm.found == pytest.approx(rate, rel=0.3)
    # Without the scale, half of the unchanged ground would be called changed.
    assert (statistic[~changed] >= np.sqrt(chi2.isf(rate, 3))).mean() > 0.3


def test_long_tails_show_in_what_was_found_on_invariant_pixels() -> None:
    before, after, _ = pair(tails=1.5)
    assert fitted(before, after, "ir-mad", 0.01).false_alarm.found > 0.05


def test_change_vector_analysis_has_no_theory_and_keeps_the_rate_on_invariant_pixels() -> None:
    before, after, changed = pair()
    detector = fitted(before, after, "cva", 0.05)
    alarm = detector.false_alarm
    assert (alarm.rule, alarm.scale) == ("invariant pixels", None)
    assert alarm.found == pytest.approx(0.05, abs=1e-3)
    assert (detector.statistic(before, after)[~changed] >= alarm.value).mean() == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize("method", METHODS)
def test_the_score_grows_with_the_statistic_and_parts_changed_from_unchanged(
    method: ClassicalMethod,
) -> None:
    before, after, changed = pair()
    detector = fitted(before, after, method)
    score = detector.score(detector.statistic(before, after))
    assert score[changed].mean() > 0.95
    assert score[~changed].mean() < 0.05
    line = detector.score(np.array([-1.0, *np.linspace(0, 100, 300), np.nan]))
    assert np.isnan(line[-1])
    assert (np.diff(line[:-1]) >= 0).all()
    assert 0 <= line[:-1].min() <= line[:-1].max() <= 1


def test_the_same_image_twice_is_refused() -> None:
    before, _, _ = pair()
    with pytest.raises(InputError, match="same"):
        fitted(before, before.copy(), "cva")


MAP = np.array([[0, 1, 1, 2], [7, 2, 1, 0], [1, 1, 3, 1]], dtype=np.uint8)
OTHER = np.array([[1, 1, 2, 2], [2, 1, 1, 0], [1, 0, 2, 1]], dtype=np.uint8)


def opinion(change: np.ndarray, other: np.ndarray) -> SecondOpinion:
    """How far two maps agree, counted row by row."""
    rows = [compare_maps(ours, theirs) for ours, theirs in zip(change, other, strict=True)]
    return form_opinion(sum((np.bincount(row, minlength=len(ENTRIES)) for row in rows), np.zeros(len(ENTRIES), dtype=int)))


def test_the_codes_name_who_calls_a_pixel_changed() -> None:
    codes = compare_maps(MAP, OTHER)
    found = opinion(MAP, OTHER)
    assert codes.tolist() == [[0, 1, 4, 2], [2, 3, 1, 0], [1, 0, 2, 1]]
    assert codes.dtype == np.uint8
    assert found == SecondOpinion(pytest.approx(0.55), pytest.approx(0.55), 3 / 9, 1 / 9, 1 / 9)  # type: ignore[arg-type]
    assert (found.mapped, found.classical) == (4 / 9, 4 / 9)
    assert [(kind.name, share) for kind, share in list_shares(found)] == [
        ("Both unchanged", pytest.approx(4 / 9)), ("Both changed", 3 / 9), ("Only the model", 1 / 9), ("Only IR-MAD", 1 / 9),
    ]  # fmt: skip
    assert [entry.code for entry in ENTRIES] == [0, 1, 2, 3, 4]


maps = st.lists(st.tuples(st.sampled_from([0, 1, 2, 5]), st.sampled_from([0, 1, 2])), min_size=1, max_size=60)


@settings(deadline=None)
@given(maps)
def test_kappa_is_cohens_and_swapping_the_maps_swaps_who_is_alone(pixels: list[tuple[int, int]]) -> None:
    first, second = np.array(pixels, dtype=np.uint8).T[:, None]
    found, swapped = opinion(first, second), opinion(second, first)
    seen = (first > 0) & (second > 0)
    if not seen.any():
        assert found.kappa is None
        assert found.reason
        return
    assert found.kappa == pytest.approx(swapped.kappa)
    assert (found.only_model, found.only_classical) == (swapped.only_classical, swapped.only_model)
    ours, theirs = first[seen] >= 2, second[seen] >= 2
    if len({*ours, *theirs}) == 2:
        assert found.kappa == pytest.approx(cohen_kappa_score(ours, theirs), abs=1e-9)
    else:
        assert found.kappa == 1


def test_a_map_within_that_of_irmad_is_confirmed_however_much_more_irmad_shows() -> None:
    """Fields that were ploughed are change to IR-MAD alone; a building is change to both."""
    model, classical = np.ones((20, 20), dtype=np.uint8), np.ones((20, 20), dtype=np.uint8)
    classical[:, 10:] = 2
    model[5:7, 14:17] = 2
    found = opinion(model, classical)
    assert found.kappa == pytest.approx(0.03)
    assert found.confirmed == 1
    assert opinion(np.full_like(model, 2), classical).confirmed == 0
    assert opinion(np.ones_like(model), classical).confirmed is None


def test_a_map_that_is_nearly_all_changed_stops_the_run_and_the_warning_holds_what_others_show() -> None:
    opinion = SecondOpinion(0.002, 0.001, 0.06, 0.932, 0.0)
    share, ratio, second = result_gates(0.992, opinion, 0.2, RULES)
    assert share.outcome == STOP
    assert {ratio.outcome, second.outcome} == {"mark"}
    assert "99 %" in share.caution.full
    assert "20 % of the training labels" in ratio.found
    assert "93 %" in second.caution.full


def test_a_classical_map_is_asked_for_its_share_alone_and_no_other_evidence_is_not_measured() -> None:
    (share,) = result_gates(0.08, None, None, RULES)
    assert share.outcome == PASS
    note = "not independent"
    sound = SecondOpinion(0.6, 0.67, 0.07, 0.03, 0.05)
    assert [note in result_gates(0.1, sound, None, RULES, is_prior=prior)[2].caution.full for prior in (False, True)] == [
        False,
        True,
    ]
    _, ratio, second = result_gates(0.08, lack_opinion("band 2 is the same everywhere"), None, RULES)
    assert (ratio.outcome, second.outcome) == (NOT_MEASURED, NOT_MEASURED)
    assert "band 2" in second.caution.full


def test_a_model_that_looks_at_ir_mad_is_not_excused_by_it() -> None:
    """A third mapped, a third by IR-MAD too, and 8 % of the training labels changed."""
    both = SecondOpinion(1.0, 1.0, 1 / 3, 0.0, 0.0)
    gates = [result_gates(1 / 3, both, 0.08, RULES, is_prior=prior)[1] for prior in (False, True)]
    assert [gate.outcome for gate in gates] == [PASS, MARK]
    assert gates[1].value == pytest.approx(1 / 3 / 0.08)
    assert "33 % by IR-MAD" in gates[1].found, "shown all the same"
