"""Misregistration: known shifts come back, and what has no answer gets none."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from landshift.pipeline.epochs import coregistration
from landshift.pipeline.epochs.compose import write_aligned
from landshift.pipeline.epochs.coregistration import Misregistration, median_shift, misregistration, window_shift
from landshift.pipeline.raster.images import RasterReader
from landshift.pipeline.raster.read import read_raster
from landshift.pipeline.raster.write import write_raster
from landshift.pipeline.tiles import Window
from tests.conftest import small_grid
from tests.shifted_land import BANDS, pair


def readers(folder: Path, *images: np.ndarray) -> list[RasterReader]:
    found = []
    for number, image in enumerate(images):
        grid = small_grid(*image.shape[1:])
        found.append(RasterReader(write_raster(folder / f"{number}.tif", image.astype(np.float32), grid, nodata=np.nan)))
    return found


@pytest.mark.parametrize(
    "shift", [(0, 0), (0.25, 0), (0, 0.25), (0, -0.5), (0.5, 0.5), (1.3, 0), (0, 1.3), (-1.3, 0.25), (6.5, -4.25)]
)
def test_a_known_shift_comes_back(shift: tuple[float, float], tmp_path: Path) -> None:
    for seed in (1, 2):
        found = misregistration(*readers(tmp_path, *pair(seed, shift)))
        assert found.dy == pytest.approx(shift[0], abs=0.1)
        assert found.dx == pytest.approx(shift[1], abs=0.1)
        assert found.pixels == pytest.approx(np.hypot(*shift), abs=0.1)
        assert found.windows >= 4
        assert found.spread < 0.2
        assert found.reason == ""


def test_dates_that_change_places_have_the_opposite_shift(tmp_path: Path) -> None:
    before, after = readers(tmp_path, *pair(3, (0.5, -0.25)))
    there, back = misregistration(before, after), misregistration(after, before)
    assert (there.dy, there.dx) == pytest.approx((-back.dy, -back.dx), abs=0.05)


def test_light_does_not_matter(tmp_path: Path) -> None:
    """Any gain, any offset, and a band that is bright where it was dark."""
    before, after = pair(4, (0.25, -0.5), hard=False)
    plain = misregistration(*readers(tmp_path, before, after))
    other = misregistration(*readers(tmp_path, before, after * np.array([3.0, -1.0, 0.2])[:, None, None] + 7))
    assert (plain.dy, plain.dx) == pytest.approx((other.dy, other.dx), abs=0.02)
    assert (plain.dy, plain.dx) == pytest.approx((0.25, -0.5), abs=0.1)


def test_half_of_the_land_may_be_built_over(tmp_path: Path) -> None:
    before, after = pair(5, (0.5, 0), side=256, hard=False)
    after[:, :, 150:] = pair(6, (0, 0), side=256, hard=False)[1][:, :, 150:]
    found = misregistration(*readers(tmp_path, before, after))
    assert (found.dy, found.dx) == pytest.approx((0.5, 0), abs=0.1)
    assert found.windows < found.looked_at


def soft(rng: np.random.Generator, scale: float, side: int = 192) -> np.ndarray:
    return ndimage.gaussian_filter(rng.standard_normal((BANDS, side, side)), (0, scale, scale)).astype(np.float32)


def test_unrelated_images_have_no_shift(tmp_path: Path) -> None:
    land = pair(7, (0, 0))[0]
    others = [land[:, ::-1], land[:, :, ::-1], np.roll(land, 50, axis=1), pair(8, (0, 0))[0]]
    others += [soft(np.random.default_rng(n), scale) for n, scale in enumerate((0.5, 1, 2, 4, 8))]
    for other in others:
        found = misregistration(*readers(tmp_path, land, other))
        assert (found.dy, found.dx, found.pixels, found.spread) == (None, None, None, None)
        assert found.reason


@pytest.mark.parametrize("scale", [0.5, 2, 8])
def test_holes_in_the_same_places_are_no_likeness(scale: float, tmp_path: Path) -> None:
    """A fixed mask, as of a swath or of a lake, lies on top of itself whatever the images show."""
    rng = np.random.default_rng(9)
    first, second = soft(rng, scale), soft(rng, scale)
    cloud = soft(rng, 4)[0]
    for image in (first, second):
        image[:, cloud > np.quantile(cloud, 0.85)] = np.nan
    assert misregistration(*readers(tmp_path, first, second)).pixels is None


def test_clouds_and_water_leave_nothing_to_compare(tmp_path: Path) -> None:
    before, after = pair(10, (0, 0))
    hidden = np.random.default_rng(0).random(after.shape[1:]) < 0.5
    assert "observed" in misregistration(*readers(tmp_path, before, np.where(hidden, np.nan, after))).reason
    level = np.full_like(before, 0.02)
    assert misregistration(*readers(tmp_path, level, level)).pixels is None
    water = level + 0.001 * np.random.default_rng(1).standard_normal(level.shape)
    other = level + 0.001 * np.random.default_rng(2).standard_normal(level.shape)
    assert "outlines" in misregistration(*readers(tmp_path, water, other)).reason


def test_a_window_that_is_mostly_hole_says_nothing() -> None:
    before, after = (image[:, :64, :64].copy() for image in pair(11, (0, 0), hard=False))
    assert window_shift(before, after) is not None
    after[:, :14] = np.nan
    assert window_shift(before, after) is None


def test_windows_that_disagree_give_no_number() -> None:
    along = np.arange(-3, 3.5, 0.5)
    assert median_shift(np.stack([along, along], axis=1), 13).pixels is None
    few = np.array([[0.5, 0], [0.5, 0], [0.5, 0.1]])
    assert median_shift(few, 9) == Misregistration(None, None, 3, 9, None, median_shift(few, 9).reason)
    most = np.concatenate([np.full((6, 2), 0.5), [[9, 9], [-7, 3], [5, -8]]])
    assert (median_shift(most, 9).dy, median_shift(most, 9).windows) == (0.5, 6)


@pytest.mark.parametrize("shift", [(0.5, -0.5), (1.3, 0), (-0.6, 2.25)])
def test_an_aligned_image_lies_where_it_should(shift: tuple[float, float], tmp_path: Path) -> None:
    before, after = pair(12, shift)
    first, second = readers(tmp_path, before, after)
    days = np.where(np.isfinite(after[0]), 19_000, -1)
    observation = write_raster(
        tmp_path / "seen.tif", np.stack([np.where(days > 0, 1, -1), days]).astype(np.int32), small_grid(*days.shape), nodata=-1
    )
    found = misregistration(first, second)
    moved, seen = tmp_path / "moved.tif", tmp_path / "moved_seen.tif"
    write_aligned(second.path, observation, (found.dy, found.dx), moved, seen)
    left = misregistration(first, RasterReader(moved))
    assert left.pixels < 0.1 < found.pixels
    image, counts = RasterReader(moved), RasterReader(seen)
    values, count = image.read(whole(image)), counts.read(whole(counts))
    observed = np.isfinite(values).all(axis=0)
    # A pixel is observed in all bands and in the layer beside them, or in none.
    np.testing.assert_array_equal(np.isfinite(values), np.broadcast_to(observed, values.shape))
    np.testing.assert_array_equal(np.isfinite(count), np.broadcast_to(observed, count.shape))
    assert set(np.unique(count[1][observed])) == {19_000}
    # The light stays what it was.
    assert np.nanmedian(values) == pytest.approx(np.nanmedian(after), rel=0.02)


def whole(reader: RasterReader) -> Window:
    return Window(0, 0, *reader.info.shape)


def test_a_move_by_whole_pixels_is_exact(tmp_path: Path) -> None:
    image = np.arange(60, dtype=np.float32).reshape(1, 6, 10) ** 2
    image[0, 2, 3] = np.nan
    grid = small_grid(6, 10)
    told = {"descriptions": ["red"], "tags": {"UNITS": "reflectance"}}
    source = write_raster(tmp_path / "image.tif", image, grid, nodata=np.nan, **told)
    days = np.where(np.isfinite(image[0]), np.arange(60).reshape(6, 10), -1).astype(np.int32)
    seen = write_raster(tmp_path / "seen.tif", np.stack([np.where(days < 0, -1, 1), days]).astype(np.int32), grid, nodata=-1)
    write_aligned(source, seen, (1, -2), tmp_path / "moved.tif", tmp_path / "moved_seen.tif")
    expected = np.full((6, 10), np.nan)
    expected[:-1, 2:] = image[0, 1:, :-2]
    moved, where = read_raster(tmp_path / "moved.tif")
    np.testing.assert_allclose(moved, expected)
    assert where == grid
    moved_days = read_raster(tmp_path / "moved_seen.tif", 2)[0]
    np.testing.assert_array_equal(moved_days[:-1, 2:], days[1:, :-2])
    assert (moved_days[np.isnan(expected)] == -1).all()
    info = RasterReader(tmp_path / "moved.tif").info
    assert info.descriptions == ("red",)
    assert info.tags["UNITS"] == "reflectance"


def test_outlines_of_all_bands_at_once_are_those_of_each() -> None:
    bands = np.random.default_rng(0).normal(size=(3, 40, 50))
    each = sum(ndimage.gaussian_gradient_magnitude(band, coregistration._SMOOTH) ** 2 for band in bands)
    np.testing.assert_allclose(coregistration._steepness(bands), each, rtol=1e-12)
