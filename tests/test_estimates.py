"""What is published about a judged sample: complete, in the agreed shape, and never more certain than the sample."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import LandUse, Legend
from landshift.pipeline.records import content_of, read_record, write_record
from landshift.pipeline.sample.area_estimation import UNKNOWN
from landshift.pipeline.sample.design import WILSON, Z_95, wilson_limits
from landshift.pipeline.sample.disagreement import Disagreement
from landshift.pipeline.sample.draw import DrawnStratum
from landshift.pipeline.sample.estimates import AreaFacts, MapFacts, estimates
from landshift.pipeline.sample.record import Estimates, JudgedStratum
from landshift.pipeline.sample.references import References
from landshift.pipeline.sample.tables.rows import csv_table

LEGEND = Legend((LandUse(1, "Forest", "#006400"), LandUse(4, "Cropland", "#ffcc00"), LandUse(9, "Built-up", "#cc0000")))
LOOKUP = LEGEND.change_lookup()


def pixels_of(counts: dict[int, int]) -> np.ndarray:
    found = np.zeros(256, dtype=np.int64)
    for code, n in counts.items():
        found[code] = n
    return found


def judged(change: Any, before: Any = None, after: Any = None, total: int | None = None, untold: int = 0) -> References:
    n = len(change)
    place, names = np.arange(n), tuple(f"S{i:04}" for i in range(n))
    codes = [None if a is None else np.asarray(a, dtype=np.uint8) for a in (before, after)]
    return References(place, names, place, place, np.asarray(change, dtype=np.uint8), codes[0], codes[1], total or n, untold)


def binary(mapped: list[int], reference: list[int], counts: dict[int, int], **more: Any) -> Estimates:
    drawn, codes = more.pop("drawn", None), np.array(mapped, dtype=np.uint8)
    strata = tuple(
        DrawnStratum(code, Legend().changes[code].name, (code,), None, pixels=counts[code], samples=n, expected_changed=0.0)
        for code, n in (drawn or {}).items()
    )
    facts = MapFacts(pixels_of(counts), None, None, 0.1, 7.5, codes, None, None, strata, codes if strata else None)
    places = more.pop("places", None)
    return estimates(
        Legend(),
        judged(reference, total=more.pop("total", None), untold=more.pop("untold", 0)),
        facts,
        places,
        run="r",
        seed=1,
        file="s.gpkg",
        **more,
    )


def with_classes() -> Estimates:
    """Three land uses, six change codes of which two occur; 60 samples."""
    before_map = np.array([1] * 20 + [4] * 20 + [1] * 10 + [4] * 10)
    after_map = np.array([1] * 20 + [4] * 20 + [4] * 10 + [9] * 10)
    before, after = before_map.copy(), after_map.copy()
    after[0] = 9  # the map missed forest to built-up
    after[40:43] = 1  # forest that stayed and was mapped as cropland
    before[25] = after[25] = 1  # forest that was mapped as cropland at both dates
    mapped = LOOKUP[before_map, after_map]
    facts = MapFacts(
        pixels_of({0: 500, 1: 9000, 2: 600, 5: 400}), pixels_of({0: 500, 1: 5100, 4: 4900}),
        pixels_of({0: 500, 1: 4500, 4: 5100, 9: 400}), 0.1, 50.0,
        mapped, before_map.astype(np.uint8), after_map.astype(np.uint8),
    )  # fmt: skip
    places = AreaFacts(
        ("=cmd|' /C calc'!A0", "Äcker <b>&\U0001f33e"),
        np.stack([pixels_of({0: 100, 1: 3000, 2: 500}), pixels_of({0: 10})]),
        np.stack([np.arange(60) % 2 == 0, np.zeros(60, dtype=bool)], axis=1),
    )
    return estimates(
        LEGEND, judged(LOOKUP[before, after], before, after, 60), facts, places, run="k", seed=3, file="samples.gpkg"
    )


def test_a_binary_project_by_hand() -> None:
    found = binary([1] * 10 + [2] * 10, [1] * 9 + [2] + [2] * 8 + [1] * 2, {0: 30, 1: 900, 2: 100})
    area = 0.1 * (900 * 0.1 + 100 * 0.8)
    variance = 900**2 * 0.1 / 10 + 100**2 * (0.16 * 10 / 9) / 10 * (1 - 10 / 100)
    lows, highs = wilson_limits(np.array([1, 8]), np.array([10, 10]))
    reach = np.hypot(900 * (highs[0] - 0.1), 100 * (highs[1] - 0.8) * np.sqrt(0.9))
    assert found.changed.area_ha.estimate == pytest.approx(area)
    assert found.changed.area_ha.standard_error == pytest.approx(0.1 * np.sqrt(variance), abs=1e-6)
    assert found.changed.area_ha.high == pytest.approx(area + 0.1 * reach, abs=1e-6)
    assert found.changed.users_accuracy.low == pytest.approx(0.8 - (0.8 - lows[1]) * np.sqrt(0.9), abs=1e-6)
    assert found.changed.mapped_ha == pytest.approx(10)
    assert found.changed.users_accuracy.estimate == pytest.approx(0.8)
    assert found.changed.producers_accuracy.estimate == pytest.approx(80 / 170)
    assert found.overall_accuracy.estimate == pytest.approx((810 + 80) / 1000)
    assert found.matrix.counts == ((9, 1), (2, 8))
    assert np.array(found.matrix.area_ha) == pytest.approx(np.array([[81, 9], [2, 8]]))
    assert found.disagreement == Disagreement(pytest.approx(0.07), pytest.approx(0.04))
    assert found.transitions is found.intensity is None
    assert found.landuse_before == found.areas_of_interest == ()
    assert found.not_observed_ha == 7.5
    assert found.samples.strata == (
        JudgedStratum(1, "Unchanged", (1,), 900, area_ha=90.0, judged=10, drawn=None),
        JudgedStratum(2, "Changed", (2,), 100, area_ha=10.0, judged=10, drawn=None),
    )
    assert any("7.50 ha were not observed" in note for note in found.notes)
    assert any("1 of the 10 sampled pixels of the stratum 'Unchanged', which is changed" in note for note in found.notes)


def test_the_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    found = with_classes()
    path = write_record(tmp_path / "record/estimates.json", found)
    content = json.loads(path.read_text(encoding="utf-8"))
    assert read_record(path, Estimates) == found
    assert content_of(read_record(path, Estimates)) == content
    assert list(content) == [
        "run", "confidence_level", "samples", "overall_accuracy", "changed", "changes", "landuse_before", "landuse_after",
        "matrix", "transitions", "disagreement", "intensity", "areas_of_interest", "not_observed_ha", "notes",
        "other_changes", "balances", "agreement", "official",
    ]  # fmt: skip
    row = [
        "code",
        "name",
        "colour",
        "mapped_ha",
        "area_ha",
        "users_accuracy",
        "producers_accuracy",
        "samples",
        "mapped_samples",
    ]
    for table in ("changes", "landuse_before", "landuse_after"):
        assert all(list(entry) == row for entry in content[table])
    assert list(content["areas_of_interest"][0]) == [
        "name", "total_ha", "not_observed_ha", "mapped_changed_ha", "changed_ha", "samples", "note", "changes",
        "moved",
    ]  # fmt: skip
    assert list(content["overall_accuracy"]) == ["estimate", "standard_error", "low", "high", "method"]


def test_classes_that_the_map_or_the_interpreter_met_are_estimated() -> None:
    found = with_classes()
    assert [c.code for c in found.changes] == [1, 2, 3, 5]  # 3, forest to built-up, was met by the interpreter only
    assert found.changes[2].mapped_ha == 0
    assert found.changes[2].users_accuracy == UNKNOWN
    assert [c.name for c in found.landuse_before] == ["Forest", "Cropland"]
    assert found.matrix.codes == (1, 2, 3, 5)
    assert found.transitions is not None
    assert found.transitions.codes == (1, 4, 9)
    assert found.intensity is not None
    assert found.intensity.change_intensity == pytest.approx(found.changed.area_ha.estimate / 1000)


def test_land_use_is_estimated_although_the_strata_are_changes() -> None:
    found = with_classes()
    forest, cropland = found.landuse_before
    # Unchanged stratum: 9000 pixels, 40 samples, each 225; of them 21 forest before. The others: 60 and 40 a sample.
    assert forest.area_ha.estimate == pytest.approx(0.1 * (225 * 21 + 60 * 10))
    assert forest.users_accuracy.estimate == 1.0
    assert cropland.users_accuracy.estimate == pytest.approx((225 * 19 + 40 * 10) / (225 * 20 + 40 * 10))
    assert (forest.mapped_ha, forest.samples) == (510.0, 31)
    for table in ("changes", "landuse_before", "landuse_after"):
        assert sum(c.area_ha.estimate for c in getattr(found, table)) == pytest.approx(1000)
    cells = [[cell.estimate or 0 for cell in row] for row in found.transitions.area_ha]
    assert np.sum(cells, axis=1)[:2] == pytest.approx([c.area_ha.estimate for c in found.landuse_before])
    never = found.transitions.area_ha[2][2]
    assert (never.estimate, never.low, never.method) == (0, 0, WILSON)
    assert 0 < never.high < 100


def test_areas_of_interest_keep_what_was_not_observed_apart() -> None:
    first, second = with_classes().areas_of_interest
    assert (first.total_ha, first.not_observed_ha, first.mapped_changed_ha) == (360.0, 10.0, 50.0)
    assert first.samples == 30
    assert first.changed_ha.low <= first.changed_ha.estimate <= first.changed_ha.high <= 350
    assert [c.code for c in first.changes] == [2, 3, 5]
    assert second.changed_ha == UNKNOWN
    assert "Nothing was observed" in second.note


def test_notes_say_what_the_intervals_do_not() -> None:
    sure = binary([1] * 10 + [2] * 10, [1] * 10 + [2] * 10, {1: 900, 2: 100}, total=24)
    accuracy = sure.changed.users_accuracy
    assert accuracy.low < accuracy.estimate == accuracy.high == 1
    assert any(note.startswith("4 of 24 sampled pixels were not judged") for note in sure.notes)
    none = binary([1] * 10 + [2] * 10, [1] * 20, {1: 900, 2: 100})
    assert any("'Changed' (change)" in note and "upper limit" in note and "nothing more" in note for note in none.notes)
    assert none.changed.area_ha.estimate == 0 < none.changed.area_ha.high
    lone = binary([1] * 10 + [2], [1] * 9 + [2, 2], {1: 900, 2: 100})
    assert lone.changed.area_ha.standard_error is None
    assert lone.changed.area_ha.high > lone.changed.area_ha.estimate + 0.1 * 100 * 0.1
    assert any("'Changed' a single pixel was judged" in note for note in lone.notes)
    missing = binary([1] * 9 + [2] * 10, [1] * 9 + [2] * 10, {1: 900, 2: 100}, drawn={1: 10, 2: 10})
    assert (missing.samples.total, missing.samples.used) == (20, 19)
    hard = binary([1] * 9 + [2] * 8, [1] * 9 + [2] * 8, {1: 900, 2: 100}, drawn={1: 10, 2: 10}, total=20, untold=2)
    assert (hard.samples.total, hard.samples.used, hard.samples.untold) == (20, 17, 2)
    assert any(note.startswith("1 of 20 sampled pixels were not judged") for note in hard.notes)
    assert any(note.startswith("Of 2 of 20 sampled pixels the interpreter could not tell") for note in hard.notes)


def test_a_map_without_change_can_be_estimated() -> None:
    found = binary([1] * 20, [1] * 19 + [2], {1: 1000})
    assert found.changed.mapped_ha == 0
    assert found.changed.users_accuracy.estimate is None
    assert found.changed.area_ha.estimate == pytest.approx(5)
    csv_table(found)
    still = binary(
        [1] * 20, [1] * 20, {1: 1000}, places=AreaFacts(("a",), pixels_of({1: 50})[None], np.ones((20, 1), dtype=bool))
    )
    assert still.areas_of_interest[0].changes == ()
    assert still.areas_of_interest[0].changed_ha.estimate == 0
    assert still.areas_of_interest[0].changed_ha.high > 0


def test_a_sample_of_another_map_is_refused() -> None:
    with pytest.raises(InputError, match="observed nothing"):
        binary([1, 1, 0], [1, 1, 1], {0: 5, 1: 100})
    with pytest.raises(InputError, match="No judged sample can be used where the map has 'Changed'"):
        binary([1, 1], [1, 1], {1: 100, 2: 4})


def test_change_that_the_sample_of_the_unchanged_never_met_widens_the_interval() -> None:
    """300 unchanged pixels hold no change: some of the 10,000 ha can still have been missed, which the interval shows."""
    found = binary([1] * 300 + [2] * 10, [1] * 300 + [2] * 8 + [1] * 2, {1: 100_000, 2: 1000})
    area = found.changed.area_ha
    assert area.method == WILSON
    assert area.high > 80 + 10_000 * Z_95**2 / (300 + Z_95**2)
    assert found.changed.producers_accuracy.low < 0.6 < found.changed.producers_accuracy.high == 1
    (note,) = [text for text in found.notes if "Wilson limits" in text]
    assert "the area of all change" in note
    assert "fewer than 5 sampled pixels" in note
    met = binary([1] * 300 + [2] * 300, [1] * 290 + [2] * 298 + [1] * 12, {1: 100_000, 2: 10_000})
    assert met.changed.area_ha.method == "Olofsson 2014"
    assert not [text for text in met.notes if "Wilson limits" in text]


def test_what_the_sample_did_not_meet_is_neither_active_nor_avoided() -> None:
    pairs = {(t.from_name, t.to_name): t for t in with_classes().intensity.transitions}
    never = pairs["Built-up", "Forest"]
    assert {getattr(never, key) for key in ("gain_intensity", "gain", "loss_intensity", "loss_uniform", "loss")} == {None}
    assert pairs["Forest", "Built-up"].gain in {"targeted", "avoided", "uniform"}


def test_what_was_drawn_stands_beside_what_was_judged() -> None:
    found = binary([1] * 9 + [2] * 10, [1] * 9 + [2] * 10, {1: 900, 2: 100}, drawn={1: 12, 2: 10})
    assert [(row.judged, row.drawn) for row in found.samples.strata] == [(9, 12), (10, 10)]


def test_small_kinds_stand_together_and_count_as_one_class() -> None:
    found = with_classes().other_changes
    assert found is not None
    assert (found.codes, found.names) == ((2, 3), ("Forest to Cropland", "Forest to Built-up"))
    unmet = binary([1] * 3 + [2] * 3, [1] * 3 + [2] * 3, {1: 90, 2: 10})
    assert unmet.other_changes is None
    # 7 of 10 mapped as forest to cropland are; 1 of 40 unchanged is forest to built-up.
    assert found.area_ha.estimate == pytest.approx(0.1 * (600 * 0.7 + 9000 / 40))
    assert found.users_accuracy.estimate == pytest.approx(0.7)
    assert found.producers_accuracy.estimate == pytest.approx(420 / (420 + 225))
    assert (found.samples, found.mapped_ha) == (8, pytest.approx(60.0))
    assert binary([1] * 3 + [2] * 3, [1] * 3 + [2] * 3, {1: 90, 2: 10}).other_changes is None


def test_gains_and_losses_add_up() -> None:
    found = with_classes()
    rows = {row.name: row for row in found.balances}
    assert list(rows) == ["Forest", "Cropland", "Built-up"]
    assert rows["Forest"].loss_ha.estimate == pytest.approx(0.1 * (600 * 0.7 + 9000 / 40))
    assert rows["Forest"].gain_ha.estimate == 0
    assert rows["Forest"].gain_ha.high > 0
    assert rows["Built-up"].samples == 11
    assert sum(row.gain_ha.estimate for row in found.balances) == pytest.approx(found.changed.area_ha.estimate)
    assert sum(row.net_ha.estimate for row in found.balances) == pytest.approx(0, abs=1e-5)
    for row in found.balances:
        assert row.net_ha.estimate == pytest.approx(row.gain_ha.estimate - row.loss_ha.estimate, abs=1e-5)
        assert row.net_ha.low <= row.net_ha.estimate <= row.net_ha.high
    after = {row.name: row.area_ha.estimate for row in found.landuse_after}
    before = {row.name: row.area_ha.estimate for row in found.landuse_before}
    for name in ("Forest", "Cropland"):
        assert rows[name].net_ha.estimate == pytest.approx(after[name] - before[name], abs=1e-5)


def test_each_number_of_judged_pixels_is_that_of_its_row() -> None:
    found = with_classes()
    table = list(csv.DictReader(io.StringIO(csv_table(found).removeprefix("\ufeff"))))
    counts = {(row["table"], row["class"], row["quantity"]): row["n"] for row in table}
    moved = {row.name: (row.gained, row.lost, row.samples) for row in found.balances}
    assert moved == {"Forest": (0, 8, 8), "Cropland": (7, 10, 17), "Built-up": (11, 0, 11)}
    for name, expected in moved.items():
        ways = ("gain", "loss", "net change")
        assert tuple(int(counts["gains_and_losses", name, way]) for way in ways) == expected
    assert counts["transitions", "Forest to Built-up", "area"] == "1"
    assert sum(int(n) for (part, _, _), n in counts.items() if part == "transitions") == 60
    assert counts["landuse_before", "Forest", "user's accuracy"] == "30"
    assert counts["landuse_before", "Forest", "producer's accuracy"] == "31"


def test_a_kind_of_which_few_were_sampled_is_not_called_wrong_for_sure() -> None:
    few = binary([1] * 10 + [2] * 4, [1] * 14, {1: 900, 2: 100})
    assert any("'Changed' (4 sampled)" in note and "of so few this shows little" in note for note in few.notes)
    assert not any("do not trust" in note for note in few.notes)
    many = binary([1] * 10 + [2] * 12, [1] * 22, {1: 900, 2: 100})
    assert any("'Changed' (12 sampled)" in note and "do not trust the map" in note for note in many.notes)


def test_the_stratum_of_most_uncertainty_is_named_as_a_stratum() -> None:
    found = binary([1] * 40 + [2] * 10, [1] * 38 + [2] * 12, {1: 9000, 2: 100})
    said = "2 of the 40 sampled pixels of the stratum 'Unchanged', which are changed"
    assert any(said in note for note in found.notes)


def test_only_estimates_that_were_moved_are_called_so() -> None:
    found = with_classes()
    area = replace(found.areas_of_interest[0], note=None, moved=False)
    area = replace(area, changes=(replace(area.changes[0], moved=True), *area.changes[1:]))
    rows = csv.DictReader(io.StringIO(csv_table(replace(found, areas_of_interest=(area,))).removeprefix("\ufeff")))
    notes = {row["class"]: row["note"] for row in rows if row["table"] == "areas_of_interest" and row["quantity"] == "area"}
    assert [name for name, note in notes.items() if "moved to the limit" in note] == [area.changes[0].name]
