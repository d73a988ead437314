"""Each region has the scores of its own pixels; what cannot be claimed is said."""

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import LandUse, Legend
from landshift.pipeline.scores.accuracy import binary_scores, class_scores
from landshift.pipeline.scores.regional import (
    ClassRegion,
    Regional,
    WorstRegion,
    class_region_table,
    optimism_gap,
    regional_scores,
)

LEGEND = Legend((LandUse(1, "Forest", "#006400"), LandUse(3, "Cropland", "#ffcc00"), LandUse(7, "Built-up", "#cc0000")))

#                 North: 1 hit, 1 miss  South: 2 hits, 1 false alarm  none  unknown
TRUTH = np.array([1, 1, 0, 0,           1, 1, 0, 0,                   1,    255, 1])  # fmt: skip
SAID = np.array([0.9, 0.1, 0.1, 0.1,    0.9, 0.9, 0.9, 0.1,           0.9,  0.9, np.nan])  # fmt: skip
REGION = np.array([0, 0, 0, 0,          1, 1, 1, 1,                   -1,   0,   1])  # fmt: skip


def scored(truth: np.ndarray, *what: Any, **how: Any) -> Regional:
    """Each pixel in a block of its own."""
    return regional_scores(truth, *what, blocks=np.arange(truth.size), **how)


def test_scores_of_two_regions() -> None:
    found = scored(TRUTH, SAID, 0.5, REGION, ["North", "South"], bins=1)
    north, south = found.rows
    assert (north.name, north.scores.n, south.name, south.scores.n) == ("North", 4, "South", 4)
    assert north.scores.f1 == pytest.approx(2 / 3)
    assert south.scores.f1 == pytest.approx(0.8)
    assert north.scores == binary_scores(TRUTH[:4], SAID[:4], 0.5)
    assert (north.changed_labelled, north.changed_mapped) == (0.5, 0.25)
    assert (south.changed_labelled, south.changed_mapped) == (0.5, 0.75)
    assert north.calibration_error == pytest.approx(0.2)  # says 0.3, sees 0.5
    assert south.calibration_error == pytest.approx(0.2)  # says 0.7, sees 0.5
    assert found.worst == WorstRegion("North", pytest.approx(2 / 3))
    assert found.calibration_gap == pytest.approx(0, abs=1e-12)
    assert found.notes == ("1 labelled pixels are in no region and count in no row.",)


def test_calibration_gap_is_the_largest_difference() -> None:
    said = np.array([0.5, 0.5, 0.6, 0.6, 0.9, 0.9])
    found = scored(np.array([0, 1] * 3), said, 0.5, np.array([0, 0, 1, 1, 2, 2]), "ABC")
    assert [r.calibration_error for r in found.rows] == [pytest.approx(e) for e in (0.0, 0.1, 0.4)]
    assert found.calibration_gap == pytest.approx(0.4)


def test_one_region_allows_no_regional_claim() -> None:
    found = scored(np.array([0, 1]), np.array([0.1, 0.9]), 0.5, np.zeros(2, int), ["North"])
    assert found.calibration_gap is None
    assert found.notes == ("Only North holds labelled pixels: no claim about differences between regions can be made.",)


def test_regions_without_change_or_labels_are_named_and_never_the_worst() -> None:
    truth, said = np.array([0, 1, 0, 0, 255]), np.array([0.1, 0.9, 0.9, 0.9, 0.9])
    found = scored(truth, said, 0.5, np.array([0, 0, 1, 1, 2]), ["North", "South", "East"])
    assert found.worst == WorstRegion("North", 1.0)
    assert found.rows[1].scores.f1 is None
    assert found.rows[1].changed_mapped == 1.0
    east = found.rows[2]
    assert (east.scores.n, east.calibration_error, east.changed_labelled, east.changed_mapped) == (0, None, None, None)
    assert found.notes == (
        "Without labelled pixels, and so without scores: East.",
        "Without pixels labelled changed, so that F1 is not defined: South.",
    )


def test_nothing_labelled_gives_no_worst_region() -> None:
    found = scored(np.full(2, 255), np.zeros(2), 0.5, np.array([0, 1]), ["North", "South"])
    assert (found.worst, found.calibration_gap) == (None, None)
    assert found.notes == ("No region holds a pixel that is labelled and observed: regions cannot be compared.",)


def test_results_are_safe_for_json() -> None:
    found = scored(TRUTH.astype(np.uint8), SAID.astype(np.float32), 0.5, REGION, ["North", "South"])
    read = json.loads(json.dumps(asdict(found), allow_nan=False))
    assert read["worst"]["name"] == "North"
    assert read["rows"][1]["scores"]["n"] == 4
    table = class_region_table(np.array([1]), np.array([3]), np.array([0]), ["North"], LEGEND)
    assert json.loads(json.dumps([asdict(r) for r in table], allow_nan=False))[0]["recall"] == 0.0
    assert json.loads(json.dumps(asdict(optimism_gap(0.5, np.float64(0.25))), allow_nan=False))["gap"] == 0.25


def test_regions_must_fit() -> None:
    with pytest.raises(ValueError, match="must have the same shape"):
        scored(TRUTH, SAID, 0.5, REGION[:3], ["North", "South"])
    with pytest.raises(ValueError, match="from -1 to 1; there are 1 names"):
        scored(TRUTH, SAID, 0.5, REGION, ["North"])
    with pytest.raises(ValueError, match="from -2 to 0"):
        scored(TRUTH[:2], SAID[:2], 0.5, np.array([-2, 0]), ["North"])
    with pytest.raises(ValueError, match="its own name"):
        scored(TRUTH, SAID, 0.5, REGION, ["North", "North"])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.sampled_from([0, 1, 255]), st.floats(0, 1), st.integers(-1, 2)), max_size=40))
def test_regions_share_out_the_pixels(rows: list[tuple[int, float, int]]) -> None:
    truth, said, region = (np.array([r[i] for r in rows], dtype=t) for i, t in ((0, np.uint8), (1, float), (2, int)))
    found = scored(truth, said, 0.5, region, ["A", "B", "C"])
    inside = region >= 0
    assert sum(r.scores.n for r in found.rows) == binary_scores(truth[inside], said[inside], 0.5).n
    defined = [r.scores.f1 for r in found.rows if r.scores.f1 is not None]
    assert (found.worst.f1 if found.worst else None) == (min(defined) if defined else None)


def test_class_table_of_two_regions() -> None:
    truth = np.array([1, 1, 3, 3, 7, 7, 255, 1])
    found = np.array([1, 3, 3, 3, 7, 1, 7, 0])
    region = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    assert class_region_table(truth, found, region, ["North", "South"], LEGEND) == (
        ClassRegion("North", 1, "Forest", 0.5, 1.0, 2),
        ClassRegion("North", 3, "Cropland", 1.0, pytest.approx(2 / 3), 2),
        ClassRegion("North", 7, "Built-up", None, None, 0),
        ClassRegion("South", 1, "Forest", None, 0.0, 0),
        ClassRegion("South", 3, "Cropland", None, None, 0),
        ClassRegion("South", 7, "Built-up", 0.5, 1.0, 2),
    )


def test_class_table_of_one_region_has_the_scores_of_the_map() -> None:
    rng = np.random.default_rng(0)
    truth, found = rng.choice([1, 3, 7, 255], 200), rng.choice([0, 1, 3, 7], 200)
    table = class_region_table(truth, found, np.zeros(200, int), ["All"], LEGEND)
    whole = class_scores(truth, found, LEGEND).classes
    assert [(r.recall, r.precision, r.support) for r in table] == [(c.recall, c.precision, c.support) for c in whole]


def test_class_table_refuses_codes_and_regions_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="Code 5"):
        class_region_table(np.array([5]), np.array([1]), np.array([0]), ["North"], LEGEND)
    with pytest.raises(ValueError, match="shape"):
        class_region_table(np.array([1, 1]), np.array([1, 1]), np.array([0]), ["North"], LEGEND)


def test_optimism_gap_is_random_minus_blocked() -> None:
    found = optimism_gap(0.85, 0.7)
    assert found.gap == pytest.approx(0.15)
    assert "0.150 higher" in found.sentence
    assert "expect 0.700, not 0.850" in found.sentence


def test_optimism_gap_says_what_it_does_not_show() -> None:
    assert "about the same" in optimism_gap(0.701, 0.7).sentence
    assert "does not measure optimism" in optimism_gap(0.6, 0.7).sentence
    undefined = optimism_gap(None, float("nan"))
    assert (undefined.random_f1, undefined.blocked_f1, undefined.gap) == (None, None, None)
    assert "random and blocked split" in undefined.sentence
    with pytest.raises(ValueError, match="expected 0 to 1"):
        optimism_gap(70, 0.5)
