"""The same change has the same id in the next run, and no two changes have one."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from landshift.pipeline.change.identity import first_pixel_ids, keep_ids
from landshift.pipeline.grid import grid_of

CRS = "EPSG:32633"


def frame(*rows: tuple[str, int, tuple[float, float, float, float]], crs: str | None = CRS) -> gpd.GeoDataFrame:
    ids, codes, boxes = zip(*rows, strict=True) if rows else ((), (), ())
    geometry = [shapely.box(500_000 + w, 5_000_000 + s, 500_000 + e, 5_000_000 + n) for w, s, e, n in boxes]
    return gpd.GeoDataFrame({"change_id": list(ids), "change_code": list(codes)}, geometry=geometry, crs=crs)


def test_the_first_pixel_names_a_patch_on_the_lattice_of_the_crs() -> None:
    grid = grid_of(Affine(30, 0, 300, 0, -30, 60), (4, 5), CRS)
    assert first_pixel_ids(np.array([0, 7, 19]), grid, "p") == ["p-10-1", "p-12-0", "p-14-m2"]
    west = grid_of(Affine(30, 0, -90, 0, -30, -60), (4, 5), CRS)
    assert first_pixel_ids(np.array([0]), west, "p") == ["p-m3-m3"]


@pytest.mark.parametrize("shift", [0.0, 1e-9, -1e-9, 15.0])
def test_noise_in_the_corner_moves_no_id(shift: float) -> None:
    # 15: corners of Landsat's pixels lie between multiples of the pixel size.
    grid = grid_of(Affine(30, 0, 300_000 + shift, 0, -30, 6_000_000 + shift), (4, 5), CRS)
    further = grid_of(Affine(30, 0, 300_060 + shift, 0, -30, 5_999_970 + shift), (3, 3), CRS)
    assert first_pixel_ids(np.array([7]), grid, "p") == first_pixel_ids(np.array([0]), further, "p")
    assert first_pixel_ids(np.array([0]), grid, "p")[0].startswith("p-10000-")


def test_a_patch_that_overlaps_a_known_one_of_its_change_takes_its_id() -> None:
    known = frame(("a", 2, (0, 0, 100, 100)), ("b", 3, (200, 0, 300, 100)), ("gone", 2, (900, 900, 990, 990)))
    new = frame(("n1", 2, (10, 0, 110, 100)), ("n2", 2, (200, 0, 300, 100)), ("n3", 3, (205, 0, 300, 100)))
    assert keep_ids(new, known) == ["a", "n2", "b"]


def test_the_best_pair_wins_and_each_id_goes_once() -> None:
    known = frame(("whole", 2, (0, 0, 100, 100)))
    halves = frame(("left", 2, (0, 0, 40, 100)), ("right", 2, (40, 0, 100, 100)))
    assert keep_ids(halves, known) == ["left", "whole"]
    assert keep_ids(known, halves) == ["right"]


def test_a_patch_that_grew_keeps_its_id_and_a_neighbour_that_blurs_into_it_does_not() -> None:
    known = frame(("small", 2, (0, 0, 10, 10)))
    assert keep_ids(frame(("n", 2, (0, 0, 100, 100))), known) == ["small"]
    assert keep_ids(frame(("n", 2, (9, 0, 100, 10))), known) == ["n"]


def test_an_own_id_that_is_in_use_gets_a_letter() -> None:
    known = frame(("x", 2, (0, 0, 10, 10)), ("x-b", 2, (500, 0, 510, 10)))
    assert keep_ids(frame(("x", 3, (0, 0, 10, 10))), known) == ["x-c"]
    assert keep_ids(frame(("x", 3, (0, 0, 10, 10)), ("x", 4, (20, 0, 30, 10)), ("y", 2, (0, 0, 10, 10))), known) == [
        "x-c",
        "x-d",
        "x",
    ]
    many = frame(*[("x", 3, (20 * k, 0, 20 * k + 10, 10)) for k in range(30)])
    assert keep_ids(many, None)[-5:] == ["x-z", "x-aa", "x-ab", "x-ac", "x-ad"]


def test_known_patches_in_another_crs_are_found() -> None:
    known = frame(("a", 2, (0, 0, 100, 100)))
    new = frame(("n", 2, (0, 0, 100, 100)))
    assert keep_ids(new, known.to_crs("EPSG:4326")) == ["a"]


BROKEN = {
    "none": None,
    "empty": frame(),
    "no CRS": frame(("a", 2, (0, 0, 10, 10)), crs=None),
    "no code": frame(("a", 2, (0, 0, 10, 10))).drop(columns="change_code"),
    "no id": frame(("a", 2, (0, 0, 10, 10))).drop(columns="change_id"),
    "no geometry": frame(("a", 2, (0, 0, 10, 10))).drop(columns="geometry"),
    "null id": frame(("a", 2, (0, 0, 10, 10))).assign(change_id=None),
    "code of text": frame(("a", 2, (0, 0, 10, 10))).assign(change_code="two"),
    "null geometry": frame(("a", 2, (0, 0, 10, 10))).set_geometry([None], crs=CRS),
    "bow tie": frame(("a", 2, (0, 0, 10, 10))).set_geometry([shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])], crs=CRS),
    "far away": frame(("a", 2, (0, 0, 10, 10))).set_geometry([shapely.box(-179, -89.9, 179, 89.9)], crs="EPSG:4326"),
}


@pytest.mark.parametrize("known", BROKEN.values(), ids=BROKEN.keys())
def test_known_patches_that_cannot_be_used_are_passed_over(known: gpd.GeoDataFrame | None) -> None:
    assert keep_ids(frame(("n", 2, (0, 0, 10, 10))), known) == ["n"]
    assert keep_ids(frame(), known) == []


def test_an_id_stays_in_use_although_its_patch_is_broken() -> None:
    assert keep_ids(frame(("a", 2, (0, 0, 10, 10))), BROKEN["bow tie"]) == ["a-b"]


BOXES = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(1, 5), st.integers(1, 5))
ROWS = st.lists(st.tuples(st.sampled_from(["a", "b", "c", "a-b"]), st.integers(2, 3), BOXES), max_size=8)


def picture(rows: list[tuple[str, int, tuple[int, int, int, int]]]) -> gpd.GeoDataFrame:
    return frame(*[(identity, code, (x, y, x + w, y + h)) for identity, code, (x, y, w, h) in rows])


@given(ROWS, ROWS)
@settings(deadline=None)
def test_ids_are_always_unique(new: list, known: list) -> None:
    ids = keep_ids(picture(new), picture(known))
    assert len(set(ids)) == len(ids) == len(new)


@given(st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12), st.randoms())
@settings(deadline=None)
def test_identical_maps_keep_all_ids(cells: set, random: object) -> None:
    rows = [(f"k{x}-{y}", 2, (10 * x, 10 * y, 10 * x + 8, 10 * y + 8)) for x, y in sorted(cells)]
    known = frame(*rows)
    shuffled = frame(*[(f"n{i}", code, box) for i, (_, code, box) in enumerate(rows)])
    random.shuffle(order := list(range(len(rows))))
    assert keep_ids(shuffled, known.iloc[order]) == [r[0] for r in rows]
    assert keep_ids(known, known) == [r[0] for r in rows]


def test_many_patches_keep_their_ids() -> None:
    n = 20_000
    x, y = np.divmod(np.arange(n), 250)
    corners = np.stack([500_000 + 100 * x, 5_000_000 + 100 * y], axis=-1)[:, None]
    around = np.stack([np.cos(a := np.linspace(0, 2 * np.pi, 24, endpoint=False)), np.sin(a)], axis=-1) * 45
    ids = [f"k{k}" for k in range(n)]
    known = gpd.GeoDataFrame({"change_id": ids, "change_code": 2}, geometry=shapely.polygons(corners + around), crs=CRS)
    new = known.assign(change_id=[f"n{k}" for k in range(n)]).set_geometry(shapely.polygons(corners + around + 5.0), crs=CRS)
    assert keep_ids(new, known) == ids
