"""Grids are projected and north-up, and two that differ are refused with every difference named."""

import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import (
    common_grid,
    differences,
    grid_from_bounds,
    grid_of,
    overlap_share,
    pixel_area_ha,
    require_same_grid,
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
        ("EPSG:4326", "EPSG:4326, whose unit is degrees"),
        ("EPSG:4978", "not projected"),
        ("EPSG:99999", "not known"),
        ("UTM 51", "not known"),
    ],
)
def test_a_crs_without_metres(crs: str, message: str) -> None:
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
