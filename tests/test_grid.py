"""Grids are projected and north-up, and two that differ are refused with every difference named."""

import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.crs import CRS

from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import (
    Grid,
    bounds_of,
    common_grid,
    describe_resampling,
    differences,
    grid_from_bounds,
    grid_in_metres,
    grid_line,
    grid_of,
    overlap_share,
    overlap_window,
    pixel_area_ha,
    require_same_grid,
    snap,
)

UTM = "EPSG:32651"
NORTH_UP = Affine(10, 0, 300_000, 0, -10, 3_600_000)
GRID = grid_of(NORTH_UP, (4, 6), UTM)


def test_a_grid_keeps_what_it_was_made_of() -> None:
    assert tuple(GRID.shape) == (4, 6)
    assert GRID.transform == NORTH_UP
    assert GRID.crs == UTM


@pytest.mark.parametrize("crs", [None, ""])
def test_no_crs(crs: str | None) -> None:
    with pytest.raises(InputError, match=r"scene.tif has no CRS.*gdal_edit"):
        grid_of(NORTH_UP, (4, 6), crs, "scene.tif")


@pytest.mark.parametrize(
    ("crs", "message"),
    [
        ("EPSG:4978", "neither projected nor geographic"),
        ("EPSG:99999", "not known"),
        ("UTM 51", "not known"),
    ],
)
def test_a_crs_without_axes_on_the_ground(crs: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        grid_of(NORTH_UP, (4, 6), crs)


@pytest.mark.parametrize(
    "transform",
    [
        Affine.translation(300_000, 3_600_000) @ Affine.rotation(10) @ Affine.scale(10, -10),
        Affine(-10, 0, 300_000, 0, -10, 3_600_000),
        Affine(10, 0, 300_000, 0, 10, 3_600_000),
        Affine.identity(),
    ],
    ids=["rotated", "mirrored", "south-up", "none"],
)
def test_a_transform_that_is_not_north_up(transform: Affine) -> None:
    with pytest.raises(InputError, match=r"scene.tif has the transform .* not north-up.*gdalwarp"):
        grid_of(transform, (4, 6), UTM, "scene.tif")


def test_every_difference_is_named_with_the_remedy() -> None:
    other = grid_of(Affine(20, 0, 300_005, 0, -20, 3_600_000), (2, 3), "EPSG:32650")
    assert len(differences(GRID, other)) == 4
    with pytest.raises(InputError) as error:
        require_same_grid(GRID, other, ("a.tif", "b.tif"))
    for word in ("a.tif and b.tif", "EPSG:32651 and EPSG:32650", "10 x 10 and 20 x 20", "300005", "4 x 6 and 2 x 3", "`grid:`"):
        assert word in str(error.value)


@settings(deadline=None)
@given(st.floats(-1, 1), st.floats(-1, 1))
def test_a_shift_counts_from_a_thousandth_of_a_pixel(dy: float, dx: float) -> None:
    moved = grid_of(Affine.translation(dx, dy) @ NORTH_UP, (4, 6), UTM)
    far = max(abs(dy), abs(dx))
    if far < 0.0099 or far > 0.0101:
        assert bool(differences(GRID, moved)) == (far > 0.01)


def test_the_common_grid() -> None:
    assert common_grid([("a", GRID), ("b", GRID)]) == GRID
    with pytest.raises(InputError, match="No raster"):
        common_grid([])
    with pytest.raises(InputError, match="a and c are not on one grid"):
        common_grid([("a", GRID), ("b", GRID), ("c", grid_of(NORTH_UP, (4, 7), UTM))])


@settings(deadline=None)
@given(st.floats(-1e5, 1e5), st.floats(-1e5, 1e5), st.floats(1, 1e4), st.floats(1, 1e4), st.sampled_from([10, 20, 30, 0.5]))
def test_a_grid_from_bounds_covers_them_on_whole_pixels(
    west: float, south: float, width: float, height: float, size: float
) -> None:
    bounds = (500_000 + west, 4e6 + south, 500_000 + west + width, 4e6 + south + height)
    grid = grid_from_bounds(bounds, UTM, size)
    box = grid.boundingbox
    slack = size * 0.0011  # what counts as the same edge
    assert box.left <= bounds[0] + slack
    assert box.bottom <= bounds[1] + slack
    assert box.right >= bounds[2] - slack
    assert box.top >= bounds[3] - slack
    assert (box.right - bounds[2]) < size
    assert (box.top - bounds[3]) < size
    assert grid.transform.c % size == pytest.approx(0, abs=1e-6)
    assert grid.transform.f % size == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("bounds", [(1, 0, 0, 1), (0, 1, 1, 1), (0, 0, float("inf"), 1), (float("nan"), 0, 1, 1)])
def test_bounds_that_hold_nothing(bounds: tuple[float, float, float, float]) -> None:
    with pytest.raises(InputError, match="expected west < east"):
        grid_from_bounds(bounds, UTM, 10)


def test_bounds_in_degrees_or_in_no_crs() -> None:
    with pytest.raises(InputError, match="degrees"):
        grid_from_bounds((120, 30, 121, 31), "EPSG:4326", 0.1)
    with pytest.raises(InputError, match="not known"):
        grid_from_bounds((0, 0, 100, 100), "EPSG:0", 10)


def test_the_share_that_another_grid_covers() -> None:
    right_half = grid_of(Affine.translation(30, 0) @ NORTH_UP, (4, 6), UTM)
    assert overlap_share(GRID, GRID) == pytest.approx(1)
    assert overlap_share(GRID, right_half) == pytest.approx(0.5)
    assert overlap_share(GRID, grid_of(Affine.translation(60, 0) @ NORTH_UP, (4, 6), UTM)) == 0


def test_the_share_across_two_zones() -> None:
    """The border of zones 50 and 51 is x = 787,000 or so in zone 50 and x = 213,000 in zone 51, at 31 degrees north."""
    zone_51 = grid_from_bounds((210_000, 3_432_000, 215_000, 3_437_000), UTM, 100)
    zone_50 = grid_from_bounds((700_000, 3_400_000, 880_000, 3_500_000), "EPSG:32650", 100)
    assert overlap_share(zone_51, zone_50) == pytest.approx(1, abs=1e-3)
    assert overlap_share(zone_51, grid_from_bounds((300_000, 3_400_000, 400_000, 3_500_000), "EPSG:32633", 100)) == 0


def test_the_area_of_a_pixel_is_in_hectares_whatever_the_unit() -> None:
    assert pixel_area_ha(GRID) == pytest.approx(0.01)
    feet = grid_of(Affine(100, 0, 2_000_000, 0, -100, 700_000), (4, 6), "EPSG:2263")  # US survey feet
    assert pixel_area_ha(feet) == pytest.approx(30.48006096**2 / 10_000)


DEGREES = Affine(1e-4, 0, 15, 0, -1e-4, 47)


def test_a_grid_in_degrees_overlaps_one_in_metres() -> None:
    """At 47 degrees north, 1,000 x 2,000 pixels of 0.0001 degrees are 11.1 km x 15.2 km."""
    degrees = grid_of(DEGREES, (1000, 2000), "EPSG:4326")
    metres = grid_in_metres(degrees)
    assert metres.crs == "EPSG:32633"
    assert metres.transform.a == 11
    assert overlap_share(metres, degrees) == pytest.approx(1, abs=0.01)
    assert overlap_share(degrees, metres) == pytest.approx(1)
    west, south, east, north = bounds_of(degrees.crs, [metres])
    assert (west, north) == pytest.approx((15, 47), abs=3e-4)
    assert (east, south) == pytest.approx((15.2, 46.9), abs=1e-3)
    window = overlap_window(metres, degrees, around=0)
    assert (window.y, window.x, window.height, window.width) == (0, 0, *metres.shape)


@pytest.mark.parametrize("world", ["EPSG:4326", "EPSG:3857"])
def test_a_raster_of_the_world_covers_every_region(world: str) -> None:
    """Its outline has no coordinates in a UTM zone; the region's has some in degrees."""
    size, half = (0.1, 180) if world == "EPSG:4326" else (20_000_000 / 1800, 20_000_000)
    transform = Affine(size, 0, -half, 0, -size, 90 if world == "EPSG:4326" else half)
    everything = grid_of(transform, (1800 if world == "EPSG:4326" else 3600, 3600), world)
    for zone, northing in ((32601, 5_000_000), (32633, 5_200_000), (32660, 10_000), (32733, 9_000_000)):
        region = grid_from_bounds((400_000, northing, 500_000, northing + 100_000), f"EPSG:{zone}", 100)
        assert overlap_share(region, everything) == pytest.approx(1)
        window = overlap_window(everything, region)
        assert 0 < window.height * window.width < 40 * 40


def test_a_region_across_the_antimeridian() -> None:
    region = grid_from_bounds((750_000, 0, 900_000, 100_000), "EPSG:32660", 1000)
    east = grid_of(Affine(0.01, 0, -180, 0, -0.01, 1), (100, 200), "EPSG:4326")
    west = grid_of(Affine(0.01, 0, 178, 0, -0.01, 1), (100, 200), "EPSG:4326")
    across = grid_of(Affine(0.01, 0, 178, 0, -0.01, 1), (100, 400), "EPSG:4326")
    shares = [overlap_share(region, other) for other in (east, west, across)]
    assert shares[2] == pytest.approx(1, abs=0.01)
    assert shares[0] + shares[1] == pytest.approx(shares[2], abs=0.01)
    assert 0.2 < shares[0] < 0.8


def test_grids_on_other_sides_of_the_earth_do_not_meet() -> None:
    here = grid_from_bounds((400_000, 3_000_000, 500_000, 3_100_000), "EPSG:32633", 100)
    for zone in (32603, 32613, 32651, 32733):
        assert overlap_share(here, grid_from_bounds((400_000, 3_000_000, 500_000, 3_100_000), f"EPSG:{zone}", 100)) == 0


@settings(deadline=None)
@given(st.floats(-79, 83), st.floats(-180, 179.8), st.floats(1e-6, 1e-2), st.integers(2, 90), st.integers(2, 90))
def test_a_proposed_grid_covers_what_it_stands_for(
    latitude: float, longitude: float, size: float, rows: int, columns: int
) -> None:
    degrees = grid_of(Affine(size, 0, longitude, 0, -size, latitude), (rows, columns), "EPSG:4326")
    proposed = grid_in_metres(degrees)
    assert overlap_share(degrees, proposed) == pytest.approx(1, abs=1e-3)
    assert proposed.transform.a == pytest.approx(111_000 * size, rel=0.1)
    assert proposed.shape[0] * proposed.shape[1] < 200 * (rows + 4) * (columns + 4)


def test_degrees_in_the_config_are_refused_with_the_line_that_works() -> None:
    with pytest.raises(InputError, match=r"`grid: \{crs: EPSG:32651, pixel_size: 11, bounds: "):
        grid_from_bounds((120, 30, 120.1, 30.1), "EPSG:4326", 1e-4)


SIZES = st.sampled_from([10.0, 30.0, 0.5, 15.0, 1 / 3])


@settings(deadline=None)
@given(SIZES, st.floats(0, 1), st.floats(0, 1), st.integers(0, 10_000), st.integers(1, 5000), st.integers(1, 5000))
def test_bounds_of_a_scene_give_its_grid(size: float, dy: float, dx: float, at: int, rows: int, columns: int) -> None:
    """USGS puts the corners of Landsat scenes at odd multiples of 15 m, for example."""
    scene = grid_of(Affine(size, 0, 300_000 + (at + dx) * size, 0, -size, 3_600_000 - (at + dy) * size), (rows, columns), UTM)
    bounds = tuple(scene.extent.boundingbox.bbox)
    plain = grid_from_bounds(bounds, UTM, size)
    assert differences(snap(plain, bounds, [scene]), scene) == []
    assert describe_resampling(scene, snap(plain, bounds, [scene])) == ""


def test_a_landsat_scene_keeps_its_pixels() -> None:
    scene = grid_of(Affine(30, 0, 300_015, 0, -30, 3_600_015), (400, 400), UTM)
    bounds = (300_015, 3_588_015, 312_015, 3_600_015)
    plain = grid_from_bounds(bounds, UTM, 30)
    assert tuple(plain.shape) == (401, 401)
    assert describe_resampling(scene, plain) == "from pixels that lie 0.5 of a pixel aside in x and 0.5 in y"
    assert snap(plain, bounds, [scene]) == scene
    part = snap(plain, (300_030, 3_594_000, 303_000, 3_600_000), [scene])
    assert (part.transform.c, part.transform.f, *part.shape) == (300_015, 3_600_015, 201, 100)
    others = [grid_of(Affine(20, 0, 300_007, 0, -20, 3_600_000), (9, 9), UTM), grid_of(NORTH_UP, (4, 6), "EPSG:32650")]
    assert snap(plain, bounds, others) == plain
    two = grid_of(Affine(30, 0, 300_000, 0, -30, 3_600_000), (400, 400), UTM)
    assert snap(plain, bounds, [two, scene, scene]) == scene


@pytest.mark.parametrize(
    ("own", "words"),
    [
        (GRID, ""),
        (grid_of(NORTH_UP @ Affine.translation(7, -3), (9, 9), UTM), ""),
        (grid_of(NORTH_UP, (4, 6), "EPSG:32650"), "from EPSG:32650"),
        (grid_of(DEGREES, (4, 6), "EPSG:4326"), "from EPSG:4326"),
        (grid_of(Affine(20, 0, 300_000, 0, -20, 3_600_000), (2, 3), UTM), "from pixels of 20 x 20"),
        (
            grid_of(Affine(10, 0, 300_002.5, 0, -10, 3_600_000), (2, 3), UTM),
            "from pixels that lie 0.25 of a pixel aside in x and 0 in y",
        ),
    ],
)
def test_what_resampling_is_called(own: Grid, words: str) -> None:
    assert describe_resampling(own, GRID) == words


def test_the_line_of_a_grid() -> None:
    fine = grid_of(Affine(0.5, 0, 300_000.25, 0, -0.5, 3_600_000.75), (4, 6), UTM)
    line = "grid: {crs: EPSG:32651, pixel_size: 0.5, bounds: [300000.25, 3599998.75, 300003.25, 3600000.75]}"
    assert grid_line(fine) == line


@pytest.mark.parametrize(
    ("crs", "same"),
    [
        ("+proj=utm +zone=51 +ellps=WGS84", "EPSG:32651"), ("+proj=utm +zone=51 +south +ellps=WGS84", "EPSG:32751"),
        ("+proj=utm +zone=51 +ellps=GRS80", ""), ("+proj=utm +zone=51 +ellps=WGS84 +units=us-ft", ""), ("EPSG:25832", ""),
        ("+proj=tmerc +lon_0=123 +k=0.9999 +x_0=500000 +ellps=WGS84", ""),
    ],
)  # fmt: skip
def test_a_zone_of_an_open_datum_is_that_of_wgs_84(crs: str, same: str) -> None:
    """Files of HLS leave their datum open, on the ellipsoid of WGS 84."""
    found = grid_of(Affine(30, 0, 300_000, 0, -30, 4_000_020), (4, 5), crs)
    assert found.crs == CRS(same or crs)
