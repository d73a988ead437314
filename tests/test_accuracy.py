"""Scores have the values of textbook examples, and are None where they mean nothing."""

import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import LandUse, Legend
from landshift.pipeline.scores.accuracy import (
    binary_scores,
    class_scores,
    confusion,
    kind_scores,
    mean_and_spread,
    score_evidence,
    spread,
    transition_scores,
)
from landshift.pipeline.scores.evidence import BlockShare, share_in_blocks

LEGEND = Legend((LandUse(1, "Forest", "#006400"), LandUse(3, "Cropland", "#ffcc00"), LandUse(7, "Built-up", "#cc0000")))

TRUTH = np.array([[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 255, 1]], dtype=np.uint8)
SCORE = np.array([[0.9, 0.8, 0.7, 0.6], [0.4, 0.3, 0.2, 0.1], [0.1, 0.0, 1.0, np.nan]])


def test_binary_scores_of_a_small_picture() -> None:
    scores = binary_scores(TRUTH, SCORE, 0.5)  # 3 hits, 1 false alarm, 1 miss, 5 correct rejections
    assert scores.n == 10
    assert scores.overall_accuracy == pytest.approx(0.8)
    assert scores.precision == pytest.approx(0.75)
    assert scores.recall == pytest.approx(0.75)
    assert scores.f1 == pytest.approx(0.75)
    assert scores.iou == pytest.approx(0.6)
    assert scores.kappa == pytest.approx((0.8 - 0.52) / (1 - 0.52))
    assert scores.auc == pytest.approx(23 / 24)  # of the 4 x 6 pairs only (0.4, 0.6) is the wrong way round


def test_a_score_at_the_threshold_is_changed() -> None:
    assert binary_scores(np.array([0, 1]), np.array([0.4, 0.5]), 0.5).f1 == 1.0


def test_labels_of_one_class_leave_scores_undefined() -> None:
    scores = binary_scores(np.zeros(4, dtype=np.uint8), np.array([0.1, 0.2, 0.3, 0.9]), 0.5)
    assert (scores.kappa, scores.auc, scores.f1, scores.iou, scores.recall) == (None,) * 5
    assert scores.precision == 0.0
    assert scores.overall_accuracy == 0.75


def test_a_map_without_change_has_no_precision_and_an_f1_of_zero() -> None:
    scores = binary_scores(np.array([0, 1]), np.array([0.1, 0.2]), 0.5)
    assert scores.precision is None
    assert scores.f1 == 0.0


def test_nothing_labelled_gives_no_scores() -> None:
    scores = binary_scores(np.full(3, 255, dtype=np.uint8), np.zeros(3), 0.5)
    assert set(asdict(scores).values()) == {None, 0}


def test_binary_scores_refuse_other_labels() -> None:
    with pytest.raises(ValueError, match="Labels hold 2"):
        binary_scores(np.array([0, 2]), np.zeros(2), 0.5)
    with pytest.raises(ValueError, match="shape"):
        binary_scores(np.array([0, 1]), np.zeros(3), 0.5)


def test_confusion_counts_truth_in_rows() -> None:
    truth = np.array([[1, 1, 3], [7, 255, 3]])
    predicted = np.array([[1, 3, 3], [1, 1, 255]])
    assert confusion(truth, predicted, (1, 3, 7)).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_class_scores_of_a_small_picture() -> None:
    truth = np.array([1, 1, 1, 3, 3, 255, 3])
    predicted = np.array([1, 1, 3, 3, 7, 1, 0])
    scores = class_scores(truth, predicted, LEGEND)
    forest, cropland, built = scores.classes
    assert (forest.name, forest.support, cropland.support) == ("Forest", 3, 2)
    assert forest.f1 == pytest.approx(0.8)
    assert cropland.iou == pytest.approx(1 / 3)
    assert (built.support, built.recall, built.precision, built.f1) == (0, None, 0.0, 0.0)
    assert scores.macro_f1 == pytest.approx((0.8 + 0.5) / 2)
    assert scores.overall_accuracy == pytest.approx(0.6)
    assert scores.n == 5


def test_a_code_outside_the_legend_is_refused() -> None:
    with pytest.raises(InputError, match="Code 2 is not in the legend"):
        class_scores(np.array([1, 2]), np.array([1, 1]), LEGEND)


def test_transition_scores_name_the_changes() -> None:
    scores = transition_scores(np.array([1, 2, 2]), np.array([1, 2, 3]), LEGEND)
    named = {c.name: c for c in scores.classes}
    assert named["Unchanged"].f1 == 1.0
    assert named["Forest to Cropland"].recall == 0.5
    assert named["Built-up to Forest"].f1 is None


def test_spread_leaves_out_what_is_undefined() -> None:
    result = spread([0.2, None, 0.4, math.nan])
    assert result.mean == pytest.approx(0.3)
    assert result.std == pytest.approx(0.1 * math.sqrt(2))
    assert result.n == 2
    assert spread([None]).mean is None
    assert spread([0.5]).std is None


def test_mean_and_spread_covers_every_score() -> None:
    scores = [binary_scores(TRUTH, SCORE, t) for t in (0.35, 0.5)]
    assert mean_and_spread(scores)["recall"].high == 1.0
    assert set(mean_and_spread(scores)) == set(asdict(scores[0]))


PAIRS = st.lists(st.tuples(st.sampled_from([0, 1, 255]), st.floats(0, 1)), min_size=1, max_size=40)


@settings(deadline=None, max_examples=60)
@given(PAIRS, st.floats(0, 1))
def test_scores_are_in_their_ranges_and_do_not_depend_on_order(pairs: list[tuple[int, float]], threshold: float) -> None:
    truth, score = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    scores = asdict(binary_scores(truth, score, threshold))
    backwards = asdict(binary_scores(truth[::-1], score[::-1], threshold))
    for name, value in scores.items():
        if value is not None and name != "n":
            assert (-1 if name == "kappa" else 0) <= value <= 1
            assert backwards[name] == pytest.approx(value)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from([1, 3, 7]), min_size=2, max_size=30))
def test_a_perfect_map_scores_one(codes: list[int]) -> None:
    truth = np.array(codes)
    scores = class_scores(truth, truth, LEGEND)
    assert (scores.macro_f1, scores.macro_iou, scores.overall_accuracy) == (1.0, 1.0, 1.0)
    assert scores.kappa == (pytest.approx(1.0) if len(set(codes)) > 1 else None)


def in_blocks(rights: list[int], size: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Blocks of so many pixels, of which so many are right."""
    right = np.concatenate([np.arange(size) < n for n in rights])
    return right, np.repeat(np.arange(len(rights)), size)


@pytest.mark.parametrize(
    ("rights", "low", "high"),
    [
        ([5] * 10, 0.4038, 0.5962),  # all blocks alike: Wilson of 50 in 100
        ([0, 10] * 5, 0.2366, 0.7634),  # each block is of one mind: Wilson of 5 in 10
        ([0, 0], 0.0, 0.6576),  # none of 20 pixels, in two blocks: Wilson of 0 in 2
        ([10], 0.2065, 1.0),  # one block: Wilson of 1 in 1
    ],
)
def test_a_share_is_worth_as_many_pixels_as_its_blocks(rights: list[int], low: float, high: float) -> None:
    found = share_in_blocks(*in_blocks(rights))
    assert found.estimate == sum(rights) / (10 * len(rights))
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))
    assert (found.pixels, found.blocks) == (10 * len(rights), len(rights))


def test_a_share_of_nothing_is_not_known() -> None:
    assert share_in_blocks(np.zeros(0, bool), np.zeros(0, int)) == BlockShare(None, None, None, 0, blocks=0)


def test_a_kind_that_was_mapped_and_always_wrong_is_tested() -> None:
    """Forest to cropland (2) was mapped as forest to built-up (3): 3 is never right, and labelled nowhere."""
    truth, mapped, block = (np.array(v) for v in ([2, 2, 2, 1], [2, 3, 3, 1], [0, 0, 1, 1]))
    kinds = {k.code: k for k in kind_scores(truth, mapped, block, LEGEND)}
    assert (kinds[2].right.estimate, kinds[2].right.pixels, kinds[2].found.estimate) == (1.0, 1, pytest.approx(1 / 3))
    assert (kinds[3].right.estimate, kinds[3].right.pixels, kinds[3].right.blocks) == (0.0, 2, 2)
    assert (kinds[3].found.estimate, kinds[3].found.pixels) == (None, 0)
    assert (kinds[4].right.estimate, kinds[4].right.pixels) == (None, 0)
    assert set(kinds) == {c.code for c in LEGEND.changes[2:]}


def test_scores_do_not_move_where_all_blocks_are_alike() -> None:
    truth, mapped, block = np.tile([1, 1, 0, 0], 5), np.tile([1, 0, 0, 0], 5) == 1, np.repeat(np.arange(5), 4)
    scores, found = binary_scores(truth, mapped.astype(float), 0.5), score_evidence(truth, mapped, block)
    assert found.kappa == pytest.approx((scores.kappa, scores.kappa))
    assert found.f1 == pytest.approx((scores.f1, scores.f1))
    assert (found.changed, found.blocks, found.caution) == (10, 5, None)


def test_scores_move_from_the_worst_block_to_the_best() -> None:
    """Of two blocks a quarter of the draws takes one alone, a quarter the other: F1 2/3 and 1."""
    truth, mapped, block = np.tile([1, 1, 0, 0], 2), np.array([1, 0, 0, 0, 1, 1, 0, 0]) == 1, np.repeat([0, 1], 4)
    found = score_evidence(truth, mapped, block)
    assert found.f1 == pytest.approx((2 / 3, 1.0))
    assert found.kappa == pytest.approx((0.5, 1.0))


@pytest.mark.parametrize(
    ("changed", "blocks", "told"),
    [
        (9, 2, "rest on 9 changed pixels:"), (10, 2, None), (10, 1, "rest on 1 block:"),
        (0, 1, "rest on 0 changed pixels and 1 block:"),
    ],
)  # fmt: skip
def test_scores_that_rest_on_little_carry_a_warning(changed: int, blocks: int, told: str | None) -> None:
    truth, block = (np.arange(20) < changed).astype(int), np.arange(20) % blocks
    found = score_evidence(truth, truth == 1, block)
    assert (found.caution is None) == (told is None)
    assert told is None or told in str(found.caution)
    if blocks == 1 or not changed:
        assert (found.kappa, found.f1) == (None, None)
