"""Features of pixels and blocks: right places, right means, the right bands."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from landshift.models.encoders.normalisation import Normalisation
from landshift.models.encoders.table import encoder_named
from landshift.models.encoders.weights import cloud_model
from landshift.models.network.siamese import ChangeNetwork
from landshift.models.transfer.blocks import block_embeddings
from landshift.models.transfer.features import pixel_features
from landshift.models.transfer.pixels import Pixels, draw_pixels
from landshift.models.transfer.source import SourceInput, joint, source_input, source_probabilities
from landshift.models.use.streaming import stream
from landshift.pipeline.epochs.matching import PairSource
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import grid_of
from landshift.pipeline.legend import NOT_LABELLED
from landshift.pipeline.raster.write import write_raster
from landshift.pipeline.scores.training import Temperatures
from landshift.pipeline.tiles import tiles
from tests.small_network import SPEC, network_of

CPU = torch.device("cpu")
STRIDES = (2, 4, 8, 16, 32)
DEPTHS = tuple(f"stride {s}" for s in STRIDES)


def write(path: Path, image: np.ndarray) -> Path:
    grid = grid_of(Affine(10, 0, 600_000, 0, -10, 5_900_000), (image.shape[1], image.shape[2]), "EPSG:32633")
    return write_raster(path, image.astype(np.float32), grid, nodata=float("nan"))


def ramps(height: int, width: int) -> np.ndarray:
    """Bands that say where a pixel's centre is: row and column, in 512ths."""
    return (np.stack(np.mgrid[:height, :width]) + 0.5) / 512


class Means:
    """An encoder whose maps are the means of the input's cells."""

    def __init__(self) -> None:
        self.calls = 0

    def encode(self, image: Tensor) -> list[Tensor]:
        self.calls += 1
        seen = torch.nan_to_num(image)
        return [seen, *(functional.avg_pool2d(seen, s) for s in STRIDES)]


def sample_of(*pixels: tuple[int, int]) -> Pixels:
    y, x = np.array(pixels).T
    return Pixels(y, x)


@pytest.fixture(scope="module")
def network() -> ChangeNetwork:
    spec = replace(SPEC, decoder_channels=(16, 16, 8, 8, 8))
    return network_of(spec, normalisation=Normalisation((0.5,) * 2, (0.3,) * 2, 1.0, "x")).eval()


def test_every_depth_is_read_at_the_centre_of_the_pixel(tmp_path: Path) -> None:
    image = ramps(320, 288)
    images = PairSource(write(tmp_path / "b.tif", image), write(tmp_path / "a.tif", image[::-1]))
    # Rows and columns differ, and the pixels lie on both sides of the edges of cells and tiles.
    sample = sample_of((200, 40), (33, 250), (63, 64), (64, 63), (159, 100), (160, 160), (287, 255))
    found = pixel_features(Means(), images, sample, tile=64, margin=32, device=CPU)
    assert found.depths == DEPTHS
    wanted = np.stack([sample.y + 0.5, sample.x + 0.5], axis=1) / 512
    for before, after, difference in zip(found.before, found.after, found.difference, strict=True):
        assert before.dtype == np.float32
        assert before == pytest.approx(wanted, abs=1e-6)
        assert after == pytest.approx(wanted[:, ::-1], abs=1e-6)
        assert difference == pytest.approx(np.abs(wanted[:, ::-1] - wanted), abs=1e-6)
    assert found.observed.all()


def test_pixels_are_read_from_the_maps_as_bilinear_enlargement_would(tmp_path: Path, network: ChangeNetwork) -> None:
    image = np.random.default_rng(0).random((2, 128, 96), dtype=np.float32)
    images = PairSource(write(tmp_path / "b.tif", image), write(tmp_path / "a.tif", 1 - image))
    sample = sample_of((0, 0), (127, 95), (5, 90), (64, 17), (31, 32))
    found = pixel_features(network, images, sample, tile=128, margin=0, device=CPU)
    with torch.inference_mode():
        maps = network.encode(torch.from_numpy(image)[None])[1:]
    for features, values in zip(maps, found.before, strict=True):
        whole = functional.interpolate(features, size=(128, 96), mode="bilinear", align_corners=False)[0].numpy()
        assert values == pytest.approx(whole[:, sample.y, sample.x].T, abs=1e-5)
    assert [v.shape[1] for v in found.after] == list(network.encoder.out_channels)[1:]


def test_each_date_of_a_tile_with_pixels_is_encoded_once(tmp_path: Path) -> None:
    path = write(tmp_path / "i.tif", ramps(320, 288))
    encoder = Means()
    pixel_features(encoder, PairSource(path, path), sample_of((0, 0), (5, 60), (300, 280)), tile=64, device=CPU)
    assert encoder.calls == 4


def test_pixels_that_a_band_of_a_date_lacks_are_not_observed(tmp_path: Path) -> None:
    before, after = ramps(64, 64), ramps(64, 64)
    before[0, 3, 4], after[1, 60, 2] = np.nan, np.nan
    images = PairSource(write(tmp_path / "b.tif", before), write(tmp_path / "a.tif", after))
    found = pixel_features(Means(), images, sample_of((4, 3), (3, 4), (60, 2)), device=CPU)
    assert found.observed.tolist() == [True, False, False]
    assert all(np.isfinite(v).all() for v in (*found.before, *found.after))


def test_maps_without_channels_are_no_depth(tmp_path: Path) -> None:
    class Transformer(Means):
        def encode(self, image: Tensor) -> list[Tensor]:
            maps = super().encode(image)
            return [maps[0], maps[1][:, :0], *maps[2:]]

    path = write(tmp_path / "i.tif", ramps(64, 64))
    assert pixel_features(Transformer(), PairSource(path, path), sample_of((1, 2)), device=CPU).depths == DEPTHS[1:]
    found = block_embeddings(Transformer(), PairSource(path, path), (64, 64), 32, device=CPU)
    assert found.values.shape == (2, 2, 18)
    assert found.sizes == (8, 10), "of the difference also the two bands of the input"


def test_an_empty_sample_pixels_outside_and_training_are_refused(tmp_path: Path, network: ChangeNetwork) -> None:
    path = write(tmp_path / "i.tif", ramps(64, 64))
    with pytest.raises(InputError, match="No pixel is sampled"):
        pixel_features(Means(), PairSource(path, path), Pixels(np.array([], int), np.array([], int)), device=CPU)
    for pixel in ((64, 0), (0, 64), (-1, 0)):
        with pytest.raises(ValueError, match="outside"):
            pixel_features(Means(), PairSource(path, path), sample_of(pixel), device=CPU)
    network.train()
    try:
        with pytest.raises(ValueError, match="training mode"):
            pixel_features(network, PairSource(path, path), sample_of((0, 0)), device=CPU)
    finally:
        network.eval()


def test_a_block_is_the_mean_of_its_observed_pixels(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    before, after = rng.random((2, 2, 352, 288))
    before[:, 32:96, 64:96] = np.nan  # cells of 32 that nobody saw before, one of them in a block seen otherwise
    after[0, 0:64, 128:192] = np.nan  # a whole block of 64 that lacks a band after
    images = PairSource(write(tmp_path / "b.tif", before), write(tmp_path / "a.tif", after))
    made = block_embeddings(Means(), images, (352, 288), 64, device=CPU)
    found = made.values
    assert found.shape == (6, 5, 22)
    assert made.sizes == (10, 12)
    seen = np.isfinite(before).all(axis=0) & np.isfinite(after).all(axis=0)
    for row, column in np.ndindex(6, 5):
        part = (slice(64 * row, 64 * row + 64), slice(64 * column, 64 * column + 64))
        if not seen[part].any():
            assert (row, column) == (0, 2)
            assert np.isnan(found[row, column]).all()
            continue
        mean = np.mean([image[:, *part][:, seen[part]].mean(axis=1) for image in (before, after)], axis=0)
        assert found[row, column, :10].reshape(5, 2) == pytest.approx(np.tile(mean, (5, 1)), abs=1e-6)
        difference = np.abs(after - before)[:, *part][:, seen[part]].mean(axis=1)
        assert found[row, column, 10:12] == pytest.approx(difference, abs=5e-6), "of the pixels, wherever they are"


@pytest.mark.parametrize("block", [32, 96, 512])
def test_blocks_are_where_they_are_said_to_be(tmp_path: Path, block: int) -> None:
    path = write(tmp_path / "i.tif", ramps(352, 288))
    found = block_embeddings(Means(), PairSource(path, path), (352, 288), block, device=CPU).values
    assert found.shape == (-(-352 // block), -(-288 // block), 22)
    np.testing.assert_array_equal(found[..., 10:], 0, err_msg="both dates are the same")
    for row, column in np.ndindex(*found.shape[:2]):
        y = (row * block + min(row * block + block, 352)) / 2 / 512
        x = (column * block + min(column * block + block, 288)) / 2 / 512
        assert found[row, column, :2] == pytest.approx([y, x], abs=1e-6)
        assert found[row, column, 8:10] == pytest.approx([y, x], abs=1e-6)


@pytest.mark.parametrize(("tile", "margin"), [(64, 32), (32, 0), (96, 64)])
def test_blocks_are_those_that_detect_sees_with_the_same_tiling(
    tmp_path: Path, network: ChangeNetwork, tile: int, margin: int
) -> None:
    """A network sees beyond a block, so that other tiles or another margin would shift its means a little."""
    rng = np.random.default_rng(4)
    before, after = rng.random((2, 2, 160, 144), dtype=np.float32)
    before[:, 40:70, 30:64] = np.nan
    images = PairSource(write(tmp_path / "b.tif", before), write(tmp_path / "a.tif", after))
    trained = block_embeddings(network, images, (160, 144), 32, tile=tile, margin=margin, device=CPU).values
    detected = np.full_like(trained, np.nan)
    for mapped in stream(network, images, tiles((160, 144), tile, margin), Temperatures(), embed_block=32):
        y, x = mapped.tile.core.y // 32, mapped.tile.core.x // 32
        part = np.moveaxis(mapped.probabilities.embedding, 0, -1)
        detected[y : y + part.shape[0], x : x + part.shape[1]] = part
    np.testing.assert_allclose(detected, trained, atol=1e-6)
    # Blocks that are not wanted may be left out; the others are the same.
    wanted = np.zeros(trained.shape[:2], dtype=bool)
    wanted[2, 3] = True
    alone = block_embeddings(network, images, (160, 144), 32, tile=tile, margin=margin, wanted=wanted, device=CPU).values
    np.testing.assert_array_equal(alone[wanted], trained[wanted])
    otherwise = block_embeddings(network, images, (160, 144), 32, tile=160, margin=32, device=CPU).values
    assert np.nanmax(np.abs(otherwise - trained)) > 1e-5


@pytest.mark.parametrize("block", [0, 16, 48])
def test_blocks_are_whole_strides(tmp_path: Path, block: int) -> None:
    path = write(tmp_path / "i.tif", ramps(64, 64))
    with pytest.raises(InputError, match="multiple of 32"):
        block_embeddings(Means(), PairSource(path, path), (64, 64), block, device=CPU)


def test_a_sample_takes_turns_between_groups() -> None:
    label = np.zeros((4, 10), dtype=np.uint8)
    label[0] = NOT_LABELLED
    label[3] = 1
    groups = np.tile(np.array([0, 0, 0, 0, 0, 0, 1, 1, 2, -1], dtype=np.int16), (4, 1))
    sample = draw_pixels(label, groups, limit=16, seed=3)
    classes, where = label[sample.y, sample.x], groups[sample.y, sample.x]
    # Of unchanged, groups 1 and 2 hold 4 and 2 pixels; of changed, 2 and 1.
    assert np.bincount(where[classes == 0]).tolist() == [3, 3, 2]
    assert np.bincount(where[classes == 1]).tolist() == [5, 2, 1]


@settings(deadline=None, max_examples=60)
@given(
    labels=st.lists(st.sampled_from([0, 1, 2, NOT_LABELLED]), min_size=24, max_size=24),
    regions=st.lists(st.integers(-1, 3), min_size=24, max_size=24),
    limit=st.integers(3, 40),
    seed=st.integers(0, 5),
)
def test_laws_of_a_balanced_sample(labels: list[int], regions: list[int], limit: int, seed: int) -> None:
    label, groups = np.array(labels, dtype=np.uint8).reshape(4, 6), np.array(regions, dtype=np.int16).reshape(4, 6)
    sample = draw_pixels(label, groups, limit=limit, seed=seed)
    again = draw_pixels(label, groups, limit=limit, seed=seed)
    assert np.array_equal(sample.y, again.y)
    assert np.array_equal(sample.x, again.x)
    assert len(sample) <= limit
    assert len({*zip(sample.y.tolist(), sample.x.tolist(), strict=True)}) == len(sample)
    taken, where = label[sample.y, sample.x], groups[sample.y, sample.x]
    assert (where >= 0).all()
    usable = (label != NOT_LABELLED) & (groups >= 0)
    classes = np.unique(label[usable])
    assert set(taken) <= set(classes)
    for value in classes:
        there = usable & (label == value)
        assert (taken == value).sum() == min(there.sum(), limit // classes.size)
        had = np.bincount(groups[there], minlength=4)
        got = np.bincount(where[taken == value], minlength=4)
        # A group that has pixels left is at most one behind any other.
        assert all(got[g] + 1 >= got.max() for g in range(4) if got[g] < had[g])


def test_a_sample_of_fewer_pixels_than_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot hold 3 classes"):
        draw_pixels(np.arange(3, dtype=np.uint8)[None], np.zeros((1, 3), np.int16), limit=2)
    with pytest.raises(ValueError, match="same"):
        draw_pixels(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.int16))


CLOUDS = encoder_named("ukis-csmask-6b-l2a")


class Echo(nn.Module):
    """Takes its first three bands for logits."""

    def forward(self, image: Tensor) -> Tensor:
        return image[:, :3]


def test_a_source_network_gets_its_bands_in_its_order_and_units() -> None:
    bands = ("swir22", "coastal", "red", "nir", "green", "swir16", "blue")
    made = source_input(CLOUDS, bands, "reflectance x 10000")
    assert [bands[i] for i in made.taken] == list(CLOUDS.bands)
    assert made.normalisation.mean == CLOUDS.mean
    assert made.normalisation.std == CLOUDS.std
    assert made.normalisation.scale == pytest.approx(1e-4)


def test_statistics_follow_the_bands_of_a_source_network() -> None:
    bands = ("nir", "red", "green", "blue", "pan")
    four = encoder_named("ukis-csmask-4b-l2a")
    made = source_input(four, bands, "digital numbers", ((4, 3, 2, 1, 9), (0.4, 0.3, 0.2, 0.1, 0.9)))
    assert made.taken == (3, 2, 1, 0)
    assert made.normalisation.mean == (1, 2, 3, 4)
    assert made.normalisation.std == (0.1, 0.2, 0.3, 0.4)


def test_a_source_network_needs_all_of_its_bands() -> None:
    with pytest.raises(InputError, match="swir22 lack"):
        source_input(CLOUDS, ("blue", "green", "red", "nir", "swir16"), "reflectance")
    with pytest.raises(InputError, match="bands"):
        source_input(encoder_named("random"), (), "reflectance")


def test_source_probabilities_are_those_of_the_pixel(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    before, after = rng.random((2, 4, 100, 70), dtype=np.float32)
    before[1, 99, 69] = np.nan  # not taken, but a pixel is observed in all bands or in none
    after[2, 99, 69] = np.nan
    images = PairSource(write(tmp_path / "b.tif", before), write(tmp_path / "a.tif", after))
    before[:, 99, 69], after[:, 99, 69] = np.nan, np.nan
    given_ = SourceInput((3, 0, 2), Normalisation((0.1, 0.2, 0.3), (0.5, 1.0, 2.0), 2.0, "encoder"))
    sample = sample_of((70, 3), (0, 69), (99, 69))
    found = source_probabilities(Echo().eval(), given_, images, sample, tile=32, device=CPU)
    for image, share in zip((before, after), found, strict=True):
        logits = (2 * image[[3, 0, 2]][:, sample.y, sample.x].T - [0.1, 0.2, 0.3]) / [0.5, 1.0, 2.0]
        wanted = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        assert share == pytest.approx(wanted, abs=1e-6, nan_ok=True)
    for share in found:
        assert np.isnan(share).all(axis=1).tolist() == [False, False, True]


def test_the_published_cloud_network_tells_ground_from_nothing(tmp_path: Path) -> None:
    ground = np.broadcast_to(np.array([0.05, 0.08, 0.06, 0.35, 0.2, 0.1])[:, None, None], (6, 64, 64))
    path = write(tmp_path / "i.tif", ground)
    made = source_input(CLOUDS, CLOUDS.bands, "reflectance")
    before, after = source_probabilities(
        cloud_model(CLOUDS), made, PairSource(path, path), sample_of((20, 30), (40, 50)), device=CPU
    )
    assert before.shape == (2, 3)
    assert before.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (before.argmax(axis=1) == 0).all()
    assert np.array_equal(before, after)


def test_pairs_of_classes_are_from_times_to() -> None:
    found = joint(np.array([[0.7, 0.3]]), np.array([[0.1, 0.9]]))
    assert found == pytest.approx(np.array([[0.07, 0.63, 0.03, 0.27]]))
