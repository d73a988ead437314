"""What persons say about changes, whatever the register is kept in: which verdict counts, until when, and what is kept."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from landshift.pipeline.alerts.alert import digest
from landshift.pipeline.alerts.rules import AlertRule
from landshift.pipeline.errors import InputError
from landshift.pipeline.register.database.tables import HISTORY, REVIEWS
from landshift.pipeline.register.drawings import Drawing, Drawn, Stratum, choose
from landshift.pipeline.register.reviews import CHANGE, NO_CHANGE, OTHER_CLASS, UNTOLD, Review, deciding, is_known
from landshift.pipeline.register.states import ConfirmationRule
from landshift.pipeline.register.store import Register, open_register
from landshift.pipeline.review.precision import precision_of
from landshift.pipeline.sample.design import wilson_limits
from tests.register_runs import LEGEND, run, states
from tests.test_register import EMPTY, PATCH, STORES, WATER, only

NOON = datetime(2026, 5, 12, 12, tzinfo=UTC)


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Register:
    return STORES[request.param](tmp_path)


def said(store: Register, verdict: str, who: str = "Ana", day: str = "2026-05-12", **more: object) -> Review:
    """A review of the only change, as it was seen last."""
    change = only(store)
    place, patch = store.last_patches([change["change_id"]])[change["change_id"]]
    return Review(change["change_id"], verdict, who, day, run=place, patch=patch, **more)  # type: ignore[arg-type]


def state(store: Register) -> tuple[str, str]:
    change = only(store)
    return change["state"], change["reason"]


def test_a_persons_word_confirms_until_silence_closes(store: Register) -> None:
    story = [
        (EMPTY, "2022-06-15", ("confirmed", "reviewed by Ana: visited")),
        (EMPTY, "2023-06-15", ("closed", "no longer seen")),
        (PATCH, "2024-06-15", ("confirmed", "reviewed by Ana: visited")),
        (WATER, "2025-06-15", ("closed", "turned into Water")),
    ]
    store.merge([run(PATCH, "2021-06-15")])
    fresh, moved = store.review([said(store, CHANGE, note="visited")], NOON)
    assert (len(fresh), moved) == (1, {"confirmed": 1})
    assert state(store) == ("confirmed", "reviewed by Ana: visited")
    for picture, after, expected in story[:3]:
        store.merge([run(picture, after)])
        assert state(store) == expected
    store.merge([run(story[3][0], story[3][1])])
    assert states(store.changes())[store.changes()["change_id"][0]] == "closed"
    assert store.changes()["reason"][0] == "turned into Water"
    assert store.changes()["state"][1] == "new"


def test_it_outranks_counting_where_counting_would_close(store: Register) -> None:
    """Of the next three observations two have to see it, and one does."""
    store.merge([run(PATCH, "2021-06-15")], ConfirmationRule(2, 3))
    pictures = [EMPTY, PATCH, EMPTY, EMPTY, EMPTY]
    store.merge([run(p, f"{2022 + n}-06-15") for n, p in enumerate(pictures[:3])])
    assert state(store) == ("closed", "not seen again")
    store.review([said(store, CHANGE)], NOON)
    assert state(store) == ("confirmed", "reviewed by Ana")
    store.merge([run(EMPTY, "2025-06-15")])
    assert state(store)[0] == "confirmed"
    store.merge([run(EMPTY, "2026-06-15")])
    assert state(store) == ("closed", "no longer seen")


@settings(max_examples=8, deadline=None)
@given(order=st.permutations(range(4)), at=st.integers(1, 4))
def test_when_a_verdict_comes_and_in_which_order_runs_do_makes_no_difference(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], at: int
) -> None:
    store = open_register(tmp_path_factory.mktemp("r") / "register.gpkg")
    runs = [run(p, f"{2021 + n}-06-15") for n, p in enumerate((PATCH, EMPTY, PATCH, EMPTY))]
    order.remove(0)
    for count, number in enumerate([0, *order], start=1):
        store.merge([runs[number]], ConfirmationRule(2, 3) if count == 1 else None)
        if count == at:
            store.review([said(store, CHANGE)], NOON)
    assert state(store) == ("confirmed", "reviewed by Ana")


@pytest.mark.parametrize(
    ("verdict", "more", "expected"),
    [
        (CHANGE, {}, ("confirmed", "reviewed by Ana")), (UNTOLD, {"note": "cloud"}, ("new", "")),
        (NO_CHANGE, {}, ("rejected", "not a change")), (NO_CHANGE, {"note": "harvest"}, ("rejected", "harvest")),
        (NO_CHANGE, {"before_code": 2, "after_code": 2}, ("rejected", "is Cropland on both dates")),
        (OTHER_CLASS, {"before_code": 1, "after_code": 3, "note": "a pond"}, ("rejected", "is Forest to Water: a pond")),
    ],
)  # fmt: skip
def test_each_verdict_and_its_line(store: Register, verdict: str, more: dict[str, object], expected: tuple[str, str]) -> None:
    store.merge([run(PATCH, "2021-06-15")])
    store.review([said(store, verdict, **more)], NOON)
    assert state(store) == expected
    line = store.table(HISTORY).iloc[-1]
    assert (line["who"], line["to_state"]) == ("Ana", expected[0])
    if verdict == UNTOLD:
        assert (line["event"], line["from_state"], line["reason"]) == ("reviewed", "new", "cannot be told: cloud")
    kept = store.table(REVIEWS).iloc[0]
    assert (kept["verdict"], kept["who"], kept["reviewed_on"]) == (verdict, "Ana", "2026-05-12")


def test_a_newer_verdict_lifts_a_rejection_and_both_are_kept(store: Register) -> None:
    store.merge([run(PATCH, "2021-06-15")])
    name = only(store)["change_id"]
    store.reject(name, "harvest", "Ben", NOON)
    store.review([said(store, CHANGE, day="2026-05-11")], NOON)
    assert state(store) == ("rejected", "harvest"), "a verdict of an earlier day does not count against a later one"
    store.review([said(store, UNTOLD, "Cem", "2026-05-20")], NOON)
    assert state(store)[0] == "rejected"
    store.review([said(store, CHANGE, day="2026-05-13")], NOON)
    assert state(store) == ("confirmed", "reviewed by Ana")
    assert [r.verdict for r in store.reviews()] == [NO_CHANGE, CHANGE, UNTOLD, CHANGE]
    assert store.table(HISTORY)["event"].tolist()[-4:] == ["rejected", "reviewed", "reviewed", "confirmed"]


def test_confirm_takes_a_rejection_back(store: Register) -> None:
    store.merge([run(PATCH, "2021-06-15")])
    name = only(store)["change_id"]
    assert store.reject(name, "harvest", "Ben").fresh
    assert store.confirm(name, "visited", "Ana").fresh
    assert not store.confirm(name, "again", "Ana").fresh
    assert state(store) == ("confirmed", "reviewed by Ana: visited")
    assert store.reject(name, "no, harvest", "Ben").fresh
    assert state(store) == ("rejected", "no, harvest")
    with pytest.raises(InputError, match="reason is needed"):
        store.confirm(name, " ")
    with pytest.raises(InputError, match="no change 'p-9-9'"):
        store.confirm("p-9-9", "why")


@pytest.mark.parametrize("verdict", [NO_CHANGE, CHANGE])
@pytest.mark.parametrize("when", ["before", "after"])
def test_what_was_said_of_a_change_holds_for_the_one_that_it_turns_out_to_be(store: Register, verdict: str, when: str) -> None:
    """Merged by date, there is one id from the start, and one verdict; merged late, the verdict follows the id that stands."""
    left, whole, right = (run((picture,), after) for picture, after in (
        ("22......", "2021-06-15"), ("22222...", "2022-06-15"), ("...22...", "2023-06-15")))  # fmt: skip
    expected = {NO_CHANGE: "rejected", CHANGE: "confirmed"}[verdict]
    store.merge([left])
    store.merge([right])
    first, second = store.changes()["change_id"]
    place, patch = store.last_patches([second])[second]
    review = Review(second, verdict, "Ana", "2026-05-12", run=place, patch=patch)
    if when == "before":
        store.review([review], NOON)
        assert states(store.changes()) == {first: "new", second: expected}
    store.merge([whole])
    if when == "after":
        store.review([review], NOON)
    assert states(store.changes()) == {first: expected, second: "withdrawn"}
    line = store.table(HISTORY)
    assert (line["who"] == "Ana").any()
    assert not store.confirm(first, "seen there").fresh if verdict == CHANGE else not store.reject(first, "harvest").fresh
    store.withdraw("run", "k-2020-06-15-2022-06-15", "haze")
    assert states(store.changes()) == {first: "new", second: expected}, "apart again, it holds for what it was said of"


def test_what_was_withdrawn_stays_withdrawn(store: Register) -> None:
    store.merge([run(PATCH, "2021-06-15", key="bad")])
    store.review([said(store, CHANGE)], NOON)
    store.withdraw("run", "bad", "haze")
    assert state(store)[0] == "withdrawn"


def test_of_one_day_the_verdict_recorded_last_counts() -> None:
    one, other = (Review("c", v, who, "2026-05-12") for v, who in ((CHANGE, "Ana"), (NO_CHANGE, "Ben")))
    assert deciding([one, other])["c"] is other
    assert deciding([other, one])["c"] is one


def test_a_verdict_is_known_unless_the_same_person_said_something_else_since() -> None:
    first, later = Review("c", CHANGE, "Ana", "2026-05-12"), Review("c", NO_CHANGE, "Ana", "2026-05-13")
    same_day = Review("c", NO_CHANGE, "Ana", "2026-05-12")
    assert is_known(first, [first])
    assert is_known(first, [first, later]), "an old copy of a file that was imported again says nothing new"
    assert not is_known(first, [first, same_day]), "changed, and changed back"
    assert not is_known(first, [Review("c", CHANGE, "Ben", "2026-05-12")])


def test_a_review_that_leaves_the_state_is_told_to_nobody_again(store: Register) -> None:
    store.merge([run(PATCH, "2021-06-15"), run(PATCH, "2022-06-15")])

    def alerts() -> list[object]:
        rules = [AlertRule("all", ("new", "confirmed"))]
        return [a.id for a in digest(rules, store.changes(), store.table(HISTORY), LEGEND)]

    before = alerts()
    store.review([said(store, CHANGE)], NOON)
    assert store.table(HISTORY)["event"].iloc[-1] == "reviewed"
    assert alerts() == before


def candidates(codes: list[int]) -> pd.DataFrame:
    n = len(codes)
    return pd.DataFrame({"change_id": [f"c{k:04d}" for k in range(n)], "change_code": codes,
                         "area_ha": np.arange(n, dtype=float), "change_probability": np.linspace(0.9, 0.1, n)})  # fmt: skip


def test_what_is_given_out_and_in_which_order() -> None:
    frame = candidates([2, 2, 2, 3, 3, 5])
    assert choose(frame, "largest", 2)[0].tolist() == [5, 4]
    assert choose(frame, "least-probable", 2)[0].tolist() == [5, 4]
    assert choose(frame.assign(change_probability=[0.5, np.nan, 0.1, 0.9, 0.8, 0.7]), "least-probable", 6)[0].tolist()[-1] == 1
    drawn, strata = choose(frame, "random", 4, seed=1)
    assert len(set(drawn.tolist())) == 4
    assert choose(frame, "random", 4, seed=1)[0].tolist() == drawn.tolist()
    assert choose(frame, "random", 2, seed=1)[0].tolist() == drawn.tolist()[:2], "whoever stops early has a sample as well"
    assert [(s.code, s.population) for s in strata] == [(2, 3), (3, 2), (5, 1)]
    assert sum(s.drawn for s in strata) == 4


def test_every_change_is_as_likely_to_be_drawn() -> None:
    frame = candidates([2] * 9 + [3])
    hits = np.bincount(np.concatenate([choose(frame, "random", 3, seed=s)[0] for s in range(2000)]), minlength=10)
    # Binomial with p = 0.3: five standard deviations are 102.
    assert np.abs(hits - 600).max() < 102


def test_by_kind_the_rare_ones_are_drawn_as_well() -> None:
    frame = candidates([2] * 500 + [3] * 20)
    drawn, strata = choose(frame, "random-by-kind", 60)
    assert len(drawn) == len(set(drawn.tolist())) == 60
    assert [s.drawn for s in strata] == [45, 15]
    assert [s.drawn for s in choose(frame, "random-by-kind", 1000)[1]] == [500, 20]
    with pytest.raises(InputError, match="2 kinds of change"):
        choose(frame, "random-by-kind", 3)


def drawing(ranking: str, *kinds: tuple[int, int, int]) -> Drawing:
    """A drawing of kinds: code, population, drawn."""
    items = [Drawn(f"{code}-{k}", code, "run", k) for code, _, drawn in kinds for k in range(drawn)]
    return Drawing("key", None, ranking, 0, ("new",), tuple(Stratum(*k) for k in kinds), tuple(items), "2026-05-01")


def verdicts(**of_kind: str) -> list[Review]:
    """Verdicts by the first letter: c(hange), n(ot), o(ther class), u(ntold), for `k2="ccn"` the changes 2-0, 2-1 and 2-2."""
    words = {"c": CHANGE, "n": NO_CHANGE, "o": OTHER_CLASS, "u": UNTOLD}
    return [
        Review(f"{kind[1:]}-{k}", words[letter], "Ana", "2026-05-12", drawing="key")
        for kind, letters in of_kind.items()
        for k, letter in enumerate(letters)
    ]


def test_a_simple_random_sample_estimates_all() -> None:
    found = precision_of(drawing("random", (2, 9000, 9), (3, 1000, 3)), verdicts(k2="ccccccnnu", k3="con"), LEGEND)
    total = found.total
    assert (total.judged, total.untold, total.drawn, total.population) == (11, 1, 12, 10000)
    assert (total.right.estimate, total.changed.estimate) == (7 / 11, 8 / 11)
    low, high = wilson_limits(np.array(7), np.array(11))
    # The population correction is a thousandth here.
    assert (total.right.low, total.right.high) == (pytest.approx(low, abs=1e-3), pytest.approx(high, abs=1e-3))
    assert [(k.name, k.judged, k.right.estimate) for k in found.kinds] == [
        ("Forest to Cropland", 8, 0.75), ("Forest to Water", 3, pytest.approx(1 / 3))]  # fmt: skip


def test_kinds_are_weighted_by_how_many_changes_they_have() -> None:
    found = precision_of(drawing("random-by-kind", (2, 900, 4), (3, 100, 4)), verdicts(k2="cccn", k3="cnnn"), LEGEND)
    assert found.total.right.estimate == pytest.approx(0.9 * 0.75 + 0.1 * 0.25)
    assert found.total.right.low is not None
    assert found.total.right.high is not None
    assert found.total.right.low < 0.7 < found.total.right.high
    untouched = precision_of(drawing("random-by-kind", (2, 900, 4), (3, 100, 4)), verdicts(k2="cccn"), LEGEND)
    assert untouched.total.right.estimate is None, "of one kind nothing is known"
    assert untouched.kinds[0].right.estimate == 0.75


def test_what_was_judged_whole_is_known_for_certain() -> None:
    share = precision_of(drawing("random", (2, 4, 4)), verdicts(k2="cccn"), LEGEND).total.right
    assert (share.low, share.estimate, share.high) == (0.75, 0.75, 0.75)


def test_the_largest_say_nothing_about_all() -> None:
    found = precision_of(drawing("largest", (2, 900, 4)), verdicts(k2="cccn"), LEGEND)
    assert not found.estimates_all
    assert (found.total.right.estimate, found.total.right.low, found.total.right.high) == (0.75, None, None)


def test_what_was_judged_for_another_reason_is_not_taken() -> None:
    reviews = [*verdicts(k2="cc"), Review("2-2", NO_CHANGE, "Ben", "2026-05-12")]
    assert precision_of(drawing("random", (2, 90, 4)), reviews, LEGEND).total.judged == 2
    later = [*verdicts(k2="cc"), Review("2-1", NO_CHANGE, "Ben", "2026-05-13")]
    assert precision_of(drawing("random", (2, 90, 4)), later, LEGEND).total.right.estimate == 0.5


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    rng, hits = np.random.default_rng(5), 0
    truth = {2: 0.9, 3: 0.5}
    whole = 0.8 * 0.9 + 0.2 * 0.5
    for _ in range(400):
        letters = {f"k{c}": "".join(rng.choice(["c", "n"], 40, p=[p, 1 - p])) for c, p in truth.items()}
        share = precision_of(
            drawing("random-by-kind", (2, 80_000, 40), (3, 20_000, 40)), verdicts(**letters), LEGEND
        ).total.right
        assert share.low is not None
        assert share.high is not None
        hits += share.low <= whole <= share.high
    assert 0.92 <= hits / 400 <= 0.985


def test_polygons_are_those_that_runs_saw(store: Register) -> None:
    store.merge([run(PATCH, "2021-06-15")])
    name = only(store)["change_id"]
    first = store.last_patches([name])[name]
    store.merge([run(("........", ".222....", ".222....", "........"), "2022-06-15")])
    last = store.last_patches([name])[name]
    found = store.polygons([last, first])
    assert shapely.area(found).tolist() == [600, 400]
