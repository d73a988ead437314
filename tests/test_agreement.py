"""Agreement: the light of two dates, on ground that did not change."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landshift.pipeline.epochs.agreement import radiometric_difference, spread_pixels
from landshift.pipeline.raster.images import RasterReader
from landshift.pipeline.raster.write import write_raster
from tests.conftest import small_grid

BANDS = 4


def ground(seed: int, n: int = 5000, changed: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Two dates (n, band) of the same ground in the same light, but for noise and a share of it that is something else."""
    rng = np.random.default_rng(seed)
    before = rng.uniform(0.05, 0.4, (n, BANDS))
    after = before.copy()
    other = rng.random(n) < changed
    after[other] = rng.uniform(0.05, 0.9, (other.sum(), BANDS))
    before, after = (image + 0.002 * rng.standard_normal(image.shape) for image in (before, after))
    return before, after


def test_the_same_light_differs_by_noise_alone() -> None:
    assert radiometric_difference(*ground(0)).share < 0.02


@given(st.integers(0, 50), st.floats(0.5, 2.0), st.integers(0, BANDS - 1))
def test_a_gain_is_found_in_its_band(seed: int, gain: float, band: int) -> None:
    before, after = ground(seed, 2000)
    after[:, band] *= gain
    found = radiometric_difference(before, after)
    # The share is of the mean of both dates: (gain - 1) / ((gain + 1) / 2).
    assert found.share == pytest.approx(2 * abs(gain - 1) / (gain + 1), abs=0.1)
    if abs(gain - 1) > 0.1:
        assert found.band == band + 1


@pytest.mark.parametrize("changed", [0.1, 0.3, 0.6])
def test_change_has_no_part_in_it(changed: float) -> None:
    quiet, loud = (radiometric_difference(*ground(1, changed=share)) for share in (0.0, changed))
    assert loud.share == pytest.approx(quiet.share, abs=0.02)


def test_units_do_not_matter() -> None:
    before, after = ground(2)
    after *= 1.3
    plain, scaled = radiometric_difference(before, after), radiometric_difference(before * 10_000, after * 10_000)
    assert plain.share == pytest.approx(scaled.share, rel=1e-3)


def test_what_cannot_be_measured_says_why() -> None:
    before, after = ground(3)
    few = radiometric_difference(before[:300], after[:300])
    assert few.share is None
    assert "too few" in few.reason
    level = before.copy()
    level[:, 1] = 0.2
    flat = radiometric_difference(level, after)
    assert flat.share is None
    assert flat.reason
    below = radiometric_difference(before - 0.3, after - 0.3)
    assert below.share is None
    assert "not above 0" in below.reason


def test_pixels_are_the_same_on_both_dates_and_from_everywhere(tmp_path: Path) -> None:
    shape = (400, 900)
    numbers = np.arange(shape[0] * shape[1], dtype=np.float32).reshape(1, *shape)
    after = numbers + 0.5
    after[:, 100:200] = np.nan
    readers = [
        RasterReader(write_raster(tmp_path / f"{n}.tif", image, small_grid(*shape), nodata=np.nan))
        for n, image in enumerate((numbers, after))
    ]
    first, second = spread_pixels(*readers, limit=10_000)
    assert 5_000 < len(first) <= 10_000
    np.testing.assert_array_equal(second, first + 0.5)
    rows, columns = first[:, 0] // shape[1], first[:, 0] % shape[1]
    assert not ((rows >= 100) & (rows < 200)).any()
    for place, size in ((rows, shape[0]), (columns, shape[1])):
        assert place.min() < 0.02 * size
        assert place.max() > 0.98 * size
