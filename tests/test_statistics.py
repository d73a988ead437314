"""The sample is drawn evenly, never beyond its limit, and says what numpy says of all pixels."""

from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from landshift.pipeline.grid import grid_of
from landshift.pipeline.raster.images import band_statistics, sample_image
from landshift.pipeline.raster.write import write_raster


def image(folder: Path, data: np.ndarray, name: str = "a.tif") -> Path:
    on = grid_of(Affine(10, 0, 300_000, 0, -10, 3_600_000), data.shape[1:], "EPSG:32651")
    return write_raster(folder / name, data.astype(np.float32), on, nodata=float("nan"))


def test_few_pixels_are_all_taken(tmp_path: Path) -> None:
    path = image(tmp_path, np.array([[[1, 2], [np.nan, 4]], [[5, 6], [np.nan, 8]]]))
    assert sample_image(path).tolist() == [[1, 5], [2, 6], [4, 8]]
    assert sample_image(path, mask=np.array([[True, False], [True, True]])).tolist() == [[1, 5], [4, 8]]


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 400), st.integers(0, 50))
def test_never_more_than_asked_for(tmp_path: Path, limit: int, seed: int) -> None:
    path = tmp_path / "big.tif"
    if not path.exists():
        image(tmp_path, np.arange(40_000, dtype=np.float32).reshape(1, 800, 50), "big.tif")
    drawn = sample_image(path, limit, seed=seed)[:, 0]
    assert len(drawn) <= limit
    assert len(np.unique(drawn)) == len(drawn)
    np.testing.assert_array_equal(drawn, sample_image(path, limit, seed=seed)[:, 0])


def test_the_sample_is_even_over_rows(tmp_path: Path) -> None:
    path = image(tmp_path, np.repeat(np.arange(1200.0), 40).reshape(1, 1200, 40))
    rows = sample_image(path, 4000)[:, 0]
    assert np.histogram(rows, 4, (0, 1200))[0] == pytest.approx([1000] * 4, rel=0.15)


def test_both_dates_are_described_together(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.2, 0.1, (2, 30, 30)), rng.normal(0.6, 0.1, (2, 30, 30))
    found = band_statistics([image(tmp_path, first, "a.tif"), image(tmp_path, second, "b.tif")])
    both = np.concatenate([first.reshape(2, -1), second.reshape(2, -1)], axis=1)
    assert found.mean == pytest.approx(tuple(both.mean(axis=1)), rel=1e-4)
    assert found.std == pytest.approx(tuple(both.std(axis=1)), rel=1e-4)
    assert found.percentiles["p50"] == pytest.approx(tuple(np.median(both, axis=1)), rel=1e-3)
    assert list(found.percentiles) == ["p1", "p5", "p25", "p50", "p75", "p95", "p99"]
    assert found.pixels == 1800


def test_a_constant_band_divides_by_no_zero(tmp_path: Path) -> None:
    assert band_statistics([image(tmp_path, np.full((1, 4, 4), 0.3))]).std == (1e-6,)


def test_nothing_seen_is_nothing_said(tmp_path: Path) -> None:
    path = image(tmp_path, np.full((2, 4, 4), np.nan))
    assert band_statistics([path]).pixels == 0
    assert band_statistics([path]).mean == ()
    assert band_statistics([path], np.zeros((4, 4), bool)).pixels == 0
