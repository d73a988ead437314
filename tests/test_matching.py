"""Matching: both dates in one light, whatever light they came in; and what a model is given beside them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from landshift.pipeline.epochs.matching import (
    AS_IT_IS,
    PairSource,
    Radiometry,
    Treatment,
    count_priors,
    fit_radiometry,
    matching_gate,
    prior_channels,
)
from landshift.pipeline.errors import InputError
from landshift.pipeline.gates import MARK, RULES
from landshift.pipeline.raster.write import write_raster
from landshift.pipeline.records import content_of, record_of
from landshift.pipeline.tiles import Window
from tests.conftest import small_grid

BANDS, SIDE = 4, 160
CHANGED = np.zeros((SIDE, SIDE), bool)
CHANGED[40:60, 30:70] = True


def ground(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Land in the same light on both dates, (band, y, x); a rectangle of it changed."""
    rng = np.random.default_rng(seed)
    cover = rng.normal(size=(3, SIDE, SIDE))
    mixing = rng.uniform(0.5, 1.5, (BANDS, 3))
    before = 100 + 10 * np.tensordot(mixing, cover, axes=1)
    after = before.copy()
    after[:, CHANGED] = 100 + 10 * mixing @ rng.normal(size=(3, CHANGED.sum())) + np.array([40, -30, 20, 10])[:, None]
    noise = rng.normal(size=(2, BANDS, SIDE, SIDE))
    return (before + noise[0]).astype(np.float32), (after + noise[1]).astype(np.float32)


def samples(image: np.ndarray) -> np.ndarray:
    return image.reshape(BANDS, -1).T.astype(np.float64)


def fitted(before: np.ndarray, after: np.ndarray, **wanted: Any) -> Radiometry:
    return fit_radiometry(samples(before), samples(after), **{"match": True, "standardise": False, **wanted})


def treated(radiometry: Radiometry, before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    dates = zip(radiometry.mappings, (before, after), strict=True)
    first, second = (image if mapping is None else mapping.apply(image) for mapping, image in dates)
    return first, second


def in_light(image: np.ndarray, seed: int) -> np.ndarray:
    """Show an image under another sun: gains of 0.7 to 1.3 and offsets of up to 20 for each band."""
    rng = np.random.default_rng(seed)
    gain, offset = rng.uniform(0.7, 1.3, (BANDS, 1, 1)), rng.uniform(-20, 20, (BANDS, 1, 1))
    return np.asarray(gain * image + offset, dtype=np.float32)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000))
@example(seed=1555)
def test_whatever_the_light_after_the_matched_pair_is_the_same(seed: int) -> None:
    before, after = ground()
    plain, lit = treated(fitted(before, after), before, after), None
    darker = in_light(after, seed)
    found = fitted(before, darker)
    assert found.treatment == Treatment(matched=True, standardised=False)
    lit = treated(found, before, darker)
    np.testing.assert_array_equal(lit[0], before)
    # The ground has a deviation of 10 to 25.
    np.testing.assert_allclose(lit[1], plain[1], atol=1.0)
    # A band that got next to no other light has nothing to gain.
    assert all(now < was or now == pytest.approx(was, rel=0.01) for was, now in found.residuals)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_standardised_and_matched_neither_light_nor_order_of_the_dates_matters(seed: int) -> None:
    before, after = ground()
    first, second = treated(fitted(before, after, standardise=True), before, after)
    one, other = in_light(before, seed), in_light(after, seed + 1)
    lit = treated(fitted(one, other, standardise=True), one, other)
    exchanged = treated(fitted(other, one, standardise=True), other, one)
    for pair in (lit, exchanged[::-1]):
        np.testing.assert_allclose(pair[0], first, atol=0.1)
        np.testing.assert_allclose(pair[1], second, atol=0.1)
    both = np.concatenate([samples(first), samples(second)])
    np.testing.assert_allclose(both.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(both.std(axis=0), 1, atol=1e-3)


def test_dates_that_agree_stay_as_they_are() -> None:
    """Even noise is matched a little; where held-out ground does not come closer, the band stays as it is."""
    before, after = ground()
    found = fitted(before, after)
    assert found.treatment.matched
    first, second = treated(found, before, after)
    np.testing.assert_array_equal(first, before)
    np.testing.assert_allclose(second, after, atol=1.0)
    kept = [now >= was for was, now in found.residuals]
    np.testing.assert_allclose(second[kept], after[kept], rtol=1e-5)


def test_without_invariant_ground_nothing_is_matched_and_the_reason_is_there() -> None:
    rng = np.random.default_rng(0)
    before, after = rng.normal(100, 10, (2, 900, BANDS))
    found = fit_radiometry(before, after, match=True, standardise=True)
    assert found.treatment == Treatment(matched=False, standardised=True)
    assert found.invariant is not None
    assert found.invariant < 100
    assert found.notes[0].startswith("The dates were not matched. Only")
    assert found.after is not None, "standardised all the same"


def test_a_flat_band_leaves_the_pair_as_it_is() -> None:
    rng = np.random.default_rng(0)
    before, after = rng.normal(100, 10, (2, 900, BANDS))
    before[:, 2] = 7
    found = fit_radiometry(before, after, match=True, standardise=True)
    assert (found.treatment, found.mappings, found.statistic) == (Treatment(), (None, None), None)
    assert "Band 3 is the same in every pixel before" in found.notes[0]


def test_nothing_is_done_where_nothing_is_wanted() -> None:
    before, after = ground()
    found = fitted(before, after, match=False)
    assert (found.treatment, found.mappings, found.invariant) == (Treatment(), (None, None), None)
    assert found.statistic is not None, "priors need no matching"


def test_priors_show_change_and_neither_light_nor_the_order_of_the_dates() -> None:
    before, after = ground()
    darker = in_light(after, 3)
    found, exchanged = fitted(before, darker, standardise=True), fitted(darker, before, standardise=True)
    priors = prior_channels(found, *treated(found, before, darker), ("ir-mad", "difference"))
    assert priors is not None
    assert priors.shape == (count_priors(("ir-mad", "difference"), BANDS), SIDE, SIDE) == (1 + BANDS, SIDE, SIDE)
    # IR-MAD gathers its weights on ever fewer pixels, so that even unchanged ground lies beyond 1.
    assert 0.8 < np.median(priors[0][~CHANGED]) < 1.6
    assert np.median(priors[0][CHANGED]) > 2.5
    back = prior_channels(exchanged, *treated(exchanged, darker, before), ("ir-mad", "difference"))
    np.testing.assert_allclose(back, priors, atol=0.1)
    alone = prior_channels(found, *treated(found, before, darker), ("difference",))
    np.testing.assert_array_equal(alone, priors[1:])


def test_priors_that_cannot_be_had_are_an_error_and_none_are_none() -> None:
    image = np.zeros((BANDS, 2, 2), np.float32)
    assert prior_channels(AS_IT_IS, image, image, ()) is None
    with pytest.raises(InputError, match="IR-MAD statistic of the pair, which is not there"):
        prior_channels(AS_IT_IS, image, image, ("ir-mad",))


def test_a_source_reads_what_a_model_is_given(tmp_path: Path) -> None:
    before, after = ground()
    after = in_light(after, 5)
    before[:, 3, 4] = np.nan
    paths = [write_raster(tmp_path / f"{n}.tif", i, small_grid(SIDE, SIDE)) for n, i in (("b", before), ("a", after))]
    seen = np.isfinite(before).all(axis=0)
    found = fit_radiometry(before[:, seen].T.astype(float), after[:, seen].T.astype(float), match=True, standardise=True)
    again = record_of(Radiometry, content_of(found), "test")
    window = Window(-8, 16, 32, 32)
    whole = treated(found, before, after)
    with PairSource(*paths, again).open() as reader:
        assert reader.shape == (SIDE, SIDE)
        read = reader.read(window, ("ir-mad",))
    for image, expected in ((read.before, whole[0]), (read.after, whole[1])):
        assert np.isnan(image[:, :8]).all()
        np.testing.assert_array_equal(image[:, 8:], expected[:, :24, 16:48])
    assert read.priors is not None
    assert read.priors.shape == (1, 32, 32)
    darkened = (None, found.after)
    with PairSource(*paths, again, adaptation=darkened).open() as reader:
        adapted = reader.read(window, ("ir-mad",))
    np.testing.assert_array_equal(adapted.priors, read.priors, "an adaptation is no part of the priors")
    assert not np.allclose(adapted.after, read.after, equal_nan=True)


def test_a_gate_that_wants_more_invariant_ground_than_there_is_names_it() -> None:
    matched = Radiometry(Treatment(matched=True), invariant=300, residuals=((0.2, 0.1),), notes=("The dates were matched.",))
    rules = {**RULES, "invariant_pixels": replace(RULES["invariant_pixels"], limit=500)}
    gate = matching_gate(matched, rules)
    assert gate.outcome == MARK
    assert gate.meaning.startswith("The light of the dates was matched on only 300 pixels that look unchanged")
    assert gate.remedy == "Choose dates with less change or cloud."
