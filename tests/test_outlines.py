"""Outlines follow pixels exactly; simplified, they still cover the same ground without gaps and overlaps."""

import numpy as np
import pytest
import shapely
from affine import Affine
from geopandas import GeoSeries
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pyproj import CRS, Geod
from rasterio.features import shapes

from landshift.pipeline.change.outlines import ellipsoidal_area_ha, to_map
from landshift.pipeline.change.patches import find_patches
from landshift.pipeline.change.simplification import simplify_outlines
from landshift.pipeline.change.tracing import trace_outlines
from landshift.pipeline.grid import grid_of

MAPS = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 3))
# Blocks of pixels make patches that are large enough to be simplified.
BLOCKS = MAPS.map(lambda codes: codes.repeat(3, axis=0).repeat(3, axis=1))


@given(MAPS)
@settings(deadline=None)
def test_outlines_are_valid_and_measure_their_pixels(codes: np.ndarray) -> None:
    patches = find_patches(codes)
    exact = trace_outlines(patches).polygons()
    assert shapely.is_valid(exact).all()
    np.testing.assert_array_equal(shapely.area(exact), patches.pixel_count)
    y, x = np.divmod(patches.first_pixel, codes.shape[1])
    assert shapely.contains_xy(exact, x + 0.5, y + 0.5).all()
    assert not len(exact) or shapely.coverage_is_valid(exact)


@st.composite
def stripes(draw: st.DrawFn) -> np.ndarray:
    """Stripes of any slant, with some pixels of other codes."""
    y, x = np.indices(draw(st.tuples(st.integers(2, 20), st.integers(2, 20))))
    across, down, wide = (draw(st.integers(low, high)) for low, high in ((-3, 3), (-3, 3), (1, 9)))
    codes = ((across * x + down * y) // wide % 4).astype(np.uint8)
    for row, column, code in draw(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19), st.integers(0, 3)), max_size=9)):
        codes[row % len(codes), column % codes.shape[1]] = code
    return codes


@given(MAPS | BLOCKS | stripes())
@settings(deadline=None)
def test_simplified_outlines_are_valid_and_neither_gap_nor_overlap(codes: np.ndarray) -> None:
    patches = find_patches(codes)
    exact = trace_outlines(patches).polygons()
    simple = simplify_outlines(trace_outlines(patches), patches).polygons()
    assert len(simple) == len(patches)
    assert shapely.is_valid(simple).all()
    assert (shapely.get_type_id(simple) == shapely.GeometryType.POLYGON).all()
    assert (np.abs(shapely.area(simple) / patches.pixel_count - 1) <= 1 / 3).all()
    if len(simple):
        assert shapely.coverage_is_valid(simple)
        # Holes in the union would be slivers between neighbours: the union has those of the pixels, and no others.
        together, before = shapely.coverage_union_all(simple), shapely.coverage_union_all(exact)
        assert shapely.get_num_interior_rings(shapely.get_parts(together)).sum() == (
            shapely.get_num_interior_rings(shapely.get_parts(before)).sum()
        )


@given(MAPS | BLOCKS)
@settings(deadline=None)
def test_outlines_are_those_that_gdal_finds_in_the_map(codes: np.ndarray) -> None:
    found = [shapely.Polygon(f["coordinates"][0], f["coordinates"][1:]) for f, _ in shapes(codes, codes != 0, connectivity=4)]
    expected = shapely.segmentize(np.array(found, dtype=object), 1.0)
    assert {g.normalize().wkt for g in trace_outlines(find_patches(codes)).polygons()} == {g.normalize().wkt for g in expected}


def test_where_a_patch_touches_itself_at_a_corner_its_rings_stay_apart() -> None:
    codes = np.array([
        [2, 2, 2, 2],
        [2, 0, 2, 2],
        [2, 2, 0, 2],
        [2, 2, 2, 0],
    ], dtype=np.uint8)  # fmt: skip
    (polygon,) = trace_outlines(find_patches(codes)).polygons()
    assert polygon.is_valid
    assert [shapely.Polygon(ring).area for ring in polygon.interiors] == [1, 1]
    assert polygon.exterior.coords[0] == (0, 0)
    assert polygon.exterior.coords[1] == (0, 1)
    assert shapely.is_ccw(polygon.exterior) != shapely.is_ccw(polygon.interiors[0])


def test_a_slanted_border_loses_its_staircase_and_stays_shared() -> None:
    codes = np.tril(np.ones((20, 20), dtype=np.uint8)) + 1
    patches = find_patches(codes)
    exact = trace_outlines(patches).polygons()
    simple = simplify_outlines(trace_outlines(patches), patches).polygons()
    assert shapely.get_num_coordinates(simple).sum() < shapely.get_num_coordinates(exact).sum() / 8
    shared = shapely.intersection(shapely.boundary(simple[0]), shapely.boundary(simple[1]))
    assert shapely.length(shared) == pytest.approx(20 * np.sqrt(2), rel=0.1)


def test_a_single_pixel_stays_a_square_beside_a_patch_that_is_simplified() -> None:
    codes = np.tril(np.ones((20, 20), dtype=np.uint8))
    codes[10, 11] = 2
    patches = find_patches(codes)
    simple = simplify_outlines(trace_outlines(patches), patches).polygons()
    assert shapely.area(simple[patches.code == 2]).tolist() == [1.0]
    assert shapely.coverage_is_valid(simple)


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:3035", "EPSG:3413", "EPSG:27572", "EPSG:2263"])
def test_areas_are_those_of_the_ellipsoid(crs: str) -> None:
    system = CRS(crs)
    area = system.area_of_use
    assert area is not None
    geodetic = system.geodetic_crs
    assert geodetic is not None
    longitude, latitude = (area.west + area.east) / 2, (area.south + area.north) / 2
    corner = shapely.points(longitude, latitude)
    x, y = GeoSeries([corner], crs="EPSG:4326").to_crs(system).get_coordinates().to_numpy()[0]
    side = 3000.0
    square = shapely.segmentize(shapely.box(x, y, x + side, y + side), side / 50)
    ring = GeoSeries([square], crs=system).to_crs(geodetic)
    ellipsoid = geodetic.ellipsoid
    assert ellipsoid is not None
    geod = Geod(a=ellipsoid.semi_major_metre, rf=ellipsoid.inverse_flattening)
    degrees = geodetic.axis_info[0].unit_conversion_factor * 180 / np.pi
    expected = abs(geod.geometry_area_perimeter(shapely.transform(ring.iloc[0], lambda xy: xy * degrees))[0]) / 10_000
    assert ellipsoidal_area_ha(np.array([square]), system)[0] == pytest.approx(expected, rel=1e-6)


def test_pixels_lie_where_the_grid_says() -> None:
    grid = grid_of(Affine(10, 0, 500_000, 0, -20, 4_000_000), (2, 3), "EPSG:32633")
    codes = np.array([[0, 0, 0], [0, 5, 5]], dtype=np.uint8)
    placed = to_map(trace_outlines(find_patches(codes)).polygons(), grid)
    assert shapely.bounds(placed).tolist() == [[500_010, 3_999_960, 500_030, 3_999_980]]


@given(BLOCKS, arrays(np.uint8, (36, 36), elements=st.sampled_from([0] * 30 + [1, 2, 3])))
@settings(deadline=None)
def test_small_patches_near_large_ones_stay_apart_from_them(blocks: np.ndarray, specks: np.ndarray) -> None:
    height, width = blocks.shape
    codes = np.where(blocks == 0, specks[:height, :width], blocks)
    patches = find_patches(codes)
    simple = simplify_outlines(trace_outlines(patches), patches).polygons()
    assert not len(simple) or shapely.coverage_is_valid(simple)
    assert shapely.is_valid(simple).all()
