"""Radiometry: known gains and curves are found again in spite of change; a mapping keeps order, holes and itself in JSON."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landshift.pipeline.epochs.radiometry import METHODS, BandMapping, Knots, fit_histogram, fit_moments, fit_radiometric
from landshift.pipeline.errors import InputError
from landshift.pipeline.records import content_of, record_of

GAIN, OFFSET = np.array([1.4, 0.7, 1.1, 2.0]), np.array([0.05, -0.02, 0.0, 0.1])


def pair(pixels: int = 40_000, seed: int = 0, changed: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Two dates (n, 4) of reflectances, the later one `GAIN * value + OFFSET`, with a share of pixels really changed."""
    rng = np.random.default_rng(seed)
    mixing = np.array([[1.0, 0.4, 0.2, 0.0], [0.0, 0.8, 0.5, 0.1], [0.0, 0.0, 0.6, 0.7], [0.2, 0.0, 0.0, 0.9]])
    scene = 0.2 + 0.05 * rng.normal(size=(pixels, 4)) @ mixing
    later = scene + 0.003 * rng.normal(size=scene.shape)
    built = rng.random(pixels) < changed
    later[built] = [0.35, 0.33, 0.1, 0.05] + 0.02 * rng.normal(size=(int(built.sum()), 4))
    return scene, GAIN * later + OFFSET


def gains_of(mapping: BandMapping) -> tuple[np.ndarray, np.ndarray]:
    source, target = np.array(mapping.source), np.array(mapping.target)
    slope = (np.diff(target) / np.diff(source))[:, 0]
    return slope, target[:, 0] - slope * source[:, 0]


def as_image(samples: np.ndarray) -> np.ndarray:
    return samples.T[:, None]


def test_known_gains_are_recovered_in_spite_of_change_and_all_pixels_would_give_worse_ones() -> None:
    before, after = pair()
    mapping = fit_radiometric(before, after)
    slope, offset = gains_of(mapping)
    np.testing.assert_allclose(slope, 1 / GAIN, rtol=0.02)
    np.testing.assert_allclose(offset, -OFFSET / GAIN, atol=0.003)
    naive = np.array([np.polyfit(after[:, b], before[:, b], 1)[0] for b in range(4)])
    assert (np.abs(naive * GAIN - 1) > 5 * np.abs(slope * GAIN - 1)).all()


def test_the_held_out_pixels_say_what_was_gained() -> None:
    before, after = pair()
    mapping = fit_radiometric(before, after)
    assert set(mapping.facts) == {"rmse_before", "rmse_after", "correlation"}
    without, mapped = np.array(mapping.facts["rmse_before"]), np.array(mapping.facts["rmse_after"])
    assert without.shape == mapped.shape == (4,)
    assert (mapped < 0.2 * without).all()
    assert mapped.max() < 0.004
    assert min(mapping.facts["correlation"]) > 0.99
    assert f"{mapping.facts['rmse_before'][0]:.4g} to {mapping.facts['rmse_after'][0]:.4g}" in mapping.notes[0]
    assert len(mapping.notes) == 1
    assert f"on {mapping.pixels * 3 // 2} pseudo-invariant pixels" in mapping.notes[0]
    assert mapping.invariant == pytest.approx(0.05 * 0.9 * len(before), rel=0.3), "one in twenty unchanged pixels"
    assert mapping.pixels == mapping.invariant - mapping.invariant // 3


def test_pixels_that_are_not_observed_at_both_dates_do_not_count() -> None:
    before, after = pair(25_000)
    holed, other = np.concatenate([before, before[:500]]), np.concatenate([after, after[:500] * 50])
    holed[25_000:25_250, 1] = np.nan
    other[25_250:, 3] = np.nan
    np.testing.assert_array_equal(fit_radiometric(holed, other).target, fit_radiometric(before, after).target)


def test_mapping_there_and_mapping_back_undo_each_other() -> None:
    before, after = pair(changed=0.0)
    there, back = gains_of(fit_radiometric(before, after))[0], gains_of(fit_radiometric(after, before))[0]
    np.testing.assert_allclose(there * back, 1, rtol=1e-3)


def test_a_seed_repeats_and_another_holds_out_other_pixels() -> None:
    before, after = pair(25_000)
    first, again, other = (fit_radiometric(before, after, seed=s) for s in (3, 3, 4))
    assert first == again
    assert first.facts != other.facts


def test_radiometric_normalisation_refuses_what_it_cannot_do() -> None:
    before, after = pair(25_000)
    with pytest.raises(InputError, match=r"Only \d+ of 1000 pixels look unchanged .* 100 are needed"):
        fit_radiometric(before[:1000], after[:1000])
    with pytest.raises(InputError, match="0 pixels are observed"):
        fit_radiometric(before, np.full_like(after, np.nan))
    with pytest.raises(InputError, match="Band 2 does not rise after where it rises before"):
        fit_radiometric(before, after * [1, -1, 1, 1])
    with pytest.raises(ValueError, match="of the same pixels"):
        fit_radiometric(before, after[:-1])
    with pytest.raises(ValueError, match="at least 6"):
        fit_radiometric(before, after, min_pixels=3)


def test_histogram_matching_undoes_a_monotone_transform_whatever_the_order_of_pixels() -> None:
    rng = np.random.default_rng(0)
    reference = rng.uniform(0.1, 0.9, (20_000, 2))
    image = np.stack([np.sqrt(reference[:, 0]), 3 * reference[:, 1] ** 2 - 1], axis=1)
    image[:100] = np.nan  # all but these
    mapping = fit_histogram(rng.permutation(reference), image)
    assert np.shape(mapping.source) == np.shape(mapping.target) == (2, 65)
    assert mapping.pixels == 19_900
    mapped = mapping.apply(as_image(image))[:, 0].T
    assert np.isnan(mapped[:100]).all()
    np.testing.assert_allclose(mapped[100:], reference[100:], atol=0.01)


def test_histogram_matching_has_the_quantiles_of_a_small_picture() -> None:
    reference = np.array([[10.0], [20.0], [40.0]])
    image = np.array([[3.0], [1.0], [2.0], [np.nan]])
    mapping = fit_histogram(reference, image, knots=3)
    np.testing.assert_allclose(mapping.source, [[1, 2, 3]], atol=1e-6)
    np.testing.assert_allclose(mapping.target, [[10, 20, 40]], atol=1e-6)
    #  Halfway between two knots, and beyond both ends with the slope of the outer segments.
    picture = np.array([[[1.5, 2.5, np.nan], [0.0, 4.0, np.inf]]])
    mapped = mapping.apply(picture)
    np.testing.assert_allclose(mapped, [[[15, 30, np.nan], [0, 60, np.nan]]], atol=1e-6)
    assert mapped.dtype == np.float32


def test_ties_in_the_image_become_one_knot_at_the_mean_of_what_they_stand_for() -> None:
    """Half of the image is 0: it takes the mean of the quantiles 0, 1/4 and 1/2 of the reference, 10, 20 and 30."""
    reference = np.array([[10.0], [20.0], [30.0], [40.0], [50.0]])
    image = np.array([[0.0], [0.0], [0.0], [6.0], [8.0]])
    mapping = fit_histogram(reference, image, knots=5)
    assert (np.diff(mapping.source) > 0).all()
    mapped = mapping.apply(np.array([[[0.0, 3.0, 6.0, 7.0, 8.0]]]))
    np.testing.assert_allclose(mapped, [[[20, 30, 40, 45, 50]]], atol=1e-6)


def test_moments_are_taken_over() -> None:
    image = np.random.default_rng(0).gamma(2.0, 3.0, (500, 3))
    image[::7, 1] = np.nan
    mean, std = np.array([0.1, 0.5, -2.0]), np.array([0.02, 0.1, 3.0])
    mapping = fit_moments(mean, std, image)
    mapped = mapping.apply(as_image(image)).astype(np.float64)
    np.testing.assert_allclose(np.nanmean(mapped, axis=(1, 2)), mean, atol=1e-6)
    np.testing.assert_allclose(np.nanstd(mapped, axis=(1, 2)), std, rtol=1e-6)
    assert np.shape(mapping.source) == (3, 2)


@pytest.mark.parametrize("value", [7.0, np.nan])
def test_a_band_that_says_nothing_is_named(value: float) -> None:
    samples = np.random.default_rng(0).random((50, 3))
    flat = samples.copy()
    flat[:, 1] = value
    for reference, image, name in ((samples, flat, "image"), (flat, samples, "reference")):
        with pytest.raises(InputError, match=f"Band 2 of the {name} is"):
            fit_histogram(reference, image)
    with pytest.raises(InputError, match="Band 2 of the image is"):
        fit_moments(np.zeros(3), np.ones(3), flat)


def test_other_things_that_do_not_fit_are_refused() -> None:
    samples = np.random.default_rng(0).random((50, 3))
    with pytest.raises(InputError, match="same bands"):
        fit_histogram(samples, samples[:, :2])
    with pytest.raises(ValueError, match="at least 2 knots"):
        fit_histogram(samples, samples, knots=1)
    with pytest.raises(InputError, match="give one a band"):
        fit_moments(np.zeros(2), np.ones(2), samples)
    with pytest.raises(InputError, match=r"Band 3 is to have mean 0.0 and standard deviation 0.0"):
        fit_moments(np.zeros(3), np.array([1.0, 1.0, 0.0]), samples)
    with pytest.raises(InputError, match="for 3 bands, the image has 2"):
        fit_moments(np.zeros(3), np.ones(3), samples).apply(np.zeros((2, 4, 4)))


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (((0.0, 0.0),), ((0.0, 1.0),), "ascend"),
        (((0.0, 1.0),), ((1.0, 0.0),), "descend"),
        (((0.0, np.nan),), ((0.0, 1.0),), "ascend"),
        (((0.0,),), ((1.0,),), "two knots"),
    ],
)
def test_knots_out_of_order_are_no_mapping(source: Knots, target: Knots, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BandMapping("moment matching", source, target)
    with pytest.raises(ValueError, match="is not known"):
        BandMapping("magic", ((0, 1),), ((0, 1),))


def mapping_of(kind: str, seed: int) -> tuple[BandMapping, np.ndarray]:
    """A mapping and samples (n, band) of the image that it was fitted for; some values are tied."""
    rng = np.random.default_rng(seed)
    if kind == "radiometric normalisation":
        before, after = pair(12_000, seed)
        return fit_radiometric(before, after, min_pixels=20), after
    image, reference = rng.gamma(2.0, 1.0, (300, 2)), rng.normal(0, 5, (200, 2)).round(rng.integers(0, 3))
    image[rng.random(image.shape) < 0.3] = 0.0
    if kind == "histogram matching":
        return fit_histogram(reference, image, knots=int(rng.integers(2, 80))), image
    return fit_moments(np.array([1.0, -1.0]), np.array([0.1, 10.0]), image), image


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(METHODS), st.integers(0, 2**16))
def test_every_mapping_keeps_order_and_holes_and_survives_json(kind: str, seed: int) -> None:
    mapping, samples = mapping_of(kind, seed)
    assert mapping.method == kind
    low, high = samples.min(axis=0), samples.max(axis=0)
    ramp = (low + np.linspace(-1, 2, 301)[:, None] * (high - low)).T.reshape(-1, 7, 43)
    mapped = mapping.apply(ramp)
    steps = np.diff(mapped.reshape(len(mapped), -1).astype(np.float64), axis=1)
    assert steps.min() >= -1e-6 * np.ptp(mapped)

    hidden = np.random.default_rng(seed).random(ramp.shape) < 0.2
    np.testing.assert_array_equal(mapping.apply(np.where(hidden, np.nan, ramp)), np.where(hidden, np.nan, mapped))
    np.testing.assert_array_equal(mapping.apply(ramp[:, 2:5, 10:20]), mapped[:, 2:5, 10:20])

    assert record_of(BandMapping, json.loads(json.dumps(content_of(mapping), allow_nan=False)), "here") == mapping


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(["histogram", "moments"]), st.integers(0, 2**16), st.sampled_from([1e-3, 1.0, 1e4]))
def test_an_image_that_is_its_own_reference_stays(kind: str, seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    image = spread * rng.normal(1, 1, (400, 2))
    image[rng.random(image.shape) < 0.2] = 0.0
    mapping = {
        "histogram": lambda: fit_histogram(rng.permutation(image), image),
        "moments": lambda: fit_moments(image.mean(axis=0), image.std(axis=0), image),
    }[kind]()
    np.testing.assert_allclose(mapping.apply(as_image(image)), as_image(image), rtol=1e-6, atol=2e-6 * spread)
