"""Bands are known by any of their names, and numbers become reflectance by the rule of their sensor."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landshift.pipeline.errors import InputError
from landshift.pipeline.scenes.sensors import (
    SENSORS,
    Sensor,
    custom_sensor,
    decode_quality,
    number_offset,
    sensor_named,
    to_values,
)

S2 = sensor_named("sentinel-2-l2a")
OLI = sensor_named("landsat-c2-l2-oli")
TM = sensor_named("landsat-c2-l2-tm")


@pytest.mark.parametrize("sensor", SENSORS, ids=lambda s: s.name)
def test_the_table_is_sound(sensor: Sensor) -> None:
    names = [b.name for b in sensor.bands] + [b.native for b in sensor.bands]
    assert len({n.casefold() for n in names}) == len(names)
    assert all(400 < (b.wavelength_nm or 0) < 2300 for b in sensor.bands)
    assert sensor.nodata == 0
    assert sensor_named(sensor.name) is sensor
    for band in sensor.bands:
        assert sensor.band_in(band.native) is sensor.band_in(f"SCENE_{band.native}") is band
        assert sensor.band_in(band.name) is band


@pytest.mark.parametrize(
    ("sensor", "text", "name"),
    [
        (S2, "B4", "red"), (S2, "b04, central wavelength 665 nm", "red"), (S2, "B8A", "nir08"), (S2, "B8", "nir"),
        (S2, "T51RUQ_20200615T023559_B11", "swir16"), (S2, "SWIR1", "swir16"), (S2, "B4 (Red)", "red"), (S2, "B04.", "red"),
        (S2, "Red edge 1", None), (S2, "red-edge", None), (S2, "rededge071", "rededge071"), (S2, "coastal blue", None),
        (S2, "", None), (S2, "aerosol", None), (S2, "_", None), (S2, "B044", None), (S2, "Blue ridge B04", "red"),
        (OLI, "LC08_L2SP_118039_20200615_20200823_02_T1_SR_B4", "red"), (TM, "SR_B4", "nir"), (OLI, "ST_B10", None),
    ],
)  # fmt: skip
def test_a_text_speaks_of_a_band(sensor: Sensor, text: str, name: str | None) -> None:
    band = sensor.band_in(text)
    assert (band.name if band else None) == name


@settings(deadline=None)
@given(st.text(max_size=12))
def test_a_custom_sensor_knows_only_its_names(text: str) -> None:
    sensor = custom_sensor(["red", "nir"], scale=1, offset=0, nodata=None, units="numbers")
    band = sensor.band_in(text)
    assert band is None or band.name in text.casefold()


def test_a_custom_sensor_takes_the_wavelengths_of_known_names() -> None:
    sensor = custom_sensor(["red", "thermal", "nir"], scale=1, offset=0, nodata=0, units="numbers", wavelengths_nm={"nir": 840})
    assert [b.wavelength_nm for b in sensor.bands] == [665, None, 840]


@pytest.mark.parametrize("bands", [[], ["red", "red"]])
def test_custom_bands_are_named_once(bands: list[str]) -> None:
    with pytest.raises(InputError, match="name each band of the file once"):
        custom_sensor(bands, scale=1, offset=0, nodata=0, units="reflectance")


def test_unknown_names() -> None:
    with pytest.raises(InputError, match=r"'sentinel-2' is not known; expected one of sentinel-2-l2a.*custom"):
        sensor_named("sentinel-2")


@settings(deadline=None)
@given(st.integers(0, 9999), st.sampled_from(["{0:05.2f}", "{1:04d}", "N{1:04d}"]))
def test_1000_is_taken_off_from_baseline_4_on(hundredths: int, spelling: str) -> None:
    baseline = spelling.format(hundredths / 100, hundredths)
    assert number_offset(S2, baseline, None, "scene") == (-1000 if hundredths >= 400 else 0)


def test_what_the_config_declares_wins_and_other_sensors_have_no_baseline() -> None:
    assert number_offset(S2, "05.09", 0.0, "scene") == 0
    assert number_offset(S2, None, -1000.0, "scene") == -1000
    assert number_offset(OLI, None, None, "scene") == 0


@pytest.mark.parametrize("baseline", ["", "four", "4", "nan", "5.9.1", "N509"])
def test_a_baseline_that_is_none(baseline: str) -> None:
    with pytest.raises(InputError, match=r"a.tif: processing baseline .* expected something like 05.09 or N0509"):
        number_offset(S2, baseline, None, "a.tif")


def test_an_unknown_baseline_is_not_guessed() -> None:
    with pytest.raises(InputError, match=r"a.tif: the processing baseline is in neither .* `sensor: number_offset:` to 0"):
        number_offset(S2, None, None, "a.tif")


def test_numbers_become_reflectance() -> None:
    numbers = np.array([0, 1000, 1500, 11000], dtype=np.uint16)
    np.testing.assert_allclose(to_values(numbers, S2, -1000), [np.nan, 0, 0.05, 1], atol=1e-7)
    np.testing.assert_allclose(to_values(numbers, S2), [np.nan, 0.1, 0.15, 1.1], atol=1e-6)
    np.testing.assert_allclose(to_values(np.array([0, 7273, 43636], np.uint16), OLI), [np.nan, 0, 1], atol=1e-4)


@settings(deadline=None)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9), st.sampled_from([None, -1.0, 0.0, float("nan")]))
def test_exactly_the_nodata_numbers_are_nan(numbers: list[int], nodata: float | None) -> None:
    sensor = custom_sensor(["red"], scale=0.1, offset=5, nodata=nodata, units="numbers")
    values = to_values(np.array(numbers, dtype=np.int16), sensor)
    assert values.dtype == np.float32
    assert np.isnan(values).tolist() == [n == nodata for n in numbers]
    assert np.isnan(to_values(np.array([np.nan, 7], np.float32), sensor)).tolist() == [True, False]


def test_the_scene_classification_of_sentinel_2() -> None:
    seen = decode_quality(S2, np.arange(12, dtype=np.uint8))
    assert np.flatnonzero(seen).tolist() == [2, 4, 5, 6, 7, 11]


def test_the_bits_of_landsat() -> None:
    clear, water, fill, cloud, shadow, snow = 21824, 21952, 1, 22280, 23888, 30048
    assert decode_quality(OLI, np.array([clear, water, fill, cloud, shadow, snow], np.uint16)).tolist() == [
        True, True, False, False, False, True,
    ]  # fmt: skip


def test_a_sensor_without_a_quality_band() -> None:
    with pytest.raises(ValueError, match="no quality rule"):
        decode_quality(sensor_named("sentinel-2-l1c"), np.zeros(1, np.uint8))
