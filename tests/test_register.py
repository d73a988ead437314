"""The law of the register, whatever it is kept in: pictures with known answers, and what holds for all runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landshift.pipeline.errors import InputError
from landshift.pipeline.register.database.rows import STATUS
from landshift.pipeline.register.database.tables import HISTORY, META, OBSERVATIONS, PATCHES, REVIEWS, WITHDRAWALS
from landshift.pipeline.register.history import diff_states, line_of, states_at
from landshift.pipeline.register.runs import MergeableRun
from landshift.pipeline.register.states import STATES, ConfirmationRule
from landshift.pipeline.register.store import Register, open_register
from tests.postgis_server import server
from tests.register_runs import run, states

STORES: dict[str, Callable[[Path], Register]] = {
    "geopackage": lambda folder: open_register(folder / "register.gpkg"),
    "postgis": lambda _: server().new_register(),
}
"""Every store keeps the same contract."""

EMPTY = ("........", "........", "........", "........")
PATCH = ("........", ".22.....", ".22.....", "........")
GROWN = ("........", ".222....", ".222....", "........")
CLOUDED = ("........", ".??.....", ".??.....", "........")
HALF = ("........", ".?......", ".?......", "........")
MOST = ("........", ".??.....", ".?......", "........")
WATER = ("........", ".33.....", ".33.....", "........")
ON_WATER = ("........", ".55.....", ".55.....", "........")
TWO = ("......33", ".22...33", ".22.....", "........")


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Register:
    return STORES[request.param](tmp_path)


def only(store: Register) -> dict[str, Any]:
    changes = store.changes()
    assert len(changes) == 1
    return changes.iloc[0].to_dict()


def everything(store: Register) -> list[pd.DataFrame]:
    return [store.table(t) for t in (HISTORY, META, OBSERVATIONS, PATCHES, REVIEWS, WITHDRAWALS)] + [
        pd.DataFrame(store.changes())
    ]


def same(one: list[pd.DataFrame], other: list[pd.DataFrame]) -> None:
    for a, b in zip(one, other, strict=True):
        pd.testing.assert_frame_equal(a, b)


def test_a_change_that_is_seen_again_grown_clouded_and_gone(store: Register) -> None:
    story = [
        (PATCH, "2021-06-15", "new", 1, 1),
        (GROWN, "2022-06-15", "confirmed", 2, 2),
        (CLOUDED, "2023-06-15", "confirmed", 2, 2),
        (EMPTY, "2024-06-15", "confirmed", 2, 3),
        (CLOUDED, "2025-06-15", "confirmed", 2, 3),
        (EMPTY, "2026-06-15", "closed", 2, 4),
    ]
    for picture, after, state, seen, observed in story:
        store.merge([run(picture, after)])
        change = only(store)
        assert (change["state"], change["times_seen"], change["times_observed"]) == (state, seen, observed)
    assert change["reason"] == "no longer seen"
    assert (change["first_before"], change["first_seen"], change["last_seen"]) == ("2020-06-15", "2021-06-15", "2022-06-15")
    assert (change["first_run"], change["last_run"]) == ("k-2020-06-15-2021-06-15", "k-2020-06-15-2022-06-15")
    assert change["first_geometry"].area == pytest.approx(400)
    assert change["geometry"].area == pytest.approx(600)
    assert change["area_ha"] == pytest.approx(0.06, rel=1e-2)
    assert (change["from_name"], change["to_name"]) == ("Forest", "Cropland")
    history = store.table(HISTORY)
    assert history["number"].tolist() == list(range(1, len(history) + 1))
    of_change = history[history["change_id"] == change["change_id"]]
    assert of_change[["event", "to_state"]].to_numpy().tolist() == [[s, s] for s in ("new", "confirmed", "closed")]
    assert of_change["run"].tolist() == [f"k-2020-06-15-{y}-06-15" for y in (2021, 2022, 2026)]


@pytest.mark.parametrize(("picture", "observed"), [(HALF, True), (MOST, False)])
def test_half_of_a_place_has_to_be_observed(store: Register, picture: tuple[str, ...], observed: bool) -> None:
    store.merge([run(PATCH, "2021-06-15"), run(picture, "2022-06-15"), run(picture, "2023-06-15")])
    assert only(store)["state"] == ("closed" if observed else "new")


def test_beyond_the_map_nothing_is_observed(store: Register) -> None:
    small = ("..", "..")
    store.merge([run(PATCH, "2021-06-15"), *(run(small, f"{y}-06-15") for y in (2022, 2023, 2024))])
    assert only(store)["state"] == "new"
    assert only(store)["times_observed"] == 1


def test_a_pair_that_begins_after_a_change_does_not_speak_against_it(store: Register) -> None:
    """What is cropland on both dates is unchanged; that says nothing about the year in which it became cropland."""
    pairs = [("2021-06-15", "2022-06-15"), ("2022-06-15", "2023-06-15"), ("2023-06-15", "2024-06-15")]
    store.merge([run(PATCH, "2021-06-15"), *(run(EMPTY, after, before) for before, after in pairs)])
    assert (only(store)["state"], only(store)["times_observed"]) == ("new", 1)


@pytest.mark.parametrize(("picture", "before"), [(ON_WATER, "2022-06-15"), (WATER, "2020-06-15")])
def test_a_place_that_turns_into_something_else_closes_the_change(
    store: Register, picture: tuple[str, ...], before: str
) -> None:
    store.merge([run(PATCH, "2021-06-15"), run(PATCH, "2022-06-15"), run(picture, "2023-06-15", before)])
    first, second = store.changes().to_dict("records")
    assert (first["state"], first["reason"]) == ("closed", "turned into Water")
    assert (second["state"], second["to_name"]) == ("new", "Water")


def test_only_a_later_date_turns_a_place(store: Register) -> None:
    store.merge([run(PATCH, "2022-06-15"), run(WATER, "2022-06-15", "2021-06-15")])
    assert sorted(store.changes()["state"]) == ["new", "new"]


def test_a_new_change_that_is_not_seen_again_is_closed_and_comes_back_as_new(store: Register) -> None:
    store.merge([run(PATCH, "2021-06-15"), run(EMPTY, "2022-06-15")])
    assert only(store)["state"] == "new"
    store.merge([run(EMPTY, "2023-06-15")])
    assert (only(store)["state"], only(store)["reason"]) == ("closed", "not seen again")
    store.merge([run(PATCH, "2024-06-15")])
    assert (only(store)["state"], only(store)["reason"], only(store)["first_seen"]) == ("new", "", "2021-06-15")
    assert store.table(HISTORY)["event"].iloc[-1] == "reopened"
    store.merge([run(PATCH, "2025-06-15")])
    assert only(store)["state"] == "confirmed"


def test_only_misses_in_a_row_close_a_confirmed_change(store: Register) -> None:
    pictures = (PATCH, PATCH, EMPTY, PATCH, EMPTY, CLOUDED, PATCH, EMPTY)
    store.merge([run(picture, f"{2021 + n}-06-15") for n, picture in enumerate(pictures)])
    assert (only(store)["state"], only(store)["times_seen"], only(store)["times_observed"]) == ("confirmed", 4, 7)
    store.merge([run(EMPTY, "2030-06-15")])
    assert only(store)["state"] == "closed"


def test_the_rule_is_the_registers(store: Register) -> None:
    store.merge([run(PATCH, f"{year}-06-15") for year in (2021, 2022)], ConfirmationRule(2, 3))
    assert only(store)["state"] == "new"
    store.merge([run(EMPTY, "2023-06-15")])
    assert only(store)["state"] == "new"
    store.merge([run(PATCH, "2024-06-15")], ConfirmationRule(2, 3))
    assert only(store)["state"] == "confirmed"
    before = everything(store)
    with pytest.raises(InputError, match="2 of the next 3"):
        store.merge([run(PATCH, "2025-06-15")], ConfirmationRule(1, 3))
    same(before, everything(store))


@pytest.mark.parametrize("rule", [(0, 2), (3, 2)])
def test_a_rule_that_cannot_be_met_is_refused(rule: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="cannot be confirmed"):
        ConfirmationRule(*rule)


def test_a_rejected_change_stays_rejected_and_is_counted(store: Register) -> None:
    store.merge([run(PATCH, "2021-06-15")])
    name = only(store)["change_id"]
    assert store.reject(name, "harvest", "Ana").fresh
    store.merge([run(GROWN, "2022-06-15"), run(EMPTY, "2023-06-15"), run(EMPTY, "2024-06-15")])
    change = only(store)
    assert (change["change_id"], change["state"], change["reason"], change["times_seen"]) == (name, "rejected", "harvest", 2)
    before = everything(store)
    assert not store.reject(name, "again").fresh
    same(before, everything(store))
    last = store.table(HISTORY).query("event == 'rejected'").iloc[-1]
    assert (last["from_state"], last["reason"], last["who"]) == ("new", "harvest", "Ana")


def test_verdicts_need_a_reason_and_a_target(store: Register) -> None:
    store.merge([run(PATCH, "2021-06-15")])
    before = everything(store)
    with pytest.raises(InputError, match="reason is needed"):
        store.reject(only(store)["change_id"], "  ")
    with pytest.raises(InputError, match="no change 'p-1-2'"):
        store.reject("p-1-2", "harvest")
    with pytest.raises(InputError, match="No run in"):
        store.withdraw("scene", "S2A", "haze")
    same(before, everything(store))


@pytest.mark.parametrize(("kind", "target"), [("run", "bad"), ("model", "sha256:bad"), ("scene", "S2A_20220615")])
def test_what_is_withdrawn_takes_its_changes_along_and_no_others(store: Register, kind: str, target: str) -> None:
    bad = run(TWO, "2022-06-15", key="bad", model="sha256:bad", scenes=("S2A_20220615", "x.tif"))
    store.merge([run(PATCH, "2021-06-15"), bad])
    before = store.changes()
    assert states(before) == {before["change_id"][0]: "confirmed", before["change_id"][1]: "new"}
    store.withdraw(kind, target, "haze", "Ben")
    after = store.changes()
    assert list(after["state"]) == ["new", "withdrawn"]
    assert list(after["times_seen"]) == [1, 0]
    assert after["reason"][1] == f"the {kind} was withdrawn: haze"
    again = everything(store)
    assert not store.withdraw(kind, target, "haze").fresh
    same(again, everything(store))
    store.merge([run(TWO, "2023-06-15")])
    back = store.changes()
    assert list(back["change_id"]) == list(before["change_id"])
    assert list(back["state"]) == ["confirmed", "new"]
    assert (back["first_seen"][1], back["first_run"][1]) == ("2023-06-15", "k-2020-06-15-2023-06-15")
    assert store.table(HISTORY)["event"].iloc[-1] == "restored"


def test_a_withdrawn_model_stays_withdrawn_for_what_is_merged_later(store: Register) -> None:
    store.merge([run(PATCH, "2021-06-15", model="sha256:bad")])
    store.withdraw("model", "sha256:bad", "trained on wrong labels")
    merged = store.merge([run(PATCH, "2022-06-15", model="sha256:bad")])[0]
    assert merged.standing == "the model was withdrawn: trained on wrong labels"
    assert only(store)["state"] == "withdrawn"


@pytest.mark.parametrize("make", STORES.values(), ids=STORES)
def test_of_two_runs_of_one_pair_the_one_made_last_counts(make: Callable[[Path], Register], tmp_path: Path) -> None:
    old = run(TWO, "2021-06-15", key="old", created="2024-01-01T00:00:00")
    new = run(PATCH, "2021-06-15", key="new", created="2024-02-01T00:00:00")
    for number, order in enumerate(([old, new], [new, old])):
        folder = tmp_path / str(number)
        folder.mkdir()
        store = make(folder)
        for one in order:
            store.merge([one])
        assert sorted(store.changes()["state"]) == ["new", "withdrawn"]
        standing = store.table(OBSERVATIONS).set_index("key")["standing"]
        assert (standing["new"], standing["old"]) == ("", "superseded by run new of the same dates")
        history = store.table(HISTORY)
        said = history[history["change_id"].isna() & history["reason"].notna()]
        assert said["run"].tolist() == ["old"]
        store.withdraw("run", "new", "wrong settings")
        assert sorted(store.changes()["state"]) == ["new", "new"]


def test_an_id_that_was_given_stays_when_an_earlier_run_comes_late(store: Register) -> None:
    store.merge([run(GROWN, "2022-06-15", prefix="late")])
    name = only(store)["change_id"]
    store.merge([run(PATCH, "2021-06-15", prefix="early")])
    change = only(store)
    assert (change["change_id"], change["state"], change["first_seen"]) == (name, "confirmed", "2021-06-15")
    assert change["first_geometry"].area == pytest.approx(400)
    assert set(store.table(PATCHES)["change_id"]) == {name}


def test_changes_that_turn_out_to_be_one_are_said_to_be_one(store: Register) -> None:
    """Alone, those of 2021 and 2023 are two; the one of 2022 reaches over both, until it is withdrawn."""
    left, right = ("22......",), ("...22...",)
    whole = ("22222...",)
    store.merge([run(left, "2021-06-15")])
    store.merge([run(right, "2023-06-15")])
    first, second = store.changes()["change_id"]
    store.merge([run(whole, "2022-06-15")])
    changes = store.changes()
    assert list(changes["change_id"]) == [first, second]
    assert dict(zip(changes["change_id"], changes["state"], strict=True)) == {first: "confirmed", second: "withdrawn"}
    assert changes["reason"][1] == f"is the same change as {first}"
    store.merge([run(left, "2024-06-15")])
    assert states(store.changes())[second] == "withdrawn"
    third = store.changes()["change_id"].iloc[-1]
    store.withdraw("run", "k-2020-06-15-2022-06-15", "haze")
    assert states(store.changes()) == {first: "confirmed", second: "new", third: "withdrawn"}
    assert store.changes()["united_with"].tolist() == ["", "", first]


def test_one_key_is_one_run(store: Register) -> None:
    store.merge([run(PATCH, "2021-06-15", key="k")])
    before = everything(store)
    with pytest.raises(InputError, match="Keys are unique"):
        store.merge([run(PATCH, "2022-06-15", key="k")])
    same(before, everything(store))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (run(PATCH, "2022-06-15", crs="EPSG:32650"), "a register has one"),
        (run(("2",), "2022-06-15", legend=type(run(PATCH, "2022-06-15").legend)()), "mean two things"),
    ],
)
def test_what_does_not_fit_is_refused_with_all_that_came_with_it(store: Register, other: MergeableRun, message: str) -> None:
    store.merge([run(PATCH, "2021-06-15")])
    before = everything(store)
    with pytest.raises(InputError, match=message):
        store.merge([run(PATCH, "2023-06-15"), other])
    same(before, everything(store))


def test_a_binary_project(store: Register) -> None:
    legend = type(run(PATCH, "2022-06-15").legend)()
    store.merge([run(PATCH, f"{y}-06-15", legend=legend) for y in (2021, 2022)])
    assert only(store)["state"] == "confirmed"
    assert (only(store)["to_name"], pd.isna(only(store)["from_name"])) == ("Changed", True)


def test_the_difference_between_two_lines_of_the_history(store: Register) -> None:
    store.merge([run(TWO, "2021-06-15")])
    start = len(store.table(HISTORY))
    store.merge([run(PATCH, "2022-06-15")])
    store.merge([run(EMPTY, "2023-06-15")])
    history, changes = store.table(HISTORY), store.changes()
    names = changes["change_id"].tolist()
    large, small = (n for n in sorted(names, key=lambda n: dict(zip(names, changes["to_name"], strict=True))[n]))
    found = diff_states(changes, history, start)
    assert dict(zip(found["change_id"], found["what"], strict=True)) == {large: "confirmed", small: "closed"}
    assert set(found["was"]) == {"new"}
    assert len(diff_states(changes, history, 0, start)) == 2
    assert diff_states(changes, history, 0, start)["was"].isna().all()
    assert diff_states(changes, history, len(history)).empty
    merges = store.table(OBSERVATIONS).set_index("key")["last_line"].to_dict()
    assert line_of(history, merges, "k-2020-06-15-2021-06-15") == start
    assert line_of(history, merges, "2") == 2
    assert line_of(history, merges, "2000-01-01") == 0
    assert line_of(history, merges, "2999-01-01") == len(history)
    assert line_of(history, merges, "k-2020-06-15-2023-06-15") == len(history)
    store.reject(large, "harvest")
    later = diff_states(store.changes(), store.table(HISTORY), line_of(history, merges, "k-2020-06-15-2023-06-15"))
    assert later["what"].tolist() == ["rejected"]
    with pytest.raises(InputError, match="expected a number of the history"):
        line_of(history, merges, "yesterday")
    with pytest.raises(InputError, match=f"ends with number {len(history)}"):
        line_of(history, merges, str(len(history) + 1))
    assert line_of(history, merges, str(len(history))) == len(history)


# Laws. Six places, each of which a run sees unchanged, changed in one of two ways, or not at all.

PLACES = 6
worlds = st.lists(
    st.tuples(st.lists(st.sampled_from("..22G35?"), min_size=PLACES, max_size=PLACES), st.integers(0, 2), st.integers(0, 3)),
    min_size=1, max_size=4,
)  # fmt: skip


def drawn(world: list[tuple[list[str], int, int]]) -> list[MergeableRun]:
    """Runs of several pairs; some pairs have two runs."""
    result = []
    for number, (places, before, after) in enumerate(world):
        rows = ["", "", "", ""]
        for mark in places:
            code = "2" if mark == "G" else mark
            rows[0] += "...."
            rows[1] += f"{code}{code}.."
            rows[2] += f"{code}{code}{code}." if mark == "G" else f"{code}{code}.."
            rows[3] += "...."
        result.append(
            run(rows, f"{2023 + after}-06-15", f"{2020 + before}-06-15", key=f"k{number}", created=f"2026-01-0{number + 1}")
        )
    return result


def canonical(store: Register) -> list[tuple[Any, ...]]:
    """All that is known of each change but its id."""
    changes = store.changes()
    ignored = {*STATUS, "fid", "ordinal", "geometry", "first_geometry", "founder_run", "founder_patch"} - {"state", "reason"}
    kept = [c for c in changes.columns if c not in ignored]
    own = changes[changes["united_with"] == ""]
    shapes = zip(own.geometry.to_wkb(), (g.wkb for g in own["first_geometry"]), strict=True)
    rows = own[kept].astype(object).where(own[kept].notna(), None).itertuples(index=False)
    return sorted((tuple(map(str, row)) + shape for row, shape in zip(rows, shapes, strict=True)), key=repr)


@settings(max_examples=12, deadline=None)
@given(world=worlds, data=st.data())
def test_laws(tmp_path_factory: pytest.TempPathFactory, world: Any, data: st.DataObject) -> None:
    laws(STORES["geopackage"], tmp_path_factory, world, data)


@settings(max_examples=4, deadline=None)
@given(world=worlds, data=st.data())
def test_laws_on_a_server(tmp_path_factory: pytest.TempPathFactory, world: Any, data: st.DataObject) -> None:
    """The law is the same code; what may differ is what the database gives back."""
    laws(STORES["postgis"], tmp_path_factory, world, data)


def laws(make: Callable[[Path], Register], tmp_path_factory: pytest.TempPathFactory, world: Any, data: st.DataObject) -> None:
    runs = drawn(world)
    orders = [list(range(len(runs))), data.draw(st.permutations(range(len(runs))))]
    taken_back = data.draw(st.none() | st.sampled_from(range(len(runs))))
    results = []
    twice = data.draw(st.integers(0, len(runs) - 1))
    for number, order in enumerate(orders):
        store = make(tmp_path_factory.mktemp("law"))
        history, known = pd.DataFrame(), set()
        for position, index in enumerate(order):
            store.merge([runs[index]])
            if number == 1 and index == taken_back:
                store.withdraw("run", f"k{index}", "haze")
            later, changes = store.table(HISTORY), store.changes()
            # Nothing is ever lost or altered in the history, and no change goes.
            pd.testing.assert_frame_equal(later.iloc[: len(history)], history, check_index_type=False) if len(history) else None
            assert known <= set(changes["change_id"])
            assert changes["change_id"].is_unique
            assert set(changes["state"]) <= set(STATES)
            # The history tells the state of every change.
            assert states_at(later, len(later)) == states(changes)
            history, known = later, set(changes["change_id"])
            if number == 1 and position == twice:
                before = everything(store)
                assert not store.merge([runs[index]])[0].fresh
                same(before, everything(store))
        if number != 1 and taken_back is not None:
            store.withdraw("run", f"k{taken_back}", "haze")
        closed_only_where_observed(store, runs)
        results.append(canonical(store))
    assert results[0] == results[1]


def closed_only_where_observed(store: Register, runs: list[MergeableRun]) -> None:
    """Rasters, not polygons: whoever closed a change saw its pixels."""
    counting = {key for key, standing in store.table(OBSERVATIONS)[["key", "standing"]].to_numpy() if not standing}
    for change in store.changes().query("lifecycle == 'closed'").to_dict("records"):
        witnesses = [
            one for one in runs
            if one.view.observation.key in counting and one.view.observation.order[0] >= change["last_seen"]
            and one.view.observation.key != change["last_run"]
            and not any(p.contains(change["geometry"].representative_point()) for p in one.view.not_observed)
        ]  # fmt: skip
        assert len(witnesses) >= (1 if change["reason"].startswith("turned") else 2), change


def test_the_pictures_are_what_they_seem() -> None:
    one = run(TWO, "2021-06-15")
    assert np.allclose(sorted(one.view.patches.geometry.area), [400, 400])
    assert set(one.view.patches["to_code"]) == {2, 3}
