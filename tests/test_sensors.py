"""Bands are known by any of their names, and numbers become reflectance by the rule of their sensor."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landshift.pipeline.errors import InputError
from landshift.pipeline.scenes.sensors import (
    QUALITY_RULES,
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
    names = [name for b in sensor.bands for name in {b.name.casefold(), b.native.casefold()}]
    assert len(set(names)) == len(names)
    assert all(400 < (b.wavelength_nm or 0) < 2300 for b in sensor.bands)
    assert sensor.nodata == (-9999 if sensor.name == "hls" else 0)
    assert sensor.quality is None or sensor.quality in QUALITY_RULES
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
    seen = decode_quality("SCL", np.arange(12, dtype=np.uint8))
    assert np.flatnonzero(seen).tolist() == [2, 4, 5, 6, 7, 11]


def test_the_bits_of_landsat() -> None:
    clear, water, fill, cloud, shadow, snow = 21824, 21952, 1, 22280, 23888, 30048
    assert decode_quality("QA_PIXEL", np.array([clear, water, fill, cloud, shadow, snow], np.uint16)).tolist() == [
        True, True, False, False, False, True,
    ]  # fmt: skip


def test_a_sensor_without_a_quality_band() -> None:
    with pytest.raises(ValueError, match="no rule"):
        decode_quality("", np.zeros(1, np.uint8))


@pytest.mark.parametrize(
    ("platform", "red", "nir"),
    [("LT05", "SR_B3", "SR_B4"), ("LE07", "SR_B3", "SR_B4"), ("landsat-7", "SR_B3", "SR_B4"), ("LC08", "SR_B4", "SR_B5"),
     ("landsat-9", "SR_B4", "SR_B5"), ("LANDSAT_8", "SR_B4", "SR_B5")],
)  # fmt: skip
def test_a_band_number_of_landsat_is_another_colour_on_another_satellite(platform: str, red: str, nir: str) -> None:
    sensor = sensor_named("landsat-c2-l2").of_platform(platform, "a scene")
    assert {b.native: b.name for b in sensor.bands}[red] == "red"
    assert {b.native: b.name for b in sensor.bands}[nir] == "nir"


def test_a_satellite_that_carries_another_sensor_is_refused() -> None:
    with pytest.raises(InputError, match=r"LT05.*does not carry landsat-c2-l2-oli.*`sensor: name: landsat-c2-l2`"):
        OLI.of_platform("LT05", "LT05_X")
    with pytest.raises(InputError, match="which satellite"):
        sensor_named("landsat-c2-l2").of_platform("", "stack.tif")
    assert OLI.of_platform("", "stack.tif") is OLI


def test_hls_has_its_narrow_infrared_under_one_name() -> None:
    hls = sensor_named("hls")
    natives = {p: {b.name: b.native for b in hls.of_platform(p, "a scene").bands}["nir08"] for p in ("S30", "L30", "landsat-8")}
    assert natives == {"S30": "B8A", "L30": "B05", "landsat-8": "B05"}


def test_two_greens_of_planetscope() -> None:
    planet = sensor_named("planetscope")
    found = [planet.band_in(text) for text in ("green_i", "green", "coastal_blue", "blue", "rededge")]
    assert [b.name if b else None for b in found] == ["green05", "green", "coastal", "blue", "rededge071"]


def test_further_quality_bands() -> None:
    fmask = np.array([0b0100_0000, 0b0000_0010, 0b0000_0100, 0b0000_1000, 0b0001_0000, 255], np.uint8)
    assert decode_quality("Fmask", fmask).tolist() == [True, False, False, False, True, False]
    assert decode_quality("UDM2", np.array([0, 1], np.uint8)).tolist() == [False, True]
    assert decode_quality("UDM", np.array([0, 1, 2], np.uint8)).tolist() == [True, False, False]
    assert decode_quality("dataMask", np.array([0, 1, 255], np.uint8)).tolist() == [False, True, True]


def test_factors_of_the_scene_go_before_those_of_the_sensor() -> None:
    np.testing.assert_allclose(to_values(np.array([0, 10000], np.uint16), OLI, own=(4e-5, -0.2)), [np.nan, 0.2], atol=1e-6)
