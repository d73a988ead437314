"""Official matrices hold the areas of the legend's classes that they are made of, in the official form."""

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landshift.flows.config.project import validate
from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import LandUse, Legend
from landshift.pipeline.sample.area_estimation import areas
from landshift.pipeline.sample.design import Design
from landshift.pipeline.sample.official import SCHEMES, official_matrix
from landshift.pipeline.sample.references import References
from landshift.pipeline.sample.tables.official_tables import LONG_COLUMNS, official_form, official_long

LEGEND = Legend(
    (LandUse(1, "Forest", "#006400"), LandUse(4, "Plantation", "#00cc00"), LandUse(9, "City", "#cc0000"))
)  # fmt: skip
IPCC = {1: "forest_land", 4: "forest_land", 9: "settlements"}
UNCCD = {1: "tree_covered", 4: "tree_covered", 9: "artificial"}


def judged(before: list[int] | np.ndarray, after: list[int] | np.ndarray) -> References:
    a, b = np.array(before, dtype=np.uint8), np.array(after, dtype=np.uint8)
    place = np.arange(len(a))
    return References(place, tuple(map(str, place)), place, place, LEGEND.change_lookup()[a, b], a, b, len(a))


DESIGN = Design(np.array([4000, 1000]), np.array([0] * 8 + [1] * 4))
JUDGED = judged([1, 1, 1, 1, 4, 4, 9, 9, 1, 1, 4, 9], [1, 1, 1, 4, 4, 4, 9, 9, 9, 9, 9, 1])


def read(text: str) -> list[dict[str, str]]:
    assert text.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(text[1:])))


def test_classes_are_put_together_and_changes_within_them_are_none() -> None:
    found = official_matrix("ipcc", IPCC, DESIGN, JUDGED, pixel_area=2.0)
    assert found is not None
    forest, city = found.keys.index("forest_land"), found.keys.index("settlements")
    # 6 of 8 of 4,000 pixels stayed forest land (one became a plantation); 3 of 4 of 1,000 became settlements, 1 forest land.
    assert found.area_ha[forest][forest].estimate == pytest.approx(2 * 4000 * 6 / 8)
    assert found.area_ha[forest][city].estimate == pytest.approx(2 * 1000 * 3 / 4)
    assert found.area_ha[city][forest].estimate == pytest.approx(2 * 1000 / 4)
    assert found.changed_ha.estimate == pytest.approx(2 * 1000)
    assert found.net_ha[city].estimate == pytest.approx(2 * 500)
    binary = replace(JUDGED, before=None, after=None)
    assert official_matrix("ipcc", IPCC, DESIGN, binary, pixel_area=2.0) is None


def test_the_form_of_the_ipcc_has_classes_after_in_its_rows() -> None:
    found = official_matrix("ipcc", IPCC, DESIGN, JUDGED, pixel_area=2.0)
    assert found is not None
    rows = {next(iter(row.values())): row for row in read(official_form(found))}
    assert list(rows) == [*SCHEMES["ipcc"].classes.values(), "Initial area", "Net change"]
    assert next(iter(rows["Forest Land"])) == "to (rows) from (columns), kha"
    assert float(rows["Settlements"]["Forest Land"]) == pytest.approx(1.5)
    assert float(rows["Forest Land"]["Final area"]) == pytest.approx(6.5)
    assert float(rows["Initial area"]["Forest Land"]) == pytest.approx(7.5)
    assert float(rows["Net change"]["Forest Land"]) == pytest.approx(-1.0)
    assert rows["Net change"]["Final area"] == ""
    for row in rows.values():
        if row["Forest Land low"]:
            assert float(row["Forest Land low"]) <= float(row["Forest Land"]) <= float(row["Forest Land high"])


def test_the_form_of_the_unccd_has_classes_before_in_its_rows() -> None:
    found = official_matrix("unccd", UNCCD, DESIGN, JUDGED, pixel_area=2.0)
    assert found is not None
    rows = {next(iter(row.values())): row for row in read(official_form(found))}
    assert list(rows)[:7] == list(SCHEMES["unccd"].classes.values())
    assert float(rows["Tree-covered areas"]["Artificial surfaces"]) == pytest.approx(15.0)
    assert float(rows["Tree-covered areas"]["Initial area"]) == pytest.approx(75.0)
    assert float(rows["Final area"]["Tree-covered areas"]) == pytest.approx(65.0)


def test_the_long_table_has_every_estimate_once() -> None:
    both = [official_matrix(s, c, DESIGN, JUDGED, pixel_area=2.0) for s, c in (("ipcc", IPCC), ("unccd", UNCCD))]
    rows = read(official_long([m for m in both if m is not None]))
    assert tuple(rows[0]) == LONG_COLUMNS
    assert len(rows) == (36 + 18 + 1) + (49 + 21 + 1)
    (row,) = [r for r in rows if (r["scheme"], r["from"], r["to"]) == ("IPCC", "Forest Land", "Settlements")]
    assert (row["quantity"], row["estimate"], row["unit"]) == ("area", "1500.000000", "ha")


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_cells_add_up_and_are_the_areas_of_the_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = np.array([1, 4, 9])
    references = judged(codes[rng.integers(0, 3, 40)], codes[rng.integers(0, 3, 40)])
    design = Design(np.array([500, 900]), np.repeat([0, 1], [15, 25]))
    found = official_matrix("ipcc", IPCC, design, references, pixel_area=1.0)
    assert found is not None
    cells = np.array([[c.estimate for c in row] for row in found.area_ha])
    assert cells.sum() == pytest.approx(1400)
    assert cells.sum(axis=1) == pytest.approx([c.estimate for c in found.before_ha])
    assert cells.sum(axis=0) == pytest.approx([c.estimate for c in found.after_ha])
    assert cells.sum(axis=0) - cells.sum(axis=1) == pytest.approx([c.estimate for c in found.net_ha])
    assert references.before is not None
    assert references.after is not None
    forest = np.isin(references.before, [1, 4]) & np.isin(references.after, [1, 4])
    one, other = found.area_ha[0][0], areas(design, forest[:, None], 1.0)[0]
    assert (one.estimate, one.low, one.high) == pytest.approx((other.estimate, other.low, other.high))


CONFIG = {
    "name": "x", "sensor": {"name": "sentinel-2-l2a"}, "epochs": {
        "before": {"start": "2019-01-01", "end": "2019-02-01"}, "after": {"start": "2020-01-01", "end": "2020-02-01"},
    },
    "legend": [{"code": 1, "name": "Forest"}, {"code": 2, "name": "City"}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("crosswalk", "message"),
    [
        ({"ipcc": {"Forest": "forest_land"}}, "'City' has no class"),
        ({"ipcc": {"Forest": "forest_land", "City": "settlements", "Lake": "wetlands"}}, "'Lake' is not in the legend"),
        ({"unccd": {"Forest": "woods", "City": "artificial"}}, "tree_covered"),
    ],
)
def test_a_crosswalk_has_to_fit_the_legend(crosswalk: dict[str, dict[str, str]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        validate({**CONFIG, "crosswalk": crosswalk}, "x.yaml")
