"""A split keeps roles apart, gives every class to each of them, and can be repeated."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landshift.pipeline.errors import InputError
from landshift.pipeline.labels.read import Labels
from landshift.pipeline.labels.search import NO_ROLE, ROLES
from landshift.pipeline.labels.splits import Splits, spatial_split
from landshift.pipeline.legend import LandUse, Legend
from landshift.pipeline.records import content_of, record_of

LEGEND = Legend((LandUse(1, "Forest", "#006400"), LandUse(2, "Cropland", "#ffcc00")))
NONE = NO_ROLE


def binary(change: np.ndarray) -> Labels:
    empty = np.full(change.shape, 255, dtype=np.uint8)
    return Labels(empty, empty, change.astype(np.uint8))


def scattered(seed: int, shape: tuple[int, int] = (60, 50), share: float = 0.5) -> Labels:
    """Land use in patches, labelled here and there."""
    rng = np.random.default_rng(seed)
    before, after = (rng.integers(1, 3, (12, 10)).repeat(5, axis=0).repeat(5, axis=1).astype(np.uint8) for _ in range(2))
    hidden = rng.random(shape) >= share
    change = (before != after).astype(np.uint8)
    for layer in (before, after, change):
        layer[hidden] = 255
    return Labels(before, after, change)


def nearest(role: np.ndarray, splits: Splits, own: int, later: int) -> float:
    """Shortest distance, along rows or columns, from pixels of a role to the blocks of a later one."""
    y, x = np.nonzero(role == own)
    gaps = [np.inf]
    for b in splits.blocks:
        if b.role == ROLES[later] and y.size:
            top, left = b.row * splits.block, b.column * splits.block
            bottom = min(top + splits.block, role.shape[0]) - 1
            right = min(left + splits.block, role.shape[1]) - 1
            away_y = np.maximum(np.maximum(top - y, y - bottom), 0)
            away_x = np.maximum(np.maximum(left - x, x - right), 0)
            gaps.append(float(np.maximum(away_y, away_x).min()))
    return min(gaps)


def test_three_blocks_become_three_roles_with_a_gap() -> None:
    change = np.array([[0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1]] * 4)
    role, splits = spatial_split(binary(change), Legend(), block=4, buffer=1, fractions=(0.4, 0.3, 0.3), min_pixels=4)
    assert sorted(b.role for b in splits.blocks) == ["test", "train", "validation"]
    assert [b.labelled for b in splits.blocks] == [16, 16, 16]
    used = {b.role: b.used for b in splits.blocks}
    assert used["test"] == 16  # the later role keeps all its pixels
    assert splits.buffered == sum(16 - n for n in used.values())
    for k, name in enumerate(ROLES):
        assert (role == k).sum() == used[name] == sum(splits.counts[name].values())


def test_a_rare_class_in_just_enough_blocks_is_given_to_every_role() -> None:
    change = np.zeros((200, 200), dtype=np.uint8)
    for y, x in ((12, 12), (92, 152), (172, 32)):
        change[y : y + 5, x : x + 5] = 1
    _, splits = spatial_split(binary(change), Legend(), block=10, buffer=2, min_pixels=9)
    assert min(splits.counts[role]["changed"] for role in ROLES) >= 9
    total = sum(splits.counts[role]["unchanged"] for role in ROLES)
    assert splits.counts["train"]["unchanged"] / total == pytest.approx(0.6, abs=0.12)


def test_every_class_of_each_date_is_counted() -> None:
    _, splits = spatial_split(scattered(0), LEGEND, block=10, buffer=1, min_pixels=10)
    names = {"Forest (before)", "Cropland (before)", "Forest (after)", "Cropland (after)", "unchanged", "changed"}
    assert all(set(splits.counts[role]) == names for role in ROLES)
    assert record_of(Splits, json.loads(json.dumps(content_of(splits))), "here") == splits


def test_labels_of_one_date_only_can_be_split() -> None:
    labels = scattered(0)
    empty = np.full_like(labels.change, 255)
    _, splits = spatial_split(Labels(labels.before, empty, empty), LEGEND, block=10, buffer=1, min_pixels=10)
    assert set(splits.counts["test"]) == {"Forest (before)", "Cropland (before)"}


SPLITS = st.tuples(st.integers(0, 10_000), st.integers(5, 14), st.integers(0, 6), st.floats(0.05, 1.0))


@settings(deadline=None, max_examples=8)
@given(SPLITS)
def test_roles_are_apart_and_complete_or_the_split_is_refused(arguments: tuple[int, int, int, float]) -> None:
    seed, block, buffer, share = arguments
    labels = scattered(seed, share=share)
    try:
        role, splits = spatial_split(labels, LEGEND, block=block, buffer=buffer, min_pixels=5, seed=seed)
    except InputError as error:
        assert "labelled on" in str(error)  # noqa: PT017 (both outcomes are right)
        return
    assert set(np.unique(role)) <= {0, 1, 2, NONE}
    assert (role[~labels.labelled] == NONE).all()
    for own, later in ((0, 1), (0, 2), (1, 2)):
        assert nearest(role, splits, own, later) > buffer
    for k, name in enumerate(ROLES):
        assert (labels.before[role == k] == 1).sum() == splits.counts[name]["Forest (before)"] >= 5
        assert (labels.after[role == k] == 2).sum() == splits.counts[name]["Cropland (after)"] >= 5
        assert (labels.change[role == k] == 1).sum() == splits.counts[name]["changed"] >= 5
    for b in splits.blocks:
        inside = role[b.row * block : (b.row + 1) * block, b.column * block : (b.column + 1) * block]
        assert set(np.unique(inside)) <= {ROLES.index(b.role), NONE}
        assert (inside != NONE).sum() == b.used <= b.labelled
    again, _ = spatial_split(labels, LEGEND, block=block, buffer=buffer, min_pixels=5, seed=seed)
    np.testing.assert_array_equal(again, role)


def test_only_the_buffer_is_left_out() -> None:
    role, splits = spatial_split(scattered(1, share=1.0), LEGEND, block=10, buffer=0, min_pixels=5)
    assert (role != NONE).all()
    assert splits.buffered == 0


def test_labels_may_end_before_the_territory_does() -> None:
    whole = np.full((20, 44), 255, dtype=np.uint8)
    whole[:8, :24] = (np.arange(24) // 4 % 2).repeat(8).reshape(24, 8).T
    role, _ = spatial_split(binary(whole), Legend(), block=8, buffer=0, min_pixels=4, fractions=(1 / 3, 1 / 3, 1 / 3))
    assert role.shape == whole.shape
    np.testing.assert_array_equal(role != NONE, whole != 255)


def test_a_class_in_two_blocks_is_refused_with_what_to_do() -> None:
    change = np.zeros((40, 40), dtype=np.uint8)
    change[5:8, 5:15] = 1
    with pytest.raises(InputError) as error:
        spatial_split(binary(change), Legend(), block=10, buffer=1, min_pixels=2)
    assert "'changed' is labelled on 30 pixels in 2 of 16 blocks" in str(error.value)
    assert "Use blocks smaller than 10 pixels" in str(error.value)


def test_a_class_that_the_buffer_swallows_is_refused_with_what_to_do() -> None:
    change = np.array([[0, 1] * 15] * 10)
    with pytest.raises(InputError, match="a buffer below 9"):
        spatial_split(binary(change), Legend(), block=10, buffer=9, min_pixels=20)


@pytest.mark.parametrize(
    "wrong",
    [{"block": 0}, {"buffer": -1}, {"min_pixels": 0}, {"fractions": (0.5, 0.5, 0.0)}, {"fractions": (0.6, 0.3, 0.3)}],
)
def test_arguments_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match="expected"):
        spatial_split(scattered(0), LEGEND, **{"block": 10, "buffer": 1, **wrong})  # type: ignore[arg-type]


def test_nothing_labelled_is_refused() -> None:
    with pytest.raises(InputError, match="nothing to split"):
        spatial_split(binary(np.full((8, 8), 255)), Legend(), block=4, buffer=0)
