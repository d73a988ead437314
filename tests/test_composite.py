"""A pixel that any scene saw is seen in the composite, and comes from the scene that saw most."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from landshift.pipeline.epochs.compose import compose
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid, grid_of
from landshift.pipeline.raster.read import inspect, read_raster
from landshift.pipeline.raster.write import write_raster
from landshift.pipeline.scenes.image import read_scene
from landshift.pipeline.scenes.look import require_overlap, require_plausible
from landshift.pipeline.scenes.scene import Epoch, Scene, Source
from landshift.pipeline.scenes.sensors import Sensor, custom_sensor, sensor_named
from landshift.pipeline.tiles import Window

CRS = "EPSG:32651"
COUNTS = custom_sensor(["red"], scale=1, offset=0, nodata=0, units="numbers")
NONE = custom_sensor(["red"], scale=1, offset=0, nodata=None, units="numbers")
NAN = np.nan


def grid(height: int, width: int, size: float = 10, dx: float = 0, dy: float = 0) -> Grid:
    return grid_of(Affine(size, 0, 300_000 + dx, 0, -size, 3_600_000 + dy), (height, width), CRS)


def scene(
    folder: Path, day: int, numbers: np.ndarray, sensor: Sensor = COUNTS, quality: np.ndarray | None = None, **more: float
) -> Scene:
    numbers = numbers[np.newaxis] if numbers.ndim == 2 else numbers
    on = grid(*numbers.shape[1:], **more)
    path = write_raster(folder / f"{day}.tif", numbers, on)
    names = [b.name for b in sensor.bands][: len(numbers)]
    bands = {n: Source(path, i) for i, n in enumerate(names, start=1)}
    seen = None if quality is None else Source(write_raster(folder / f"{day}_q.tif", quality, on), 1)
    return Scene(str(day), date(2020, 6, day), sensor, bands, seen, on, 0)


def composite(folder: Path, on: Grid, *scenes: Scene) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    epoch = Epoch("before", date(2020, 6, 1), date(2020, 6, 30), scenes)
    share = compose(epoch, list(scenes[0].bands)[:1], on, folder / "image.tif", folder / "seen.tif")
    seen = folder / "seen.tif"
    return read_raster(folder / "image.tif")[0], read_raster(seen)[0], read_raster(seen, 2)[0], share


def day(number: int) -> int:
    return (date(2020, 6, number) - date(1970, 1, 1)).days


def test_the_most_observed_scene_comes_first(tmp_path: Path) -> None:
    few = scene(tmp_path, 1, np.array([[1, 1, 0, 0]], np.uint16))
    most = scene(tmp_path, 2, np.array([[0, 2, 2, 2]], np.uint16))
    image, count, days, share = composite(tmp_path, grid(1, 4), few, most)
    assert image.tolist() == [[1, 2, 2, 2]]
    assert count.tolist() == [[1, 2, 1, 1]]
    assert days.tolist() == [[day(1), day(2), day(2), day(2)]]
    assert share == 1


def test_what_nobody_saw_is_nan(tmp_path: Path) -> None:
    image, count, days, share = composite(tmp_path, grid(2, 2), scene(tmp_path, 1, np.array([[5, 0], [0, 0]], np.uint16)))
    np.testing.assert_array_equal(image, [[5, NAN], [NAN, NAN]])
    assert count.tolist() == [[1, -1], [-1, -1]]
    assert days.tolist() == [[day(1), -1], [-1, -1]]
    assert share == 0.25


NUMBERS = st.lists(arrays(np.uint16, (3, 4), elements=st.integers(0, 3)), min_size=1, max_size=3)


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(NUMBERS.filter(lambda scenes: any(s.any() for s in scenes)))
def test_seen_in_one_scene_is_seen_in_the_composite(tmp_path: Path, numbers: list[np.ndarray]) -> None:
    image, count, days, share = composite(
        tmp_path, grid(3, 4), *(scene(tmp_path, i, n) for i, n in enumerate(numbers, start=1))
    )
    seen = np.stack(numbers) > 0
    np.testing.assert_array_equal(np.isfinite(image), seen.any(axis=0))
    np.testing.assert_array_equal(count, np.where(seen.any(axis=0), seen.sum(axis=0), -1))
    assert share == pytest.approx(seen.any(axis=0).mean())
    for i, n in enumerate(numbers, start=1):
        used = days == day(i)
        np.testing.assert_array_equal(image[used], n[used])
        better = [s for s in numbers if (s > 0).sum() > (n > 0).sum()]
        assert not any((b[used] > 0).any() for b in better)
    first = max(range(len(numbers)), key=lambda i: ((numbers[i] > 0).sum(), -i))
    assert (days[numbers[first] > 0] == day(first + 1)).all()


def test_strips_are_seamless(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).integers(1, 60_000, (1100, 3)).astype(np.uint16)
    shares: list[float] = []
    one = scene(tmp_path, 1, numbers)
    epoch = Epoch("before", date(2020, 6, 1), date(2020, 6, 30), (one,))
    compose(epoch, ["red"], one.grid, tmp_path / "image.tif", tmp_path / "seen.tif", shares.append)
    np.testing.assert_array_equal(read_raster(tmp_path / "image.tif")[0], numbers)
    assert shares == pytest.approx([1 / 3, 2 / 3, 1])


def test_the_image_says_what_it_is(tmp_path: Path) -> None:
    one = scene(tmp_path, 1, np.array([[1, 2]], np.uint16))
    composite(tmp_path, one.grid, one)
    info = inspect(tmp_path / "image.tif")
    assert info.descriptions == ("red",)
    assert (info.tags["DATES"], info.tags["UNITS"]) == ("2020-06-01", "numbers")
    assert inspect(tmp_path / "seen.tif").descriptions == ("observation_count", "observation_day")


def test_a_pixel_is_seen_in_all_bands_or_in_none(tmp_path: Path) -> None:
    two = custom_sensor(["red", "nir"], scale=1, offset=0, nodata=0, units="numbers")
    one = scene(tmp_path, 1, np.array([[[1, 0, 3]], [[4, 5, 0]]], np.uint16), two)
    values = read_scene(one, ["nir", "red"], one.grid, Window(0, 0, 1, 3))
    np.testing.assert_array_equal(values, [[[4, NAN, NAN]], [[1, NAN, NAN]]])


def test_clouds_are_not_seen(tmp_path: Path) -> None:
    codes = np.array([[4, 9, 8, 3, 5, 0]], np.uint8)
    one = scene(tmp_path, 1, np.full((1, 6), 2000, np.uint16), sensor_named("sentinel-2-l2a"), codes)
    values = read_scene(one, ["coastal"], one.grid, Window(0, 0, 1, 6))
    assert np.isfinite(values[0, 0]).tolist() == [True, False, False, False, True, False]


@pytest.mark.parametrize("sensor", [NONE, custom_sensor(["red"], scale=1, offset=0, nodata=float("nan"), units="numbers")])
def test_past_the_edge_of_a_file_nothing_was_seen(tmp_path: Path, sensor: Sensor) -> None:
    """0 is a measurement here, so only the file's own extent can tell."""
    one = scene(tmp_path, 1, np.array([[0, 7], [0, 7]], np.float32), sensor)
    image, _, _, share = composite(tmp_path, grid(2, 4, dx=-10), one)
    np.testing.assert_array_equal(image, [[NAN, 0, 7, NAN]] * 2)
    assert share == 0.5


def test_a_scene_elsewhere(tmp_path: Path) -> None:
    one = scene(tmp_path, 1, np.ones((2, 2), np.uint16))
    require_overlap(one, grid(2, 2, dx=10))
    with pytest.raises(InputError, match=r"1.tif does not overlap the region's grid \(x 300020 to 300040, .* in EPSG:32651\)"):
        require_overlap(one, grid(2, 2, dx=20))
    with pytest.raises(InputError, match="does not overlap"):
        composite(tmp_path, grid(2, 2, dx=20), one)


def test_an_epoch_that_saw_nothing_leaves_nothing(tmp_path: Path) -> None:
    one = scene(tmp_path, 1, np.zeros((2, 2), np.uint16))
    with pytest.raises(InputError, match=r"Epoch before \(2020-06-01\): no pixel was observed.*`sensor: nodata:`.*1.tif"):
        composite(tmp_path, one.grid, one)
    assert [p.name for p in tmp_path.iterdir()] == ["1.tif"]


@pytest.mark.parametrize("shape", [(300, 300), (1, 700), (700, 1), (5, 5)])
@pytest.mark.parametrize(
    ("scale", "units", "fine"),
    [(1e-4, "reflectance", True), (1, "reflectance", False), (-1e-2, "reflectance", False), (1, "numbers", True)],
)
def test_values_that_are_no_reflectance(tmp_path: Path, shape: tuple[int, int], scale: float, units: str, fine: bool) -> None:
    sensor = custom_sensor(["red"], scale=scale, offset=0, nodata=0, units=units)
    one = scene(tmp_path, 1, np.full(shape, 1500, np.uint16), sensor)
    if fine:
        require_plausible(one, ["red"], one.grid)
    else:
        with pytest.raises(InputError, match=r"1.tif, band red: the median is .* no reflectance .*Correct `sensor: scale:`"):
            require_plausible(one, ["red"], one.grid)


def test_one_dark_pixel_does_not_speak_for_a_strip(tmp_path: Path) -> None:
    """A raster one pixel high is looked at along its length."""
    numbers = np.full((1, 500), 1500, np.uint16)
    numbers[0, [0, 249, 250, 499]] = 60_000
    one = scene(tmp_path, 1, numbers, custom_sensor(["red"], scale=1e-4, offset=0, nodata=0, units="reflectance"))
    require_plausible(one, ["red"], one.grid)
