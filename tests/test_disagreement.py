"""Disagreement and intensities are those that one can reckon by hand."""

import json
from dataclasses import asdict, astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from landshift.pipeline.sample.disagreement import Disagreement, intensity_analysis, quantity_and_allocation

MATRICES = st.integers(1, 6).flatmap(lambda n: arrays(float, (n, n), elements=st.floats(0, 1000)))


@pytest.mark.parametrize(
    ("matrix", "quantity", "allocation"),
    [
        ([[50, 0], [0, 50]], 0.0, 0.0),
        ([[40, 10], [10, 40]], 0.0, 0.2),  # the right amounts in the wrong places
        ([[30, 0], [20, 50]], 0.2, 0.0),  # only the amounts are wrong
        ([[30, 5], [15, 50]], 0.1, 0.1),
        # Commission 3, 6, 0 and omission 4, 1, 4 of 60: |differences| 1, 5, 4 and smaller ones 3, 1, 0.
        ([[20, 1, 2], [4, 20, 2], [0, 0, 11]], 5 / 60, 4 / 60),
    ],
)
def test_disagreement_by_hand(matrix: list[list[float]], quantity: float, allocation: float) -> None:
    assert quantity_and_allocation(np.array(matrix)) == Disagreement(pytest.approx(quantity), pytest.approx(allocation))


@settings(deadline=None)
@given(MATRICES)
def test_the_two_add_up_to_the_error_and_exchanging_map_and_reference_changes_nothing(matrix: np.ndarray) -> None:
    found = quantity_and_allocation(matrix)
    if not matrix.sum():
        assert found is None
        return
    assert found is not None
    assert found.quantity + found.allocation == pytest.approx(1 - np.trace(matrix / matrix.sum()), abs=1e-9)
    mirrored = quantity_and_allocation(matrix.T)
    assert mirrored is not None
    assert astuple(found) == pytest.approx(astuple(mirrored), abs=1e-12)
    assert min(astuple(found)) >= 0


FOREST, CROPLAND, BUILT = 1, 4, 9
TABLE = np.array([[700.0, 60, 40], [0, 90, 10], [0, 0, 100]])
"""Before in rows: 100 of 800 forest and 10 of 100 cropland were lost; 60 went to cropland, 50 to built-up."""


def test_intensities_of_a_small_landscape_by_hand() -> None:
    found = intensity_analysis(TABLE, [FOREST, CROPLAND, BUILT], ["Forest", "Cropland", "Built-up"])
    assert found.change_intensity == pytest.approx(0.11)
    forest, cropland, built = found.classes
    assert (forest.loss_intensity, forest.loss) == (pytest.approx(0.125), "active")
    assert (forest.gain_intensity, forest.gain) == (0.0, "dormant")
    assert (cropland.gain_intensity, cropland.gain) == (pytest.approx(0.4), "active")
    assert (cropland.loss_intensity, cropland.loss) == (pytest.approx(0.1), "dormant")
    assert (built.gain_ha, built.loss_ha, built.before_ha, built.after_ha) == (50, 0, 100, 150)
    pairs = {(t.from_code, t.to_code): t for t in found.transitions}
    assert len(pairs) == 6
    to_built = pairs[CROPLAND, BUILT]
    assert to_built.gain_intensity == pytest.approx(10 / 100)  # of the cropland before
    assert to_built.gain_uniform == pytest.approx(50 / 900)  # the gain, of all that was not built-up before
    assert to_built.gain == "targeted"
    assert pairs[FOREST, BUILT].gain == "avoided"  # 40 of 800 is less than 50 of 900
    assert pairs[FOREST, BUILT].loss_intensity == pytest.approx(40 / 150)  # of the built-up after
    assert pairs[FOREST, BUILT].loss_uniform == pytest.approx(100 / 300)
    assert pairs[FOREST, BUILT].loss == "avoided"
    assert pairs[FOREST, CROPLAND].loss == "targeted"  # 60 of 150 is more than 100 of 300
    assert pairs[BUILT, FOREST].gain is None  # forest gained nothing, so it targets nobody
    json.dumps(asdict(found), allow_nan=False)


def test_uniform_change_is_called_uniform() -> None:
    found = intensity_analysis(np.array([[80.0, 10, 10], [10, 80, 10], [10, 10, 80]]), [1, 2, 3], ["a", "b", "c"])
    assert {c.gain for c in found.classes} | {c.loss for c in found.classes} == {"uniform"}
    assert {t.gain for t in found.transitions} == {"uniform"}


def test_nothing_changed_and_nothing_there_give_no_intensities() -> None:
    still = intensity_analysis(np.diag([5.0, 3.0, 0.0]), [1, 2, 3], ["a", "b", "c"])
    assert still.change_intensity == 0
    assert still.classes[2].gain_intensity is None
    assert {t.gain for t in still.transitions} == {None}
    assert intensity_analysis(np.zeros((2, 2)), [1, 2], ["a", "b"]).change_intensity is None


@settings(deadline=None)
@given(MATRICES)
def test_swapping_the_dates_swaps_gains_and_losses(matrix: np.ndarray) -> None:
    codes = list(range(1, len(matrix) + 1))
    names = [f"class {c}" for c in codes]
    forth, back = intensity_analysis(matrix, codes, names), intensity_analysis(matrix.T, codes, names)
    for one, other in zip(forth.classes, back.classes, strict=True):
        assert one.gain_ha == pytest.approx(other.loss_ha)
        assert one.gain == other.loss
    mirrored = {(t.from_code, t.to_code): t.loss for t in back.transitions}
    assert all(mirrored[t.to_code, t.from_code] == t.gain for t in forth.transitions)


@pytest.mark.parametrize("wrong", [np.ones((2, 3)), np.ones(4), np.array([[1.0, -1], [0, 1]]), np.array([[np.nan]])])
def test_what_is_no_cross_table_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="cross table"):
        quantity_and_allocation(wrong)


def test_what_was_not_met_has_no_verdict() -> None:
    met = TABLE > 0
    found = intensity_analysis(TABLE, [FOREST, CROPLAND, BUILT], ["Forest", "Cropland", "Built-up"], met)
    assert found.change_intensity == pytest.approx(0.11)
    forest, cropland, built = found.classes
    assert (forest.gain_intensity, forest.gain) == (None, None)
    assert (built.loss_intensity, built.loss) == (None, None)
    assert cropland.gain == "active"
    pairs = {(t.from_code, t.to_code): t for t in found.transitions}
    never = pairs[CROPLAND, FOREST]
    assert {getattr(never, key) for key in ("gain_intensity", "gain", "loss_intensity", "loss")} == {None}
    assert pairs[CROPLAND, BUILT].gain == "targeted"
    nothing = intensity_analysis(np.diag([5.0, 3.0]), [1, 2], ["a", "b"], np.eye(2, dtype=bool))
    assert nothing.change_intensity is None
    with pytest.raises(ValueError, match="met of shape"):
        intensity_analysis(TABLE, [1, 2, 3], ["a", "b", "c"], np.eye(2, dtype=bool))


def test_names_have_to_fit() -> None:
    with pytest.raises(ValueError, match="2 classes"):
        intensity_analysis(np.eye(2), [1, 2], ["a"])
