"""Scenes and epochs are plain metadata."""

from datetime import date
from pathlib import Path

from affine import Affine

from landshift.pipeline.grid import grid_of
from landshift.pipeline.scenes.scene import Epoch, Scene, Source
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
