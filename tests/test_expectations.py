"""What an encoder expects of a band is compared with what is there; mistaken units are named with their factor."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landshift.models.encoders.expectations import BandFinding, band_findings
from landshift.models.encoders.normalisation import Normalisation
from landshift.pipeline.raster.images import BandStatistics

BANDS = ("blue", "nir")


def found(
    ours: tuple[float, ...], spread: tuple[float, ...], mean: tuple[float, ...], std: tuple[float, ...], *, scale: float = 1.0,
    image_bands: tuple[str, ...] = BANDS, bands: tuple[str, ...] = BANDS,
) -> tuple[BandFinding, ...]:  # fmt: skip
    statistics = BandStatistics(ours, spread, {}, 100)
    return band_findings(Normalisation(mean, std, scale, "encoder", bands), statistics, image_bands)


def test_bands_as_expected_have_no_fault() -> None:
    blue, nir = found((0.12, 0.30), (0.04, 0.10), (0.10, 0.30), (0.04, 0.20))
    assert (blue.band, nir.band) == BANDS
    assert blue.offset == pytest.approx(0.5)
    assert blue.contrast == pytest.approx(1)
    assert nir.offset == pytest.approx(0)
    assert nir.contrast == pytest.approx(0.5)
    assert (blue.fault, nir.fault) == ("", "")


def test_the_scale_of_the_normalisation_is_applied() -> None:
    (blue,) = found((0.12,), (0.04,), (1000.0,), (400.0,), scale=1e4, image_bands=("blue",), bands=("blue",))
    assert blue.offset == pytest.approx(0.5)
    assert blue.fault == ""


def test_bands_are_found_by_name_not_by_place() -> None:
    (nir,) = found((0.1, 0.3, 0.5), (0.1,) * 3, (0.5,), (0.1,), image_bands=("red", "blue", "nir"), bands=("nir",))
    assert nir.offset == pytest.approx(0)


@pytest.mark.parametrize(("factor", "named"), [(1e4, "10000"), (1e-4, "0.0001"), (1e3, "1000"), (255, "100")])
def test_other_units_are_named_with_their_factor(factor: float, named: str) -> None:
    (blue,) = found((0.12,), (0.04,), (0.12 * factor,), (0.04 * factor,), image_bands=("blue",), bands=("blue",))
    assert blue.fault.startswith("blue: the territory's mean is 0.12, the encoder expects")
    assert f"A factor near {named} suggests other units: check `sensor: scale:`" in blue.fault or factor == 255
    assert "heck" in blue.fault


def test_an_odd_band_is_told_without_a_guess() -> None:
    (far,) = found((0.9,), (0.04,), (0.5,), (0.04,), image_bands=("blue",), bands=("blue",))
    assert far.offset == pytest.approx(10)
    assert "+10.0 of its standard deviations" in far.fault
    assert "factor" not in far.fault
    assert "order of the bands" in far.fault
    (flat,) = found((0.5,), (0.001,), (0.5,), (0.04,), image_bands=("blue",), bands=("blue",))
    assert flat.contrast == pytest.approx(0.025)
    assert flat.fault


@pytest.mark.parametrize("ours", [0.0, -0.1])
def test_a_mean_of_zero_or_below_has_no_factor(ours: float) -> None:
    (blue,) = found((ours,), (0.04,), (1200.0,), (400.0,), image_bands=("blue",), bands=("blue",))
    assert blue.fault
    assert "factor" not in blue.fault


@settings(deadline=None)
@given(st.floats(0.01, 1), st.floats(0.001, 0.5))
def test_statistics_of_ones_own_are_never_a_fault(mean: float, std: float) -> None:
    (blue,) = found((mean,), (std,), (mean,), (std,), image_bands=("blue",), bands=("blue",))
    assert (blue.offset, blue.fault) == (0, "")
    assert blue.contrast == pytest.approx(1)
