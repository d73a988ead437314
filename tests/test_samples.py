"""Chips for training: the same ones everywhere, balanced, and turned together with their labels."""

import multiprocessing
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from landshift.models.network import samples
from landshift.models.network.samples import (
    Augmentation,
    LabelledTiles,
    Masks,
    TrainingChips,
    augment,
    masks_of,
    with_hidden_strip,
)
from landshift.pipeline.epochs.matching import PairSource
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import grid_of
from landshift.pipeline.labels.read import Labels
from landshift.pipeline.legend import NOT_LABELLED
from landshift.pipeline.raster.write import write_raster

N = NOT_LABELLED
SIDE = 160


def write(path: Path, image: np.ndarray) -> Path:
    shape = (image.shape[1], image.shape[2])
    grid = grid_of(Affine(10, 0, 600_000, 0, -10, 5_900_000), shape, "EPSG:32633")
    return write_raster(path, image.astype(np.float32), grid, nodata=float("nan"))


def numbered(side: int = SIDE) -> np.ndarray:
    """Two bands: each pixel says its row and its column."""
    return np.stack(np.mgrid[:side, :side]).astype(np.float32)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> PairSource:
    folder = tmp_path_factory.mktemp("epochs")
    return PairSource(write(folder / "before.tif", numbered()), write(folder / "after.tif", numbered() + 1000))


def rare(side: int = SIDE) -> Masks:
    """Two classes in halves, and a change of nine pixels."""
    before = np.zeros((side, side), np.uint8)
    before[:, side // 2 :] = 1
    change = np.zeros((side, side), np.uint8)
    change[70:73, 20:23] = 1
    return Masks(before, np.where(change == 1, 1 - before, before).astype(np.uint8), change)


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """Bit for bit, where NaN is NaN."""
    return first.keys() == second.keys() and all(
        np.array_equal(first[k].numpy(), second[k].reshape(first[k].shape).numpy(), equal_nan=first[k].is_floating_point())
        for k in first
    )


def test_a_chip_is_what_it_should_be(images: PairSource) -> None:
    chip = TrainingChips(images, rare(), size=64)[0]
    assert {k: (tuple(v.shape), v.dtype) for k, v in chip.items()} == {
        "before": ((2, 64, 64), torch.float32),
        "after": ((2, 64, 64), torch.float32),
        "before_label": ((64, 64), torch.int64),
        "after_label": ((64, 64), torch.int64),
        "change_label": ((64, 64), torch.int64),
    }


def test_the_same_seed_and_index_give_the_same_chip(images: PairSource) -> None:
    one, again, other = (TrainingChips(images, rare(), size=32, seed=s) for s in (3, 3, 4))
    order = [5, 0, 300, 5]
    first = [one[i] for i in order]
    assert all(same(chip, again[i]) for i, chip in reversed(list(zip(order, first, strict=True))))
    assert same(first[0], first[3])
    assert not same(first[0], first[1])
    assert not same(first[0], other[5])


def _chip_in_child(chips: TrainingChips, index: int, answer: Any) -> None:
    answer.put({k: v.numpy() for k, v in chips[index].items()})


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("opened_before", [False, True])
def test_workers_read_the_same_pixels_as_their_parent(images: PairSource, opened_before: bool, method: str) -> None:
    chips = TrainingChips(images, rare(), size=32, seed=1)
    if opened_before:
        _ = chips[0]
    context = multiprocessing.get_context(method)
    answer = context.Queue()
    child = context.Process(target=_chip_in_child, args=(chips, 4, answer))
    child.start()
    said = answer.get(timeout=60)
    child.join(30)
    assert same(chips[4], {k: torch.from_numpy(v) for k, v in said.items()})


def holding_change(chips: TrainingChips, count: int) -> float:
    return float(np.mean([bool((chips[i]["change_label"] == 1).any()) for i in range(count)]))


def test_half_of_the_chips_hold_change_however_rare_it_is(images: PairSource) -> None:
    chips = TrainingChips(images, rare(), size=32, seed=0)
    # One pixel in 2,800 has changed; a chip elsewhere hardly ever meets it.
    assert 0.42 < holding_change(chips, 200) < 0.65


def test_small_classes_are_seen_as_often_as_large_ones(images: PairSource) -> None:
    nothing = np.full((SIDE, SIDE), N, np.uint8)
    before = np.zeros((SIDE, SIDE), np.uint8)
    before[150:152, 150:152] = 7
    chips = TrainingChips(images, Masks(before, nothing, nothing), size=32, augmentation=None)
    assert 0.4 < np.mean([bool((chips[i]["before_label"] == 7).any()) for i in range(200)]) < 0.6


def test_only_change_or_only_no_change_is_enough_to_learn_from(images: PairSource) -> None:
    nothing = np.full((SIDE, SIDE), N, np.uint8)
    for value in (0, 1):
        change = nothing.copy()
        change[80, 90] = value
        chips = TrainingChips(images, Masks(nothing, nothing, change), size=32, augmentation=None)
        assert all(bool((chips[i]["change_label"] == value).any()) for i in range(10))


@pytest.mark.parametrize("size", [0, -32, 48])
def test_a_size_that_the_network_cannot_take_is_refused(images: PairSource, size: int) -> None:
    with pytest.raises(InputError, match="expected a multiple of 32"):
        TrainingChips(images, rare(), size=size)


def test_a_split_without_labels_is_refused(images: PairSource) -> None:
    nothing = np.full((SIDE, SIDE), N, np.uint8)
    with pytest.raises(InputError, match="no labelled pixel"):
        TrainingChips(images, Masks(nothing, nothing, nothing))


def test_labels_follow_the_pixels_of_every_chip(images: PairSource) -> None:
    """Labels are derived from the pixels themselves, so a wrong turn of either would show."""
    row, column = numbered().astype(np.int64)
    masks = Masks((row % 5).astype(np.uint8), (column % 7).astype(np.uint8), ((row * 3 + column) % 2).astype(np.uint8))
    # Without other light numbers stay readable.
    chips = TrainingChips(images, masks, size=32, seed=2, augmentation=Augmentation(0.0))
    turned, swapped = set(), set()
    for index in range(80):
        chip = {k: v.numpy() for k, v in chips[index].items()}
        inside = np.isfinite(chip["before"][0])
        was, became = ("before", "after") if np.nanmin(chip["before"]) < 1000 else ("after", "before")
        y, x = (np.rint(p[inside]).astype(np.int64) for p in chip[was])
        np.testing.assert_array_equal(np.rint(chip[became][:, inside]) - 1000, [y, x])
        np.testing.assert_array_equal(chip[f"{was}_label"][inside], y % 5)
        np.testing.assert_array_equal(chip[f"{became}_label"][inside], x % 7)
        np.testing.assert_array_equal(chip["change_label"][inside], (y * 3 + x) % 2)
        assert all((chip[f"{k}_label"][~inside] == N).all() for k in ("before", "after", "change"))
        swapped.add(was)
        if inside.all():
            pixels = np.rint(chip[was])
            turned.add((*(pixels[:, 0, 1] - pixels[:, 0, 0]), *(pixels[:, 1, 0] - pixels[:, 0, 0])))
    assert swapped == {"before", "after"}
    assert len(turned) == 8  # every turn, with and without a flip


def test_without_augmentation_north_stays_up(images: PairSource) -> None:
    chips = TrainingChips(images, rare(), size=32, augmentation=None)
    for index in range(10):
        row, column = (p.numpy() for p in chips[index]["before"])
        assert (np.diff(row, axis=0)[np.isfinite(np.diff(row, axis=0))] == 1).all()
        assert (np.diff(column, axis=1)[np.isfinite(np.diff(column, axis=1))] == 1).all()
        assert np.nanmax(row) < 1000


def a_chip(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    pixels = {k: rng.normal(size=(2, 4, 4)) for k in ("before", "after")}
    return {**pixels, **{f"{k}_label": rng.integers(0, 9, (4, 4)) for k in ("before", "after", "change")}}


def equal(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[k], second[k]) for k in first)


def test_one_turn_flip_and_swap_typed_out() -> None:
    corner = np.array([[1, 0], [0, 0]])
    chip = {
        "before": corner[None] * 10,
        "after": corner[None] * 20,
        "before_label": corner,
        "after_label": corner * 2,
        "change_label": corner * 3,
    }
    turned = augment(chip, 1, flip=False, swap=False)
    assert turned["before"].tolist() == [[[0, 0], [10, 0]]]
    assert turned["change_label"].tolist() == [[0, 0], [3, 0]]
    both = augment(chip, 1, flip=True, swap=True)
    assert both["before"].tolist() == [[[0, 0], [0, 20]]]
    assert both["before_label"].tolist() == [[0, 0], [0, 2]]
    assert both["after_label"].tolist() == [[0, 0], [0, 1]]
    assert both["change_label"].tolist() == [[0, 0], [0, 3]]


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 999), quarters=st.integers(0, 3), flip=st.booleans())
def test_laws_of_augmentation(seed: int, quarters: int, flip: bool) -> None:
    chip = a_chip(seed)
    assert equal(augment(chip, 0, flip=False, swap=False), chip)
    swapped = augment(chip, quarters, flip, swap=True)
    assert equal(augment(swapped, 0, flip=False, swap=True), augment(chip, quarters, flip, swap=False))
    assert np.array_equal(swapped["change_label"], augment(chip, quarters, flip, swap=False)["change_label"])
    unturned = augment(augment(chip, quarters, flip=False, swap=False), 4 - quarters, flip=False, swap=False)
    assert equal(unturned, chip)
    mirrored = augment(chip, quarters, flip=True, swap=False)
    assert equal(augment(mirrored, quarters, flip=True, swap=False), chip)


def test_eight_turns_and_flips_are_eight_pictures() -> None:
    chip = a_chip(0)
    seen = {augment(chip, q, f, swap=False)["before"].tobytes() for q, f in product(range(4), (False, True))}
    assert len(seen) == 8


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 999), factor=st.sampled_from([1e-4, 1.0, 1e4]))
def test_other_radiometry_is_a_gain_and_an_offset_a_band_and_date(seed: int, factor: float) -> None:
    chip = a_chip(seed)
    chip["before"][0, 1, 2] = np.nan
    varied = samples.with_other_radiometry(chip, np.random.default_rng(seed), Augmentation(0.1))
    fits = set()
    for date in ("before", "after"):
        assert varied[date].dtype == np.float32
        for ours, theirs in zip(chip[date], varied[date], strict=True):
            seen = np.isfinite(ours)
            assert np.array_equal(seen, np.isfinite(theirs))
            gain, offset = np.polyfit(ours[seen], theirs[seen], 1)
            np.testing.assert_allclose(theirs[seen], gain * ours[seen] + offset, atol=1e-5)
            fits.add((round(gain, 6), round(offset, 6)))
            assert 0.4 < gain < 1.6
    assert len(fits) == 4
    for name in ("before_label", "after_label", "change_label"):
        assert np.array_equal(varied[name], chip[name])
    # The same in other units: what is drawn is relative to the contrast of the chip.
    other = {**chip, "before": chip["before"] * factor, "after": chip["after"] * factor}
    scaled = samples.with_other_radiometry(other, np.random.default_rng(seed), Augmentation(0.1))
    for date in ("before", "after"):
        np.testing.assert_allclose(scaled[date] / factor, varied[date], atol=1e-5)


def test_radiometry_of_strength_zero_and_of_flat_or_empty_bands_changes_nothing() -> None:
    chip = a_chip(0)
    still = samples.with_other_radiometry(chip, np.random.default_rng(0), Augmentation(0.0))
    np.testing.assert_allclose(still["before"], chip["before"], atol=1e-6)
    np.testing.assert_allclose(still["after"], chip["after"], atol=1e-6)
    flat = np.stack([np.full((4, 4), 3.0), np.full((4, 4), np.nan)])
    varied = samples.with_other_radiometry({**chip, "before": flat, "after": flat}, np.random.default_rng(0), Augmentation(0.1))
    np.testing.assert_array_equal(varied["before"], flat)


def test_a_hidden_strip_hides_pixels_and_labels_of_both_dates_and_nothing_else() -> None:
    chip = a_chip(0)
    hidden = with_hidden_strip(chip, 1)
    for name in chip:
        rows = hidden[name][..., :1, :]
        assert np.isnan(rows).all() if name in ("before", "after") else (rows == N).all()
        assert np.array_equal(hidden[name][..., 1:, :], chip[name][..., 1:, :])
        assert not np.isnan(chip[name]).any()


@pytest.fixture
def small(tmp_path: Path) -> PairSource:
    """40 x 40 pixels; clouds hide four rows before and three columns after."""
    before, after = numbered(40), numbered(40)
    before[:, 10:14] = np.nan
    after[:, :, 20:23] = np.nan
    return PairSource(write(tmp_path / "before.tif", before), write(tmp_path / "after.tif", after))


def test_chips_reach_past_the_edges_and_only_observed_pixels_keep_labels(small: PairSource) -> None:
    zero = np.zeros((40, 40), np.uint8)
    chips = TrainingChips(small, Masks(zero, zero, zero), size=64, augmentation=None)
    for index in range(8):
        chip = {k: v.numpy() for k, v in chips[index].items()}
        seen = np.isfinite(chip["before"][0]) & np.isfinite(chip["after"][0])
        for name in ("before_label", "after_label", "change_label"):
            np.testing.assert_array_equal(chip[name], np.where(seen, 0, N))
        # A chip of 64 cannot lie in an image of 40, and the rows and columns under clouds are seen in no chip.
        rows, columns = (set(p[seen].astype(int).tolist()) for p in chip["before"])
        assert rows <= {*range(10), *range(14, 40)}
        assert columns <= {*range(20), *range(23, 40)}
        assert 0 < seen.sum() == len(rows) * len(columns)


def test_tiles_cover_every_labelled_pixel_once(small: PairSource) -> None:
    nothing = np.full((40, 40), N, np.uint8)
    change = nothing.copy()
    change[2, 3], change[35, 2], change[39, 39], change[11, 1] = 0, 1, 1, 1
    tiles = LabelledTiles(small, Masks(nothing, nothing, change), size=32)
    assert len(tiles) == 3  # upper left, lower left, lower right
    chips = [tiles[i] for i in range(len(tiles))]
    assert [sorted(c["change_label"][c["change_label"] != N].tolist()) for c in chips] == [[0], [1], [1]]  # row 11 is hidden
    assert chips[2]["before"][:, 7, 7].tolist() == [39.0, 39.0]
    inside = np.zeros((32, 32), bool)
    inside[:8, :8] = True
    assert np.array_equal(np.isfinite(chips[2]["before"][0].numpy()), inside)


def test_tiles_without_labels_are_none(small: PairSource) -> None:
    nothing = np.full((40, 40), N, np.uint8)
    assert len(LabelledTiles(small, Masks(nothing, nothing, nothing), size=32)) == 0


def test_masks_keep_one_split_and_count_classes_from_zero() -> None:
    labels = Labels(
        before=np.array([[2, 5, 9], [2, N, 5]], np.uint8),
        after=np.array([[5, 5, 9], [N, 9, 2]], np.uint8),
        change=np.array([[1, 0, 0], [N, N, 1]], np.uint8),
    )
    role = np.array([[1, 1, 1], [1, 1, 2]], np.uint8)
    masks = masks_of(labels, role, 1, (2, 5, 9))
    assert masks.before.tolist() == [[0, 1, 2], [0, N, N]]
    assert masks.after.tolist() == [[1, 1, 2], [N, 2, N]]
    assert masks.change.tolist() == [[1, 0, 0], [N, N, N]]
    assert masks.labelled.tolist() == [[True, True, True], [True, True, False]]
    assert {masks.before.dtype, masks.after.dtype, masks.change.dtype} == {np.dtype(np.uint8)}
    assert masks_of(labels, role, 2, (2, 5, 9)).change.tolist() == [[N, N, N], [N, N, 1]]


def test_masks_of_a_binary_project_know_no_classes() -> None:
    labels = Labels(*(np.array([[1, 1]], np.uint8) for _ in range(2)), change=np.array([[0, 1]], np.uint8))
    masks = masks_of(labels, np.ones((1, 2), np.uint8), 1, ())
    assert masks.before.tolist() == [[N, N]]
    assert masks.change.tolist() == [[0, 1]]
