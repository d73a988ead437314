"""A season is the same part of every year, over New Year and in leap years too."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landshift.flows.config.project import Project
from landshift.flows.config.sections import MonitorConfig
from landshift.flows.steps.inspection.scenes import list_scenes
from landshift.flows.steps.monitoring.pairs import pair_workspace, pairs_of, scenes_used
from landshift.flows.steps.project.finding import find_scenes
from landshift.flows.steps.project.plan import plan, sensor_of
from landshift.pipeline.errors import InputError
from landshift.pipeline.scenes.season import Season, month_and_day
from tests.conftest import Territory


def season(first: str, last: str) -> Season:
    return Season(month_and_day(first), month_and_day(last))


@pytest.mark.parametrize(
    ("first", "last", "inside", "beyond"),
    [
        ("06-01", "08-31", ["2019-06-01", "2020-07-04", "2021-08-31"], ["2019-05-31", "2021-09-01", "2020-01-01"]),
        (
            "11-01",
            "02-28",
            ["2019-11-01", "2019-12-31", "2020-01-01", "2020-02-28"],
            ["2020-02-29", "2020-10-31", "2020-03-01"],
        ),
        ("11-01", "02-29", ["2020-02-29", "2021-02-28"], ["2021-03-01"]),
        ("02-29", "03-10", ["2020-02-29", "2021-03-01"], ["2021-02-28"]),
        ("07-01", "07-01", ["2020-07-01"], ["2020-06-30", "2020-07-02"]),
        ("07-02", "07-01", ["2020-07-01", "2020-07-02", "2020-12-31"], []),
    ],
)
def test_seasons(first: str, last: str, inside: list[str], beyond: list[str]) -> None:
    assert all(season(first, last).holds(date.fromisoformat(day)) for day in inside)
    assert not any(season(first, last).holds(date.fromisoformat(day)) for day in beyond)


DAYS = st.dates(date(2000, 1, 1), date(2000, 12, 31)).map(lambda day: f"{day:%m-%d}")


@given(DAYS, DAYS, st.dates(date(1950, 1, 1), date(2080, 1, 1)), st.integers(0, 500))
def test_every_day_is_in_a_season_or_in_its_rest(first: str, last: str, day: date, more: int) -> None:
    end = date(2001, *month_and_day(last)) if last != "02-29" else date(2001, 2, 28)
    one = season(first, last)
    if (following := f"{end + timedelta(1):%m-%d}") != first and first != "02-29" and last not in ("02-28", "02-29"):
        before = date(2001, *month_and_day(first)) - timedelta(1)
        assert one.holds(day) != season(following, f"{before:%m-%d}" if f"{before:%m-%d}" != "02-28" else "02-29").holds(day)
    window = [day + timedelta(n) for n in range(more + 1)]
    assert one.meets(day, window[-1]) == any(one.holds(d) for d in window)


@pytest.mark.parametrize("text", ["6-1", "06-31", "13-01", "0601", "02-30", "", "06-01-01", "00-01"])
def test_what_is_no_day(text: str) -> None:
    with pytest.raises(ValueError, match=r"such as \"06-01\""):
        month_and_day(text)


@pytest.fixture
def years(territory: Territory) -> Territory:
    """Summers and winters of two years each."""
    for name in territory.names:
        (territory.data / name).unlink()
    for seed, day in enumerate(("20180110", "20180615", "20190712", "20190901", "20220620", "20221224", "20230715")):
        territory.write(f"place_{day}.tif", seed=seed)
    territory.config["epochs"] = {
        "before": {"start": "2018-01-01", "end": "2019-12-31"}, "after": {"start": "2022-01-01", "end": "2023-12-31"},
        "season": {"first": "06-01", "last": "08-31"},
    }  # fmt: skip
    return territory


def test_epochs_of_several_years_take_one_season(years: Territory) -> None:
    made = years.plan()
    assert [[s.id[6:] for s in e.scenes] for e in made.epochs] == [["20180615", "20190712"], ["20220620", "20230715"]]
    years.config["epochs"]["season"] = {"first": "12-01", "last": "01-31"}
    assert [[s.id[6:] for s in e.scenes] for e in years.plan().epochs] == [["20180110"], ["20221224"]]


def test_the_list_says_what_lies_outside_the_season(years: Territory) -> None:
    scenes = {s["id"][6:]: s["epochs"] for s in list_scenes(years.workspace())[0]["scenes"]}
    assert scenes["20180615"]["before"] == {"used": True, "reason": ""}
    assert scenes["20190901"]["before"] == {"used": False, "reason": "outside the season (06-01 to 08-31)"}
    assert scenes["20190901"]["after"]["reason"] == "outside the date range (2022-01-01 to 2023-12-31)"
    for epoch in years.plan().epochs:
        assert {s.id[6:] for s in epoch.scenes} == {day for day, e in scenes.items() if e[epoch.name]["used"]}


def test_a_season_without_scenes_says_what_there_is(years: Territory) -> None:
    years.config["epochs"]["season"] = {"first": "03-01", "last": "05-31"}
    with pytest.raises(
        InputError, match=r"epoch before lies in the season .03-01 to 05-31.*has 2018-01-10, 2018-06-15,.*Widen"
    ):
        years.plan()
    assert "lies in the season" in list_scenes(years.workspace())[0]["problems"][0]


def test_the_monitor_pairs_the_season_alone_and_keeps_the_rule(years: Territory) -> None:
    years.config["epochs"] |= {"after": {"start": "2022-01-01", "end": "2022-12-31"}, "composite": "median"}
    years.config["monitor"] = {"period_days": 365}
    ws = years.workspace()
    findings = find_scenes(ws, sensor_of(ws.project.sensor), tolerant=True)
    daily = pairs_of(years.workspace().project.model_copy(update={"monitor": MonitorConfig()}), findings, date(2025, 1, 1))
    assert [str(pair.after) for pair in daily.pairs] == ["2022-06-20", "2023-07-15"]
    pair = pairs_of(ws.project, findings, date(2025, 1, 1)).pairs[0]
    theirs = pair_workspace(ws, pair, years.data)
    assert theirs.project.dates.composite == "median"
    assert [s.id[6:] for s in plan(theirs).after.scenes] == ["20220620"], "the winter is left out"
    before = scenes_used(pair, findings, ws.project.dates.part_of_year)
    assert [name for name, *_ in before] == ["place_20180615", "place_20190712", "place_20220620"]


@pytest.mark.parametrize(
    ("epochs", "message"),
    [
        ({"season": {"first": "6-1", "last": "08-31"}}, 'two digits each, such as "06-01"'),
        ({"season": {"first": "06-01"}}, "last"),
        ({"before": {"start": "2019-10-01", "end": "2019-12-31"}}, "no day of before .* lies in the season .06-01 to 08-31"),
    ],
)
def test_seasons_that_cannot_be(years: Territory, epochs: dict[str, object], message: str) -> None:
    years.config["epochs"] |= epochs
    with pytest.raises(ValueError, match=message):
        Project.model_validate(years.config)
