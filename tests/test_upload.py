"""Numbers of the files go to the device: there they become the values, matches and priors that they are on the host."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from landshift.models.use import streaming
from landshift.models.use.streaming import MappedTile, stream
from landshift.models.use.upload import stage, values_of
from landshift.pipeline.epochs.matching import PairSource, fit_radiometry, prior_channels
from landshift.pipeline.epochs.radiometry import BandMapping
from landshift.pipeline.raster.images import RasterReader, StoredWindow
from landshift.pipeline.raster.write import write_raster
from landshift.pipeline.scores.training import Temperatures
from landshift.pipeline.tiles import Window, mirror, tiles
from tests.conftest import small_grid
from tests.small_network import network_of
from tests.test_inference import SPEC, two_dates

CPU = torch.device("cpu")
FACTORS = st.tuples(st.sampled_from([0.0, -1000.0, 3.5]), st.sampled_from([1.0, 1e-4, 2.75e-5]), st.sampled_from([0.0, -0.2]))


@st.composite
def stored_windows(draw: st.DrawFn) -> StoredWindow:
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    kinds = st.sampled_from([np.uint8, np.uint16, np.int16, np.int32, np.float32, np.float64])
    numbers = [draw(arrays.arrays(draw(kinds), shape)) for _ in range(draw(st.integers(1, 3)))]
    return StoredWindow(tuple(numbers), draw(arrays.arrays(bool, shape)), tuple(draw(FACTORS) for _ in numbers))


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
@settings(deadline=None)
@given(stored_windows())
def test_numbers_become_the_same_values_on_the_device_to_the_last_bit(stored: StoredWindow) -> None:
    found, seen = values_of(stage(stored, CPU), CPU)
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found.numpy(), stored.values())
    np.testing.assert_array_equal(np.isfinite(found.numpy()), np.broadcast_to(seen.numpy(), found.shape))
    assert not (seen.numpy() & ~stored.seen).any()


def test_numbers_are_scaled_as_metadata_have_it() -> None:
    numbers = np.array([[0, 1000, 11000]], np.uint16)
    stored = StoredWindow((numbers, numbers), np.array([[False, True, True]]), ((-1000.0, 1e-4, 0.0), (0.0, 2.75e-5, -0.2)))
    wanted = [[[np.nan, 0, 1]], [[np.nan, -0.1725, 0.1025]]]
    np.testing.assert_allclose(stored.values(), wanted, atol=1e-7)
    np.testing.assert_allclose(values_of(stage(stored, CPU), CPU)[0].numpy(), wanted, atol=1e-7)


@settings(deadline=None)
@given(stored_windows(), st.tuples(*[st.integers(0, 3)] * 4))
def test_beyond_the_edges_lies_a_mirror_image(stored: StoredWindow, beyond: tuple[int, int, int, int]) -> None:
    height, width = shape = stored.seen.shape
    top, left, bottom, right = (min(n, side) for n, side in zip(beyond, (*shape, *shape), strict=True))
    wide = Window(-top, -left, height + top + bottom, width + left + right)
    marked = StoredWindow((np.arange(height * width, dtype=np.uint16).reshape(shape),), stored.seen, ((0.0, 1.0, 0.0),))
    padded = np.full((1, wide.height, wide.width), np.nan, np.float32)
    padded[(slice(None), *Window(top, left, height, width).slices)] = marked.values()
    np.testing.assert_array_equal(marked.mirror(wide, shape).values(), mirror(padded, wide, shape))


def test_a_raster_whose_pixel_lacks_a_band_has_not_observed_it(tmp_path: Path) -> None:
    image = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    image[1, 2, 3] = np.nan
    reader = RasterReader(write_raster(tmp_path / "a.tif", image, small_grid(3, 4), nodata=np.nan))
    found = reader.read_stored(Window(1, 1, 2, 3))
    wanted = image[:, 1:, 1:].copy()
    wanted[:, 1, 2] = np.nan
    np.testing.assert_array_equal(found.values(), wanted)
    np.testing.assert_array_equal(found.crop(Window(1, 1, 1, 2)).values(), wanted[:, 1:, 1:])


def test_matches_and_priors_are_the_same_of_tensors() -> None:
    before, after = two_dates((64, 96), 4)
    after = after * 1.3 + 0.05
    after[:, 5, 6] = np.nan
    samples = [np.nan_to_num(image.reshape(3, -1).T.astype(np.float64)) for image in (before, after)]
    radiometry = fit_radiometry(samples[0], samples[1], match=True, standardise=True)
    assert radiometry.after is not None
    curved = BandMapping("histogram matching", ((0.0, 0.2, 1.0),) * 3, ((0.1, 0.1, 0.9),) * 3)
    for mapping in (radiometry.after, curved):
        on_device = mapping.apply(torch.from_numpy(after))
        assert isinstance(on_device, torch.Tensor)
        np.testing.assert_array_equal(on_device.numpy(), mapping.apply(after))
    names = ("ir-mad", "difference")
    wanted = prior_channels(radiometry, before, after, names)
    found = prior_channels(radiometry, torch.from_numpy(before), torch.from_numpy(after), names)
    assert isinstance(found, torch.Tensor)
    assert wanted.dtype == np.float32
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-6, atol=1e-7)
    assert np.isnan(wanted[:, 5, 6]).all()


def test_tiles_that_a_device_works_on_at_once_come_in_order_and_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, shape = network_of(SPEC).eval(), (160, 128)
    paths = [
        write_raster(tmp_path / f"{n}.tif", image, small_grid(*shape), nodata=np.nan)
        for n, image in enumerate(two_dates(shape, 2))
    ]
    work = tiles(shape, 64, 32)

    def mapped() -> Iterator[MappedTile]:
        return stream(network, PairSource(paths[0], paths[1]), work, Temperatures())

    alone = list(mapped())
    monkeypatch.setattr(streaming, "streams_of", lambda device: 2)
    together = list(mapped())
    assert [one.tile for one in together] == [one.tile for one in alone] == work
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.probabilities.change, other.probabilities.change)
        np.testing.assert_array_equal(one.probabilities.after, other.probabilities.after)
    handle = network.encoder.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(mapped())
    handle.remove()
