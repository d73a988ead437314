"""What a file marks as not observed is not observed, whichever way it does so; and masks grow where values are resampled."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.enums import ColorInterp

from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid, grid_of
from landshift.pipeline.raster.bands import read_bands
from landshift.pipeline.raster.masks import grow
from landshift.pipeline.raster.place import place_hash
from landshift.pipeline.raster.read import inspect
from landshift.pipeline.raster.write import write_raster
from landshift.pipeline.scenes.folder import FolderReading, scenes_in
from landshift.pipeline.scenes.look import read_scene
from landshift.pipeline.scenes.products.scenes import Declared
from landshift.pipeline.scenes.scene import Scene, Source
from landshift.pipeline.scenes.sensors import Sensor, custom_sensor, sensor_named
from landshift.pipeline.tiles import Window
from tests.conftest import Territory

UTM = "EPSG:32651"
PICTURE = ["........", ".##.....", ".##.....", "........", ".....#..", "........"]
"""`#` is not observed."""
HOLES = np.array([[c == "#" for c in row] for row in PICTURE])
LAND, HOLE = 100, 250
WORN = settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])


def grid(*, dx: float = 0, dy: float = 0, size: float = 10, shape: tuple[int, int] = HOLES.shape) -> Grid:
    return grid_of(Affine(size, 0, 300_000 + dx, 0, -size, 3_600_000 - dy), shape, UTM)


def whole(of: Grid) -> Window:
    return Window(0, 0, *of.shape.yx)


def write(path: Path, holes: np.ndarray = HOLES, *, kind: str = "internal", dtype: str = "uint8", bands: int = 1) -> Path:
    """Write a picture of land, the holes of which hold bright numbers and are marked in one way alone."""
    data = np.full((bands, *holes.shape), LAND, dtype=dtype)
    numbers: dict[str, float] = {"nodata": 7, "nodata nan": np.nan, "nodata -inf": -np.inf, "nan": np.nan, "inf": np.inf}
    data[:, holes] = numbers.get(kind, HOLE)
    extra = {"alpha": 1, "dataMask": 1}.get(kind, 0)
    profile: dict[str, Any] = {
        "driver": "GTiff", "height": holes.shape[0], "width": holes.shape[1], "count": bands + extra, "dtype": dtype,
        "crs": UTM, "transform": grid().transform, "nodata": numbers.get(kind) if kind.startswith("nodata") else None,
    }  # fmt: skip
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=kind == "internal"), rasterio.open(path, "w", **profile) as target:
        target.write(data, list(range(1, bands + 1)))
        if extra:
            target.write(np.where(holes, 0, 255 if kind == "alpha" else 1).astype(dtype), bands + 1)
            if kind == "alpha":
                target.colorinterp = [ColorInterp.gray] * bands + [ColorInterp.alpha]
            else:
                target.set_band_description(bands + 1, "dataMask")
        if kind in ("internal", "msk"):
            target.write_mask(np.where(holes, 0, 255).astype(np.uint8))
    return path


KINDS = [
    ("internal", "uint8"), ("msk", "uint8"), ("alpha", "uint8"), ("dataMask", "uint8"), ("nodata", "uint8"), ("nan", "float32"),
    ("inf", "float32"), ("nodata nan", "float32"), ("nodata -inf", "float32"), ("msk", "float64"), ("internal", "int16"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "dtype"), KINDS)
def test_what_a_file_marks_is_not_observed(tmp_path: Path, kind: str, dtype: str) -> None:
    path = write(tmp_path / "a.tif", kind=kind, dtype=dtype)
    found = read_bands(path, [1], grid(), whole(grid()))
    np.testing.assert_array_equal(found.seen, ~HOLES)
    assert (found.numbers[0][found.seen] == LAND).all()
    assert found.resampled_from is None
    info = inspect(path)
    assert info.masked == (kind in ("internal", "msk"))
    assert info.alpha == ((2,) if kind in ("alpha", "dataMask") else ())
    assert info.spectral == (1,)


@pytest.mark.parametrize(("kind", "dtype"), KINDS)
@pytest.mark.parametrize("shift", [(5, 0), (0, 5), (3, -4), (10, 20), (1, 1)])
def test_a_hole_lends_its_numbers_to_no_neighbour(tmp_path: Path, kind: str, dtype: str, shift: tuple[int, int]) -> None:
    path = write(tmp_path / "a.tif", kind=kind, dtype=dtype)
    there = grid(dx=shift[1], dy=shift[0])
    found = read_bands(path, [1], there, whole(there), resampling="bilinear")
    assert found.seen.any()
    np.testing.assert_allclose(found.numbers[0][found.seen], LAND, rtol=1e-6)


def test_a_centre_on_the_edge_of_a_file_is_not_observed(tmp_path: Path) -> None:
    """Six rows of 10 m end where the fifth row of 12 m, begun 6 m further down, has its centres."""
    path = write(tmp_path / "a.tif")
    there = grid(dy=6, size=12, shape=(7, 9))
    found = read_bands(path, [1], there, whole(there), resampling="bilinear")
    assert found.seen[3].any()
    assert not found.seen[4:].any()


@WORN
@given(st.sampled_from(KINDS), st.integers(-40, 40), st.integers(-40, 40), st.sampled_from([3, 5, 8, 12, 20, 25]), st.data())
def test_no_hole_is_observed_whatever_the_grid(
    tmp_path: Path, kind: tuple[str, str], dy: int, dx: int, size: float, data: st.DataObject
) -> None:
    """Past the edge nothing is observed either, and a window is the same part of the whole."""
    path = write(tmp_path / "a.tif", kind=kind[0], dtype=kind[1])
    there = grid(dx=dx, dy=dy, size=size, shape=(7, 9))
    found = read_bands(path, [1], there, whole(there), resampling="bilinear")
    np.testing.assert_allclose(found.numbers[0][found.seen], LAND, rtol=1e-6)
    for y, x in np.argwhere(found.seen):
        east, south = dx + size * (x + 0.5), dy + size * (y + 0.5)
        assert 0 <= east <= 80
        assert 0 <= south <= 60
        assert not HOLES[min(int(south // 10), 5), min(int(east // 10), 7)]
    window = Window(data.draw(st.integers(0, 4)), data.draw(st.integers(0, 5)), 3, 4)
    part = read_bands(path, [1], there, window, resampling="bilinear")
    np.testing.assert_array_equal(part.seen, found.seen[window.slices])
    np.testing.assert_array_equal(part.numbers[0][part.seen], found.numbers[0][window.slices][part.seen])


def test_alpha_counts_only_where_another_band_is_left(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", np.zeros(HOLES.shape, np.uint8), grid(), descriptions=("dataMask",))
    assert inspect(path).alpha == ()
    assert read_bands(path, [1], grid(), whole(grid())).seen.all()


def test_a_mask_file_of_another_size(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", kind="msk")
    write_raster(tmp_path / "a.tif.msk", np.zeros((3, 3), np.uint8), grid(shape=(3, 3)))
    with pytest.raises(InputError, match=r"a.tif.msk has 3 x 3 pixels, its raster 6 x 8"):
        inspect(path)


def test_a_mask_file_that_is_none(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", kind="msk")
    (tmp_path / "a.tif.msk").write_text("<VRTDataset/>")
    with pytest.raises(InputError, match=r"a.tif.msk is neither a GeoTIFF nor"):
        inspect(path)


def test_a_mask_file_that_points_elsewhere(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", kind="msk")
    (tmp_path / "elsewhere").mkdir()
    beside = tmp_path / "a.tif.msk"
    beside.symlink_to(beside.rename(tmp_path / "elsewhere" / "b.msk"))
    with pytest.raises(InputError, match=r"a.tif.msk points to .*elsewhere.*copy it there"):
        inspect(path)


def test_no_other_file_beside_is_followed(tmp_path: Path) -> None:
    """An overview file with other pixels, and metadata with another nodata."""
    path = write(tmp_path / "a.tif", kind="nodata")
    path.with_name("a.tif.aux.xml").write_text(
        '<PAMDataset><PAMRasterBand band="1"><NoDataValue>100</NoDataValue></PAMRasterBand></PAMDataset>'
    )
    assert inspect(path).nodatas == (7,)
    np.testing.assert_array_equal(read_bands(path, [1], grid(), whole(grid())).seen, ~HOLES)


def test_another_mask_is_another_input(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", kind="msk")
    first = place_hash(path)
    content = (tmp_path / "a.tif.msk").read_bytes()
    write(path, np.roll(HOLES, 1), kind="msk")
    assert place_hash(path) != first
    (tmp_path / "a.tif.msk").unlink()
    write(path, kind="msk")
    (tmp_path / "a.tif.msk").write_bytes(content)
    assert place_hash(path) == first


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (0, ["....", ".#..", "....", "...."]),
        (1, ["###.", "###.", "###.", "...."]),
        (2, ["####", "####", "####", "####"]),
        (9, ["####", "####", "####", "####"]),
    ],
)
def test_growing(pixels: int, expected: list[str]) -> None:
    marked = np.zeros((4, 4), dtype=bool)
    marked[1, 1] = True
    found = grow(marked, pixels)
    assert ["".join(".#"[v] for v in row) for row in found.astype(int)] == expected
    assert marked.sum() == 1


CLOUD, GROUND = 0.9, 0.1


def cloudy_scene(folder: Path, clouds: np.ndarray, *, rule: str = "SCL", size: float = 10, mask_size: float = 10) -> Scene:
    """Ground of 0.1, clouds of 0.9, and a quality band of pixels of `mask_size` that marks exactly them."""
    values = np.where(clouds, CLOUD, GROUND).astype(np.float32)
    image = write_raster(folder / "image.tif", values, grid(size=size, shape=clouds.shape))
    each = round(size / mask_size)
    codes = np.kron(np.where(clouds, 9, 4), np.ones((each, each))).astype(np.uint8) if each else np.where(
        clouds[:: round(mask_size / size), :: round(mask_size / size)], 9, 4
    ).astype(np.uint8)  # fmt: skip
    quality = write_raster(folder / "quality.tif", codes, grid(size=mask_size, shape=codes.shape))
    sensor = Sensor("made", sensor_named("sentinel-2-l2a").bands, nodata=None, quality=rule)
    return Scene(
        "a", date(2020, 6, 1), sensor, {"red": Source(image, 1)}, Source(quality, 1), inspect(image).grid, number_offset=0
    )


def seen_on(scene: Scene, there: Grid) -> np.ndarray:
    values = read_scene(scene, ["red"], there, whole(there))[0]
    return values[np.isfinite(values)]


def test_half_a_pixel_aside_no_cloud_is_mixed_into_the_ground(tmp_path: Path) -> None:
    clouds = np.zeros((12, 12), dtype=bool)
    clouds[4:6, 3:7] = True
    scene = cloudy_scene(tmp_path, clouds)
    own = read_scene(scene, ["red"], scene.grid, whole(scene.grid))[0]
    np.testing.assert_array_equal(np.isnan(own), clouds)
    there = grid(dx=5, dy=5, shape=(12, 12))
    seen = seen_on(scene, there)
    assert seen.max() == pytest.approx(GROUND)
    # The last row and column of the grid lie on the file's edge or past it; around the cloud one pixel goes.
    assert 11 * 11 - 4 * 6 <= seen.size <= 12 * 12 - 4 * 6


@WORN
@given(
    st.integers(0, 2**31), st.floats(-30, 30), st.floats(-30, 30), st.sampled_from([4.0, 5.0, 7.0, 10.0, 13.0, 20.0, 33.0]),
    st.sampled_from([10, 5, 20]),
)  # fmt: skip
def test_no_cloud_is_mixed_in_whatever_the_grids(
    tmp_path: Path, seed: int, dx: float, dy: float, size: float, mask_size: float
) -> None:
    clouds = np.kron(np.random.default_rng(seed).random((10, 10)) < 0.08, np.ones((2, 2), dtype=bool)).astype(bool)
    scene = cloudy_scene(tmp_path, clouds, mask_size=mask_size)
    seen = seen_on(scene, grid(dx=dx, dy=dy, size=size, shape=(24, 24)))
    assert seen.size == 0 or seen.max() == pytest.approx(GROUND, abs=1e-4)


def test_no_cloud_is_mixed_in_from_another_zone(tmp_path: Path) -> None:
    clouds = np.kron(np.random.default_rng(3).random((60, 60)) < 0.05, np.ones((2, 2), dtype=bool)).astype(bool)
    scene = cloudy_scene(tmp_path, clouds)
    west, south, east, north = (round(v) for v in scene.grid.extent.to_crs("EPSG:32650").boundingbox.bbox)
    there = grid_of(Affine(10, 0, west, 0, -10, north), ((north - south) // 10, (east - west) // 10), "EPSG:32650")
    seen = seen_on(scene, there)
    assert seen.size > 0.4 * clouds.size
    assert seen.max() == pytest.approx(GROUND, abs=1e-4)


def test_bands_coarser_than_the_grid_make_the_mask_grow_by_their_pixel(tmp_path: Path) -> None:
    """As in Sentinel-2: a band of 10 m, one of 20 m and a quality band of 20 m, on a grid of 10 m."""
    clouds = np.zeros((8, 8), dtype=bool)
    clouds[3:5, 3:5] = True
    scene = cloudy_scene(tmp_path, clouds, size=20, mask_size=20)
    fine = write_raster(tmp_path / "fine.tif", np.full((16, 16), 0.2, np.float32), grid(shape=(16, 16)))
    alone = Scene("a", scene.date, scene.sensor, {"blue": Source(fine, 1)}, scene.quality, inspect(fine).grid, number_offset=0)
    values = read_scene(alone, ["blue"], alone.grid, whole(alone.grid))[0]
    assert np.isnan(values).sum() == 4 * 4
    both = Scene("a", scene.date, scene.sensor, {**scene.bands, **alone.bands}, scene.quality, alone.grid, number_offset=0)
    values = read_scene(both, ["blue", "red"], both.grid, whole(both.grid))
    assert np.nanmax(values[1]) == pytest.approx(GROUND)
    np.testing.assert_array_equal(np.isnan(values[0]), np.isnan(values[1]))
    assert np.isnan(values[0]).sum() == 8 * 8


def test_alpha_is_no_band_of_a_scene(tmp_path: Path) -> None:
    path = tmp_path / "ortho_20190601.tif"
    data = np.full((4, *HOLES.shape), 50, dtype=np.uint8)
    data[:3, 5, 0] = 0
    data[3] = np.where(HOLES, 0, 255)
    data[:3, HOLES] = 255
    with rasterio.open(
        path, "w", driver="GTiff", height=6, width=8, count=4, dtype="uint8", crs=UTM, transform=grid().transform,
        photometric="RGB", alpha="yes",
    ) as target:  # fmt: skip
        target.write(data)
    sensor = custom_sensor(("red", "green", "blue"), scale=1, offset=0, nodata=None, units="digital numbers")
    (scene,) = scenes_in(tmp_path, FolderReading(sensor))
    assert {name: source.band for name, source in scene.bands.items()} == {"red": 1, "green": 2, "blue": 3}
    values = read_scene(scene, ["blue", "red"], scene.grid, whole(scene.grid))
    np.testing.assert_array_equal(np.isnan(values[0]), HOLES)
    assert values[0, 5, 0] == 0  # black that was observed
    four = custom_sensor(("red", "green", "blue", "nir"), scale=1, offset=0, nodata=None, units="digital numbers")
    with pytest.raises(InputError, match=r"has 3 bands .* and alpha in band 4.*gdal_edit.py -colorinterp_4 undefined.*lists 4"):
        scenes_in(tmp_path, FolderReading(four))


def test_one_band_and_alpha_is_a_file_of_one_band(tmp_path: Path) -> None:
    for band in ("B04", "B08"):
        write(tmp_path / f"S2_20200601_{band}.tif", kind="alpha", dtype="uint16")
    (scene,) = scenes_in(tmp_path, FolderReading(sensor_named("sentinel-2-l2a"), declared=Declared(offset=0)))
    assert {name: source.band for name, source in scene.bands.items()} == {"red": 1, "nir": 1}


def test_nodata_as_each_file_declares_it(territory: Territory) -> None:
    """The date before declares 0, the one after nothing: its 0 is a measurement."""
    data = territory.numbers()
    data[:, :4, :6] = 0
    territory.write(territory.names[0], data=data, nodata=0)
    territory.write(territory.names[1], data=data, nodata=None)
    territory.config["sensor"]["nodata"] = "none"
    with pytest.raises(
        InputError, match=r"declares nodata 0, the config has `sensor: nodata: none`.*`sensor: nodata: declared`"
    ):
        territory.plan()
    territory.config["sensor"]["nodata"] = "declared"
    before, after = territory.plan().epochs
    for epoch, expected in ((before, 24), (after, 0)):
        values = read_scene(epoch.scenes[0], ["red", "nir"], territory.grid, whole(territory.grid))
        assert np.isnan(values[0]).sum() == expected


@pytest.mark.parametrize("size", [25, 40, 70])
def test_no_cloud_is_mixed_in_from_overviews(tmp_path: Path, size: float) -> None:
    """GDAL reads overviews for a coarser grid, whose pixels are means of the file's."""
    clouds = np.kron(np.random.default_rng(5).random((80, 80)) < 0.004, np.ones((3, 3), dtype=bool)).astype(bool)
    scene = cloudy_scene(tmp_path, clouds)
    with rasterio.open(tmp_path / "image.tif", "r+") as target:
        target.build_overviews([2, 4, 8], rasterio.enums.Resampling.average)
    seen = seen_on(scene, grid(dx=13, dy=7, size=size, shape=(int(2300 / size), int(2300 / size))))
    assert seen.size > 50
    assert seen.max() == pytest.approx(GROUND, abs=1e-4)
