"""Faults in the pixels of two dates: a small country with forests, fields and a town, each fault put in, and what is found."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial import cKDTree

from landshift.flows.steps.images.epochs import Pair
from landshift.flows.steps.images.gating import gates_of_data, measure
from landshift.flows.steps.images.matching import match_dates
from landshift.flows.steps.project.plan import plan
from landshift.pipeline.epochs.checks import stripes
from landshift.pipeline.epochs.checks.levels import light_of, measure_levels
from landshift.pipeline.errors import InputError
from landshift.pipeline.gates import MARK, NOT_MEASURED, PASS, STOP, Gate, require_open
from tests.conftest import Territory, small_grid

SIDE = 192
BANDS = ("blue", "green", "red", "nir", "swir16", "swir22")
FOREST, FIELD, TOWN = (
    (0.03, 0.05, 0.03, 0.35, 0.18, 0.08), (0.06, 0.09, 0.10, 0.28, 0.30, 0.22), (0.12, 0.14, 0.16, 0.22, 0.27, 0.25),
)  # fmt: skip
CLOUD, BARE = (0.45, 0.45, 0.46, 0.5, 0.4, 0.3), (0.10, 0.14, 0.22, 0.30, 0.40, 0.36)
ASKED = ("implausible_levels", "level_ratio", "vegetation_difference", "unmasked_clouds", "stripes")


def land(seed: int = 0, *, later: bool = False, side: int = SIDE) -> np.ndarray:
    """Reflectance (band, y, x) of irregular parcels; later, one parcel in twelve is another one."""
    rng = np.random.default_rng(seed)
    drawn = rng.random(400)
    kinds = np.select([drawn < 0.45, drawn < 0.8], [0, 1], 2)
    if later:
        kinds = np.where(rng.random(400) < 1 / 12, 2 - kinds, kinds)
    corners = rng.random((400, 2)) * side
    nearest = cKDTree(corners).query(np.stack(np.mgrid[:side, :side], axis=-1))[1]
    values = np.array([FOREST, FIELD, TOWN])[kinds[nearest]]
    noise = np.random.default_rng(seed + later + 100).normal(0, 0.05, values.shape)
    return np.moveaxis(values * (1 + noise), -1, 0).astype(np.float32)


def blob(share: float, side: int = SIDE) -> np.ndarray:
    """Return bool (y, x): smooth patches that cover a share of a picture."""
    field = ndimage.gaussian_filter(np.random.default_rng(5).standard_normal((side, side)), 10)
    return np.asarray(field > np.quantile(field, 1 - share))


def covered(image: np.ndarray, share: float, by: tuple[float, ...]) -> np.ndarray:
    return np.where(blob(share, image.shape[1]), np.array(by, dtype=np.float32)[:, None, None], image)


def rows(image: np.ndarray, factor: float, axis: int) -> np.ndarray:
    """Return an image with every eighth row or column brighter."""
    striped = np.moveaxis(image, axis, 1).copy()
    striped[:, ::8] *= factor
    return np.moveaxis(striped, 1, axis)


class Country:
    """Two dates in a territory, and the gates on them, asked by the product's own steps."""

    def __init__(self, territory: Territory, units: str = "reflectance") -> None:
        self.territory = territory
        territory.config["sensor"] = {"name": "custom", "bands": list(BANDS), "scale": 1e-4, "nodata": -9999, "units": units}

    def asked(self, before: np.ndarray, after: np.ndarray) -> dict[str, Gate]:
        territory = self.territory
        territory.grid = small_grid(*before.shape[1:])
        for name, image in zip(territory.names, (before, after), strict=True):
            numbers = np.where(np.isfinite(image), np.clip(image * 1e4, -9000, 32767), -9999).astype(np.int16)
            territory.write(name, numbers, nodata=-9999, descriptions=BANDS)
        ws, made = territory.workspace(), plan(territory.workspace())
        first, second = territory.prepare()
        images = Pair(made, first, second, None, radiometry=match_dates(ws, made.sensor.units, first, second))
        gates = gates_of_data(ws, images, measure(ws, images))
        return {gate.setting: gate for gate in gates if gate.setting in ASKED}


def missed(gates: dict[str, Gate]) -> dict[str, str]:
    return {name: gate.outcome for name, gate in gates.items() if gate.outcome != PASS}


@pytest.fixture
def country(territory: Territory) -> Country:
    return Country(territory)


@pytest.mark.parametrize("seed", range(3))
def test_two_clear_dates_with_change_pass(country: Country, seed: int) -> None:
    assert missed(country.asked(land(seed), land(seed, later=True))) == {}


@pytest.mark.parametrize("which", ["before", "after", "both"])
@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (lambda image: image * 0.1, "scale too small"),
        (lambda image: image + 0.1, "offset (Sentinel-2: 1000) left in"),
        (lambda image: image - 0.1, "offset taken off twice"),
        (lambda image: np.full_like(image, 0.49), "scale too large"),
    ],
)
def test_a_wrong_scale_or_offset_is_found_on_one_date_or_both(country: Country, which: str, fault: Any, told: str) -> None:
    before, after = land(), land(later=True)
    gates = country.asked(*(fault(i) if which in (n, "both") else i for n, i in (("before", before), ("after", after))))
    gate = gates["implausible_levels"]
    assert gate.outcome == MARK
    assert told in gate.caution.full
    for name in ("Before", "After"):
        assert (f"{name}, " in gate.caution.full) == (which in (name.lower(), "both"))
    assert "Snow, cloud, desert or water" in gate.caution.full


@pytest.mark.parametrize("units", ["reflectance", "digital numbers"])
@pytest.mark.parametrize("which", ["before", "after"])
@pytest.mark.parametrize("factor", [10, 0.1])
def test_a_date_ten_times_as_bright_stops_in_any_unit(territory: Territory, units: str, which: str, factor: float) -> None:
    before, after = land() / 4, land(later=True) / 4
    gates = Country(territory, units).asked(
        before * factor if which == "before" else before, after * factor if which == "after" else after
    )
    gate = gates["level_ratio"]
    assert gate.outcome == STOP
    assert gate.value == pytest.approx(10, rel=0.1)
    assert (which in gate.found) == (factor > 1)
    with pytest.raises(InputError, match="level_ratio: found the date"):
        require_open(list(gates.values()))


def test_digital_numbers_have_no_known_range_and_say_so(territory: Territory) -> None:
    gates = Country(territory, "digital numbers").asked(land(), land(later=True))
    assert missed(gates) == {"implausible_levels": NOT_MEASURED, "vegetation_difference": NOT_MEASURED}
    assert "not known" in gates["implausible_levels"].caution.full


@pytest.mark.parametrize("units", ["reflectance", "digital numbers"])
@pytest.mark.parametrize("which", [0, 1])
def test_a_tenth_under_cloud_that_no_mask_took_out_is_found(territory: Territory, units: str, which: int) -> None:
    images = [land(), land(later=True)]
    images[which] = covered(images[which], 0.1, CLOUD)
    gate = Country(territory, units).asked(*images)["unmasked_clouds"]
    assert gate.outcome == MARK
    assert gate.value == pytest.approx(0.1, abs=0.03)
    assert f"date {('before', 'after')[which]}" in gate.found


def test_a_masked_cloud_is_none_and_new_bare_ground_is_none(country: Country) -> None:
    masked = np.where(blob(0.1), np.nan, land(later=True))
    assert missed(country.asked(land(), masked)) == {}
    assert missed(country.asked(land(), covered(land(later=True), 0.1, BARE))) == {}


@pytest.mark.parametrize(("axis", "along"), [(1, "rows"), (2, "columns")])
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("side", [128, 256])
def test_every_eighth_row_or_column_brighter_is_found(country: Country, axis: int, along: str, which: int, side: int) -> None:
    images = [land(side=side), land(later=True, side=side)]
    images[which] = rows(images[which], 1.15, axis)
    gates = country.asked(*images)
    assert missed(gates) == {"stripes": MARK}
    assert f"along {along}" in gates["stripes"].found
    assert f"the image {('before', 'after')[which]}" in gates["stripes"].caution.full


def test_slanted_gaps_that_were_filled_are_found(country: Country) -> None:
    """Gaps as of Landsat 7 since 2003 near the middle of its scenes: slanted, wider outwards, here filled too dark."""
    y, x = np.mgrid[:SIDE, :SIDE]
    gap = (y + 0.15 * x) % 33 < 3 + 4 * x / SIDE
    later = land(later=True)
    gates = country.asked(land(), np.where(gap, 0.7 * later, later))
    assert gates["stripes"].outcome == MARK
    assert "along rows" in gates["stripes"].found


def test_leaves_that_fell_are_seen_though_the_dates_say_nothing(country: Country) -> None:
    autumn = land(later=True)
    autumn[3] *= 0.62
    autumn[2] *= 1.9
    gate = country.asked(land(), autumn)["vegetation_difference"]
    assert gate.outcome == MARK
    assert "less green after" in gate.found
    assert "Check that the dates of the files" in gate.caution.full


def test_a_small_or_unseen_region_is_not_measured(country: Country) -> None:
    assert country.asked(land(side=96), land(later=True, side=96))["stripes"].outcome == NOT_MEASURED
    hidden = land()
    hidden[:, :, SIDE // 2 :] = np.nan
    other = land(later=True)
    other[:, :, : SIDE // 2] = np.nan
    gates = country.asked(hidden, other)
    assert set(gates) == set(ASKED)
    assert {gate.outcome for gate in gates.values()} == {NOT_MEASURED}


@settings(max_examples=25, deadline=None)
@given(st.floats(0.01, 1000), st.floats(0.2, 5))
def test_the_ratio_of_levels_knows_no_unit(unit: float, times: float) -> None:
    """Whatever one number stands for, a date that is so many times as bright has that ratio in every band."""
    pixels = np.random.default_rng(0).uniform(0.5, 2, (500, 3)) * unit
    found = measure_levels(pixels, pixels * times, (490, 560, 660))
    assert found.ratios == pytest.approx((times,) * 3)
    assert found.dark[3:] == pytest.approx(tuple(times * v for v in found.dark[:3]))


def test_what_may_be_below_zero_is_compared_by_its_spread() -> None:
    decibels = np.random.default_rng(0).normal(-15, 3, (1000, 2))
    assert measure_levels(decibels, decibels * 10, (None, None)).ratios == pytest.approx((10, 10))


@pytest.mark.parametrize(
    ("nm", "seen"),
    [(490, "visible"), (833, "near infrared"), (945, "air"), (1374, "air"), (2200, "shortwave"), (None, "unknown")],
)
def test_what_a_band_sees(nm: float | None, seen: str) -> None:
    assert light_of(nm) == seen


def test_the_median_of_eight_is_the_median() -> None:
    values = np.random.default_rng(0).normal(size=(3, 2, 40, 5, 8)).astype(np.float32)
    values[0, 0, 0, 0] = 7
    np.testing.assert_array_equal(stripes._median_of_eight(values), np.median(values, axis=-1))
