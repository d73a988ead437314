"""Scenes and epochs are plain metadata; tiles of one pass are one acquisition, another pass on the same day is another."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from landshift.pipeline.grid import grid_of
from landshift.pipeline.scenes.scene import Epoch, Scene, Source, acquisitions
from landshift.pipeline.scenes.sensors import sensor_named

GRID = grid_of(Affine(10, 0, 300_000, 0, -10, 3_600_000), (4, 6), "EPSG:32651")


def scene(day: int, bands: dict[str, Source] | None = None, quality: Source | None = None) -> Scene:
    return Scene(f"scene {day}", date(2020, 6, day), sensor_named("sentinel-2-l2a"), bands or {}, quality, GRID, 0)


def test_each_file_is_listed_once_in_order() -> None:
    a, b, q = Path("a.tif"), Path("b.tif"), Path("q.tif")
    bands = {"red": Source(b, 1), "nir": Source(a, 1), "blue": Source(b, 2)}
    assert scene(1, bands, Source(q, 1)).paths == (b, a, q)
    assert scene(1, bands).paths == (b, a)


def test_the_day_of_an_epoch_is_the_middle_one_of_its_scenes() -> None:
    def middle(*days: int) -> int:
        return Epoch("before", date(2020, 6, 1), date(2020, 6, 30), tuple(scene(d) for d in days)).date.day

    assert middle(9) == 9
    assert middle(1, 30) == 1
    assert middle(2, 3, 30) == 3
    assert middle(30, 2, 3) == 3


def dated(name: str, when: str, platform: str = "", sensor: str = "sentinel-2-l2a") -> Scene:
    """`when` is a day, or a day with a time."""
    acquired = datetime.fromisoformat(when).replace(tzinfo=UTC) if "T" in when else None
    day = date.fromisoformat(when[:10])
    return Scene(name, day, sensor_named(sensor), {}, None, GRID, 0, None, acquired, platform)


@pytest.mark.parametrize(
    ("scenes", "groups"),
    [
        # A folder knows days only.
        ([("a", "2020-06-01"), ("b", "2020-06-01"), ("c", "2020-06-02")], ["ab", "c"]),
        ([("a", "2020-06-01"), ("b", "2020-06-01", "", "landsat-c2-l2-oli")], ["a", "b"]),
        # Tiles of one pass lie seconds apart; far north the next pass of the same day sees the place again.
        ([("a", "2020-06-01T10:00:00", "s2a"), ("b", "2020-06-01T10:00:14", "S2A")], ["ab"]),
        ([("a", "2020-06-01T10:00:00", "s2a"), ("b", "2020-06-01T11:40:00", "s2a")], ["a", "b"]),
        ([("a", "2020-06-01T10:00:00", "s2a"), ("b", "2020-06-01T10:00:14", "s2b")], ["a", "b"]),
        # A pass over midnight, of which the day of its first tile is told.
        ([("a", "2020-06-02T00:00:03", "s2a"), ("b", "2020-06-01T23:59:58", "s2a")], ["ba"]),
        # A long strip of tiles is one pass, though its ends lie further apart than two of its tiles.
        ([(n, f"2020-06-01T10:{m:02}:00", "s2a") for n, m in (("a", 0), ("b", 20), ("c", 40))], ["abc"]),
    ],
)
def test_acquisitions(scenes: list[Any], groups: list[str]) -> None:
    assert ["".join(s.id for s in group) for group in acquisitions(dated(*given) for given in scenes)] == groups


@given(st.permutations([("a", "2020-06-01"), ("b", "2020-06-01T10:00:00"), ("c", "2020-06-01"), ("d", "2020-05-01")]))
def test_the_order_does_not_matter(order: list[tuple[str, str]]) -> None:
    groups = acquisitions(dated(*given) for given in order)
    assert ["".join(s.id for s in group) for group in groups] == ["d", "ac", "b"]
