"""The register under clouds: changes that are known, seen through gaps that are drawn at random."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from landshift.pipeline.register.database.tables import HISTORY, PATCHES
from landshift.pipeline.register.fold import replay
from landshift.pipeline.register.runs import MergeableRun
from landshift.pipeline.register.states import ConfirmationRule, frame_of_changes
from landshift.pipeline.register.store import Register, open_register
from tests.postgis_server import server
from tests.register_runs import codes_of, run, states

TRUTH = (
    "............",
    ".222222.333.",
    ".222222.333.",
    ".222222.....",
    "........444.",
    ".33..22.444.",
    ".33..22.444.",
    "............",
)
"""Five changes, none of which touches another."""
CHANGES = [(2, (1, 4), (1, 7)), (3, (1, 3), (8, 11)), (4, (4, 7), (8, 11)), (3, (5, 7), (1, 3)), (2, (5, 7), (5, 7))]
"""Code, rows and columns of each."""


def only(store: Register) -> dict[str, Any]:
    own = store.changes().query("united_with == ''")
    assert len(own) == 1
    return own.iloc[0].to_dict()


def see(pictures: list[tuple[str, ...]], folder: Path) -> Register:
    store = open_register(folder / "register.gpkg")
    for month, picture in enumerate(pictures, start=1):
        store.merge([run(picture, f"2021-{month:02d}-15")])
    return store


WHOLE = (".222222.", ".222222.", ".222222.", "........")
CORNER = ("????222.", "????222.", "????????", "????????")
LEFT_END = (".22?????", ".22?????", ".22?????", "...?????")
RIGHT_END = ("?????22.", "?????22.", "?????22.", "?????...")
LEFT = (".222????", ".222????", ".222????", "....????")
GONE_BETWEEN = (".22..22.", ".22..22.", ".22..22.", "........")


def test_a_change_seen_whole_and_then_in_parts_stays_one(tmp_path: Path) -> None:
    store = see([WHOLE, CORNER, LEFT, WHOLE, WHOLE, WHOLE], tmp_path)
    change = only(store)
    assert (change["state"], change["first_seen"], change["times_seen"]) == ("confirmed", "2021-01-15", 6)
    assert change["area_ha"] == pytest.approx(0.18, rel=1e-3)
    assert len(store.changes()) == 1
    assert "closed" not in set(store.table(HISTORY)["event"])


@pytest.mark.parametrize("part", [CORNER, LEFT])
def test_what_clouds_hide_stays_part_of_a_change(tmp_path: Path, part: tuple[str, ...]) -> None:
    change = only(see([WHOLE, part], tmp_path))
    assert change["geometry"].area == pytest.approx(1800, rel=1e-6)
    assert change["area_ha"] == pytest.approx(0.18, rel=1e-3)


def test_what_is_seen_unchanged_goes(tmp_path: Path) -> None:
    change = only(see([WHOLE, GONE_BETWEEN], tmp_path))
    assert (change["geometry"].geom_type, change["times_seen"]) == ("MultiPolygon", 2)
    assert change["geometry"].area == pytest.approx(1200, rel=1e-6)


def test_parts_that_one_patch_covers_are_one_change(tmp_path: Path) -> None:
    store = see([LEFT_END, RIGHT_END, WHOLE], tmp_path)
    changes = store.changes()
    older, younger = changes["change_id"]
    assert states(changes) == {older: "confirmed", younger: "withdrawn"}
    assert changes["reason"][1] == f"is the same change as {older}"
    assert (only(store)["first_seen"], only(store)["times_seen"]) == ("2021-01-15", 3)
    assert set(store.table(PATCHES)["change_id"]) == {older}
    assert [s.run for s in store.sightings(older)] == [f"k-2020-06-15-2021-{month:02d}-15" for month in (1, 2, 3)]
    assert store.table(HISTORY).iloc[-1][["event", "change_id"]].tolist() == ["united", younger]


def test_a_part_beside_a_small_change_of_its_kind_is_part_of_it(tmp_path: Path) -> None:
    right = ("????222.", "????222.", "????222.", "????....")
    assert only(see([LEFT, right], tmp_path))["geometry"].area == pytest.approx(1800, rel=1e-6)


def test_parts_of_one_patch_in_one_run_are_counted_once(tmp_path: Path) -> None:
    both = (".22??22.", ".22??22.", ".22??22.", "...??...")
    store = see([both, WHOLE], tmp_path)
    assert (only(store)["times_seen"], only(store)["times_observed"]) == (2, 2)


def test_a_corner_that_a_patch_of_its_kind_covers_is_not_a_miss(tmp_path: Path) -> None:
    """The corner that is seen proves too little to say that both are one, and nothing against the change."""
    right = ("????2222", "????2222", "????2222", "????....")
    left = (".2222???", ".2222???", ".2222???", ".....???")
    store = see([left, right, right], tmp_path)
    assert set(store.changes()["state"]) == {"new", "confirmed"} or len(store.changes()) == 1
    assert store.changes()["misses"].tolist() == [0] * len(store.changes())


@pytest.mark.parametrize(("unit", "state"), [(0.04, "closed"), (0.05, "new")])
def test_parts_that_are_smaller_than_any_patch_prove_nothing(tmp_path: Path, unit: float, state: str) -> None:
    """Four pixels, 0.04 ha, are seen on each side of the cloud."""
    whole, sides = (".222222.", ".222222.", "........"), ("...??...", "...??...", "........")
    store = open_register(tmp_path / "register.gpkg")
    for month, picture in enumerate((whole, sides, sides), start=1):
        store.merge([run(picture, f"2021-{month:02d}-15", min_area_ha=unit)])
    assert only(store)["state"] == state


def test_kinds_are_not_mixed(tmp_path: Path) -> None:
    water = (".333333.", ".333333.", ".333333.", "........")
    store = see([LEFT, water], tmp_path)
    assert sorted(store.changes()["state"]) == ["closed", "new"]


@pytest.mark.parametrize(
    ("picture", "areas"),
    [(GONE_BETWEEN, [600, 600]), (CORNER, [600]), (("????222.", "????22..", "????222.", "????...."), [800])],
)
def test_a_run_that_does_not_count_lends_ids_alone(tmp_path: Path, picture: tuple[str, ...], areas: list[int]) -> None:
    """What a superseded run saw makes no two patches one, and is no part of what clouds hide from the run that counts."""
    store = open_register(tmp_path / "register.gpkg")
    store.merge([run(WHOLE, "2021-01-15", key="old", created="2024-01-01T00:00:00")])
    store.merge([run(picture, "2021-01-15", key="new", created="2024-02-01T00:00:00")])
    changes = store.changes()
    assert changes["change_id"][0] in store.table(PATCHES).query("run == 'new'")["change_id"].tolist()
    assert sorted(changes[changes["times_seen"] > 0].geometry.area) == pytest.approx(areas, rel=0.2)


def test_a_withdrawn_run_unites_nothing(tmp_path: Path) -> None:
    store = see([LEFT_END, RIGHT_END, WHOLE], tmp_path)
    store.withdraw("run", "k-2020-06-15-2021-03-15", "haze")
    changes = store.changes()
    assert changes["united_with"].tolist() == ["", ""]
    assert states(changes) == dict.fromkeys(changes["change_id"], "new")


def test_nothing_of_a_withdrawn_run_stays_in_an_extent(tmp_path: Path) -> None:
    store = see([WHOLE, LEFT_END], tmp_path)
    store.withdraw("run", "k-2020-06-15-2021-01-15", "haze taken for a clear-cut")
    change = only(store)
    assert change["geometry"].area == pytest.approx(600, rel=1e-6)
    assert change["area_ha"] == pytest.approx(0.06, rel=1e-3)


def test_a_withdrawn_run_makes_no_two_changes_one(tmp_path: Path) -> None:
    store = see([WHOLE, GONE_BETWEEN], tmp_path)
    (name,) = store.changes()["change_id"]
    store.withdraw("run", "k-2020-06-15-2021-01-15", "haze taken for a clear-cut")
    changes = store.changes()
    assert changes["change_id"][0] == name
    assert changes.geometry.area.tolist() == pytest.approx([600, 600], rel=1e-6)
    assert changes["times_seen"].tolist() == [1, 1]


def test_a_sighting_of_one_part_is_an_observation_of_all_parts(tmp_path: Path) -> None:
    """Two parts, each of which a run saw while the other was not there, turn out to be one: three runs, three observations."""
    left, right = (".22.....", ".22.....", ".22.....", "........"), (".....22.", ".....22.", ".....22.", "........")
    change = only(see([left, right, WHOLE], tmp_path))
    assert (change["times_seen"], change["times_observed"]) == (3, 3)


def test_the_probability_of_what_is_hidden_is_that_of_each_part(tmp_path: Path) -> None:
    left, right = (".22.....", ".22.....", ".22.....", "........"), (".....22.", ".....22.", ".....22.", "........")
    middle = ("??2222??", "??2222??", "??2222??", "??....??")
    store = open_register(tmp_path / "register.gpkg")
    for month, (picture, probability) in enumerate([(left, 0.6), (right, 1.0), (middle, 0.8)], start=1):
        store.merge([run(picture, f"2021-{month:02d}-15", probability=probability)])
    assert only(store)["change_probability"] == pytest.approx((12 * 0.8 + 3 * 0.6 + 3 * 1.0) / 18, abs=1e-6)


def test_parts_that_one_run_saw_first_are_the_first_polygon(tmp_path: Path) -> None:
    both = (".22????22.", ".22????22.", ".22????22.", "...????...")
    whole = (".22222222.", ".22222222.", ".22222222.", "..........")
    assert only(see([both, whole], tmp_path))["first_geometry"].area == pytest.approx(1200, rel=1e-6)


def test_an_id_goes_back_to_the_patch_that_it_was_given_for(tmp_path: Path) -> None:
    """A person rejected what lies on the right: what lies on the left must not take over the verdict with the id."""
    store = open_register(tmp_path / "register.gpkg")
    left, right, whole = ("22......",), ("...22...",), ("22222...",)
    store.merge([run(right, "2023-06-15")])
    (name,), (place,) = store.changes()["change_id"], store.changes().geometry
    store.reject(name, "harvest")
    store.merge([run(whole, "2024-06-15")])
    store.merge([run(left, "2021-06-15")])
    assert only(store)["change_id"] == name
    store.withdraw("run", "k-2020-06-15-2024-06-15", "haze")
    changes = store.changes()
    assert states(changes) == {name: "rejected", changes["change_id"][1]: "new"}
    assert changes.geometry[0].equals(place)


# The law: whatever clouds hide, as long as everything is seen whole in the end.

clouds = st.lists(
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 11), st.integers(1, 6), st.integers(1, 8)), max_size=4),
    min_size=1, max_size=6,
)  # fmt: skip
STORES: dict[str, Callable[[Path], Register]] = {
    "geopackage": lambda folder: open_register(folder / "register.gpkg"),
    "postgis": lambda _: server().new_register(),
}


def through(masks: list[list[tuple[int, int, int, int]]]) -> tuple[list[MergeableRun], list[np.ndarray]]:
    """Return runs of a month each, with the truth where no rectangle of cloud is, and where each saw something."""
    runs, seen = [], []
    for month, rectangles in enumerate([*masks, []], start=1):
        clear = np.ones((8, 12), dtype=bool)
        for row, column, height, width in rectangles:
            clear[row : row + height, column : column + width] = False
        picture = ["".join(c if is_clear else "?" for c, is_clear in zip(*line, strict=True))
                   for line in zip(TRUTH, clear, strict=True)]  # fmt: skip
        runs.append(run(picture, f"2021-{month:02d}-15"))
        seen.append(clear)
    return runs, seen


@settings(max_examples=10, deadline=None)
@given(masks=clouds)
def test_the_fold_obeys_the_law(masks: Any) -> None:
    runs, seen = through(masks)
    views = [one.view for one in runs]
    known, _ = replay(views, {v.observation.key: "" for v in views}, ConfirmationRule(), {})
    changes = frame_of_changes(known, runs[0].crs)[known.united < 0]
    agree(changes, runs[-1], seen)
    assert (changes["misses"] == 0).all()
    assert (changes["times_observed"] <= len(runs)).all()


@pytest.mark.parametrize("make", STORES.values(), ids=STORES)
def test_the_register_obeys_the_law_in_any_order(make: Callable[[Path], Register], tmp_path_factory: Any) -> None:
    @settings(max_examples=2, deadline=None, database=None)
    @given(masks=clouds.filter(any), data=st.data())
    def law(masks: Any, data: st.DataObject) -> None:
        runs, seen = through(masks)
        known = []
        for order in (range(len(runs)), data.draw(st.permutations(range(len(runs))))):
            store = make(tmp_path_factory.mktemp("clouds"))
            for index in order:
                store.merge([runs[index]])
            changes = store.changes()
            own = changes[changes["united_with"] == ""]
            agree(own, runs[-1], seen)
            assert not {"closed", "reopened"} & set(store.table(HISTORY)["event"])
            known.append(sorted(map(tuple, own[["first_seen", "times_seen", "times_observed", "state"]].to_numpy())))
        assert known[0] == known[1]

    law()


def agree(own: gpd.GeoDataFrame, last: MergeableRun, seen: list[np.ndarray]) -> None:
    """Compare the changes of a register with those that there are."""
    truth = last.view.patches
    left, _, _, top = last.view.extent.bounds
    assert len(own) == len(CHANGES)
    for code, rows, columns in CHANGES:
        inside = (slice(*rows), slice(*columns))
        dates = [f"2021-{month:02d}-15" for month, clear in enumerate(seen, start=1) if clear[inside].any()]
        assert (codes_of(TRUTH)[inside] == code).all()
        middle = shapely.Point(left + 10 * sum(columns) / 2, top - 10 * sum(rows) / 2)
        (patch,) = truth.geometry[truth.contains(middle)]
        (change,) = own[own.geometry.contains(middle)].to_dict("records")
        assert change["geometry"].symmetric_difference(patch).area < 1e-6 * patch.area
        assert (change["change_code"], change["first_seen"], change["times_seen"]) == (code, dates[0], len(dates))
        assert change["lifecycle"] == ("new" if len(dates) == 1 else "confirmed")
