"""What is published about a judged sample: complete, in the agreed shape, and never more certain than the sample."""

import csv
import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.estimate_table import COLUMNS, csv_tables
from pipeline.estimates import AreaFacts, MapFacts, estimates
from pipeline.legend import LandUse, Legend
from pipeline.references import References

LEGEND = Legend((LandUse(1, "Forest", "#006400"), LandUse(4, "Cropland", "#ffcc00"), LandUse(9, "Built-up", "#cc0000")))
LOOKUP = LEGEND.change_lookup()


def pixels_of(counts: dict[int, int]) -> np.ndarray:
    found = np.zeros(256, dtype=np.int64)
    for code, n in counts.items():
        found[code] = n
    return found


def judged(change: Any, before: Any = None, after: Any = None, total: int | None = None) -> References:
    n = len(change)
    place, names = np.arange(n), tuple(f"S{i:04}" for i in range(n))
    codes = [None if a is None else np.asarray(a, dtype=np.uint8) for a in (before, after)]
    return References(place, names, place, place, np.asarray(change, dtype=np.uint8), codes[0], codes[1], total or n)


def binary(mapped: list[int], reference: list[int], counts: dict[int, int], **more: Any) -> dict[str, Any]:
    facts = MapFacts(pixels_of(counts), None, None, 0.1, 7.5, np.array(mapped, dtype=np.uint8), None, None)
    places = more.pop("places", None)
    return estimates(
        Legend(), judged(reference, total=more.pop("total", None)), facts, places, run="r", seed=1, file="s.gpkg", **more
    )


def with_classes() -> dict[str, Any]:
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
    variance = 900**2 * 0.1 / 10 + 100**2 * (0.16 * 10 / 9) / 10
    assert found["changed"]["area_ha"]["estimate"] == pytest.approx(area)
    assert found["changed"]["area_ha"]["high"] == pytest.approx(area + 1.959963985 * 0.1 * np.sqrt(variance))
    assert found["changed"]["mapped_ha"] == pytest.approx(10)
    assert found["changed"]["users_accuracy"]["estimate"] == pytest.approx(0.8)
    assert found["changed"]["producers_accuracy"]["estimate"] == pytest.approx(80 / 170)
    assert found["overall_accuracy"]["estimate"] == pytest.approx((810 + 80) / 1000)
    assert found["matrix"]["counts"] == [[9, 1], [2, 8]]
    assert found["matrix"]["area_ha"] == [pytest.approx([81, 9]), pytest.approx([2, 8])]
    assert found["disagreement"] == {"quantity": pytest.approx(0.07), "allocation": pytest.approx(0.04)}
    assert (found["transitions"], found["intensity"], found["landuse_before"], found["areas_of_interest"]) == (
        None,
        None,
        [],
        [],
    )
    assert found["not_observed_ha"] == 7.5
    assert found["samples"]["strata"] == [
        {"code": 1, "name": "Unchanged", "pixels": 900, "mapped_ha": 90.0, "samples": 10},
        {"code": 2, "name": "Changed", "pixels": 100, "mapped_ha": 10.0, "samples": 10},
    ]
    assert any("7.50 ha were not observed" in note for note in found["notes"])
    assert any("1 of 10 sampled pixels that are changed where the map says 'Unchanged'" in note for note in found["notes"])


def test_the_content_has_the_agreed_shape_and_is_json() -> None:
    found = json.loads(json.dumps(with_classes(), allow_nan=False))
    assert list(found) == [
        "run", "confidence_level", "samples", "overall_accuracy", "changed", "changes", "landuse_before", "landuse_after",
        "matrix", "transitions", "disagreement", "intensity", "areas_of_interest", "not_observed_ha", "notes",
    ]  # fmt: skip
    row = {"code", "name", "colour", "mapped_ha", "area_ha", "users_accuracy", "producers_accuracy", "samples"}
    for table in ("changes", "landuse_before", "landuse_after"):
        assert all(set(entry) == row for entry in found[table])
    assert [c["code"] for c in found["changes"]] == [1, 2, 3, 5]  # 3, forest to built-up, was met by the interpreter only
    assert found["changes"][2]["mapped_ha"] == 0
    assert found["changes"][2]["users_accuracy"] == {"estimate": None, "low": None, "high": None}
    assert [c["name"] for c in found["landuse_before"]] == ["Forest", "Cropland"]
    assert found["matrix"]["codes"] == [1, 2, 3, 5]
    assert found["transitions"]["codes"] == [1, 4, 9]
    assert set(found["areas_of_interest"][0]) == {
        "name", "total_ha", "not_observed_ha", "mapped_changed_ha", "changed_ha", "samples", "note", "changes",
    }  # fmt: skip
    assert found["intensity"]["change_intensity"] == pytest.approx(found["changed"]["area_ha"]["estimate"] / 1000)


def test_land_use_is_estimated_although_the_strata_are_changes() -> None:
    found = with_classes()
    forest, cropland = found["landuse_before"]
    # Unchanged stratum: 9000 pixels, 40 samples, each 225; of them 21 forest before. The others: 60 and 40 a sample.
    assert forest["area_ha"]["estimate"] == pytest.approx(0.1 * (225 * 21 + 60 * 10))
    assert forest["users_accuracy"]["estimate"] == 1.0
    assert cropland["users_accuracy"]["estimate"] == pytest.approx((225 * 19 + 40 * 10) / (225 * 20 + 40 * 10))
    assert (forest["mapped_ha"], forest["samples"]) == (510.0, 31)
    for table in ("changes", "landuse_before", "landuse_after"):
        assert sum(c["area_ha"]["estimate"] for c in found[table]) == pytest.approx(1000)
    cells = [[cell["estimate"] or 0 for cell in row] for row in found["transitions"]["area_ha"]]
    assert np.sum(cells, axis=1)[:2] == pytest.approx([c["area_ha"]["estimate"] for c in found["landuse_before"]])
    assert found["transitions"]["area_ha"][2][2] == {"estimate": None, "low": None, "high": None}


def test_areas_of_interest_keep_what_was_not_observed_apart() -> None:
    first, second = with_classes()["areas_of_interest"]
    assert (first["total_ha"], first["not_observed_ha"], first["mapped_changed_ha"]) == (360.0, 10.0, 50.0)
    assert first["samples"] == 30
    assert first["changed_ha"]["low"] <= first["changed_ha"]["estimate"] <= first["changed_ha"]["high"] <= 350
    assert [c["code"] for c in first["changes"]] == [2, 3, 5]
    assert second["changed_ha"] == {"estimate": None, "low": None, "high": None}
    assert "Nothing was observed" in second["note"]


def test_notes_say_what_the_intervals_do_not() -> None:
    sure = binary([1] * 10 + [2] * 10, [1] * 10 + [2] * 10, {1: 900, 2: 100}, total=24)
    assert any("has no width" in note and "no proof" in note for note in sure["notes"])
    assert any(note.startswith("4 of 24 sampled pixels were not judged") for note in sure["notes"])
    none = binary([1] * 10 + [2] * 10, [1] * 20, {1: 900, 2: 100})
    assert any("'Changed' (change)" in note and "left open" in note for note in none["notes"])
    assert none["changed"]["area_ha"]["estimate"] is None
    lone = binary([1] * 10 + [2], [1] * 9 + [2, 2], {1: 900, 2: 100})
    assert lone["changed"]["area_ha"]["low"] is None
    assert any("'Changed' a single pixel was judged" in note for note in lone["notes"])
    missing = binary([1] * 9 + [2] * 10, [1] * 9 + [2] * 10, {1: 900, 2: 100}, drawn={1: 10, 2: 10})
    assert (missing["samples"]["total"], missing["samples"]["used"]) == (20, 19)


def test_a_map_without_change_can_be_estimated() -> None:
    found = binary([1] * 20, [1] * 19 + [2], {1: 1000})
    assert found["changed"]["mapped_ha"] == 0
    assert found["changed"]["users_accuracy"]["estimate"] is None
    assert found["changed"]["area_ha"]["estimate"] == pytest.approx(5)
    csv_tables(found)
    still = binary(
        [1] * 20, [1] * 20, {1: 1000}, places=AreaFacts(("a",), pixels_of({1: 50})[None], np.ones((20, 1), dtype=bool))
    )
    assert still["areas_of_interest"][0]["changes"] == []
    assert still["areas_of_interest"][0]["changed_ha"]["estimate"] is None


def test_a_sample_of_another_map_is_refused() -> None:
    with pytest.raises(InputError, match="observed nothing"):
        binary([1, 1, 0], [1, 1, 1], {0: 5, 1: 100})
    with pytest.raises(InputError, match="No sample was judged where the map says 'Changed'"):
        binary([1, 1], [1, 1], {1: 100, 2: 4})


def test_the_table_is_tidy_and_runs_no_formula() -> None:
    content = with_classes()
    rows = list(csv.DictReader(io.StringIO(csv_tables(content))))
    assert tuple(rows[0]) == COLUMNS
    changed = next(r for r in rows if (r["table"], r["class"], r["quantity"]) == ("overall", "changed", "area"))
    assert float(changed["estimate"]) == content["changed"]["area_ha"]["estimate"]
    assert float(changed["mapped"]) == content["changed"]["mapped_ha"]
    assert {r["class"] for r in rows if r["table"] == "areas_of_interest"} == {"'=cmd|' /C calc'!A0", "Äcker <b>&\U0001f33e"}
    assert {r["table"] for r in rows} == {
        "overall", "changes", "landuse_before", "landuse_after", "transitions", "disagreement", "areas_of_interest",
    }  # fmt: skip
    assert {r["unit"] for r in rows} == {"ha", "share"}
    keys = [(r["table"], r["class"], r["quantity"]) for r in rows]
    assert len(set(keys)) == len(keys)
    unknown = next(r for r in rows if r["class"] == "Built-up to Built-up")
    assert (unknown["estimate"], unknown["low"], unknown["mapped"]) == ("", "", "")


@settings(deadline=None, max_examples=60)
@given(st.text(min_size=1, max_size=12))
def test_any_name_survives_the_table(name: str) -> None:
    places = AreaFacts((name,), pixels_of({1: 50, 2: 10})[None], np.ones((20, 1), dtype=bool))
    content = binary([1] * 10 + [2] * 10, [1] * 9 + [2] * 11, {1: 900, 2: 100}, places=places)
    rows = list(csv.DictReader(io.StringIO(csv_tables(content), newline="")))
    written = {r["class"] for r in rows if r["table"] == "areas_of_interest"}
    line = name.replace("\r", " ").replace("\n", " ")
    assert written <= {line, f"'{line}"}
    assert not any(c.lstrip().startswith(("=", "+", "-", "@")) for c in written)


def test_change_that_the_sample_of_the_unchanged_never_met_is_said_to_be_possible() -> None:
    """300 unchanged pixels hold no change: 3 / 300 of the 10,000 ha can still have been missed."""
    found = binary([1] * 300 + [2] * 10, [1] * 300 + [2] * 8 + [1] * 2, {1: 100_000, 2: 1000})
    (note,) = [text for text in found["notes"] if text.startswith("None of the 300 sampled pixels")]
    assert "Up to 100.0 ha" in note
    met = binary([1] * 300 + [2] * 10, [1] * 290 + [2] * 18 + [1] * 2, {1: 100_000, 2: 1000})
    assert not [text for text in met["notes"] if text.startswith("None of the")]
    whole = binary([1] * 300 + [2] * 10, [1] * 300 + [2] * 8 + [1] * 2, {1: 300, 2: 1000})
    assert not [text for text in whole["notes"] if text.startswith("None of the")]
