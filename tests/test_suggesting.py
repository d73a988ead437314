"""Where to label next: doubt, disagreement, looks and the choice of blocks and patches, on pictures with known answers."""

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from landshift.pipeline.errors import InputError
from landshift.pipeline.labels.patches import cut_patches, outline_patches
from landshift.pipeline.labels.suggesting import (
    BlockTable,
    ChosenBlock,
    choose_blocks,
    disagreement_of,
    doubt_of,
    explain_block,
    fit_looks,
    join_tables,
    table_blocks,
)

CHANCES = arrays(np.float64, st.tuples(st.integers(1, 4), st.just(5)), elements=st.floats(0, 1))


@settings(deadline=None)
@given(votes=CHANCES, order=st.randoms())
def test_disagreement_is_a_share_whatever_the_order_of_the_members(votes: np.ndarray, order: object) -> None:
    found = disagreement_of(votes)
    assert ((found >= 0) & (found <= 1)).all()
    assert np.allclose(found, disagreement_of(votes[::-1]))
    assert (found <= doubt_of(votes.mean(axis=0)) + 1e-12).all(), "never more than the doubt of all together"
    assert np.allclose(disagreement_of(np.repeat(votes[:1], 3, axis=0)), 0), "who agrees does not disagree"
    assert np.allclose(doubt_of(votes), doubt_of(1 - votes)), "swapping changed and unchanged changes nothing"


def test_what_is_not_observed_stays_unknown() -> None:
    votes = np.array([[0.2, np.nan, 0.5], [0.9, 0.5, 0.5]])
    assert np.isnan(disagreement_of(votes)).tolist() == [False, True, False]
    assert np.isnan(doubt_of(votes[0])).tolist() == [False, True, False]


def test_looks_are_found_again_wherever_they_lie() -> None:
    rng = np.random.default_rng(0)
    field, town = rng.normal([10, 200], 1, (300, 2)), rng.normal([90, 20], 1, (300, 2))
    looks = fit_looks(np.concatenate([field, town]))
    picture = np.stack([np.array([[10.0, 90.0, np.nan]]), np.array([[200.0, 20.0, 20.0]])])
    found = looks.apply(picture)[0]
    assert found[0] != found[1]
    assert found[2] == -1
    assert np.isin(found[:2], range(len(looks.centres))).all()
    assert len(fit_looks(np.ones((50, 2))).centres) == 1, "one look, where all pixels are alike"
    with pytest.raises(InputError, match="No pixel is observed"):
        fit_looks(np.zeros((0, 2)))


def picture(*rows: str) -> np.ndarray:
    return np.array([[int(c) if c.isdigit() else -1 for c in row] for row in rows])


def test_blocks_sum_up_their_pixels() -> None:
    looks = picture("0011.", "0011.", "22110")
    doubt = np.where(looks == 1, 0.8, 0.2)
    labelled = np.zeros(looks.shape, dtype=bool)
    labelled[2, 0] = True
    table = table_blocks(looks, doubt, doubt / 2, labelled, block=2, kinds=3)
    assert table.labelled.tolist() == [[False, False, False], [True, False, False]]
    assert table.usable.tolist() == [[True, True, False], [False, True, True]], "hardly observed, and labelled, are left out"
    assert np.allclose(table.doubt, [[0.2, 0.8, 0.0], [0.2, 0.8, 0.2]])
    assert np.allclose(table.disagreement, table.doubt / 2)
    assert table.looks[0, 0].tolist() == [1, 0, 0]
    assert table.looks[1, 0].tolist() == [0, 0, 1]
    parts = [table_blocks(looks[s], doubt[s], doubt[s] / 2, labelled[s], block=2, kinds=3) for s in (slice(0, 2), slice(2, 3))]
    joined = join_tables(parts)
    assert all(np.array_equal(getattr(joined, n), getattr(table, n)) for n in ("usable", "labelled", "doubt", "looks"))


def blocks(looks: list[list[float]], doubt: list[float], known: list[int] = []) -> BlockTable:  # noqa: B006
    """One row of blocks with shares of looks and doubts; those in `known` are labelled."""
    labelled = np.isin(np.arange(len(doubt)), known)[None]
    return BlockTable(~labelled, labelled, np.array([doubt]), np.zeros((1, len(doubt))), np.array([looks]))


ONE, TWO, THREE = [1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]


def columns(found: tuple[ChosenBlock, ...]) -> list[int]:
    return [b.column for b in found]


def test_what_stands_for_most_comes_first_and_its_twins_wait() -> None:
    table = blocks([ONE, ONE, ONE, TWO, TWO, THREE], [0.5] * 6)
    found = choose_blocks(table, 6)
    assert columns(found)[:3] == [0, 3, 5], "three like the first, two like the second, and one"
    assert [round(b.serves, 2) for b in found] == [0.5, 0.33, 0.17, 0, 0, 0]
    assert [b.novelty for b in found] == [1, 1, 1, 0, 0, 0]


def test_doubt_decides_among_twins_and_weighs_against_numbers() -> None:
    assert columns(choose_blocks(blocks([ONE, ONE, TWO], [0.1, 0.2, 0.0]), 1)) == [1], "of two alike the more doubtful"
    assert columns(choose_blocks(blocks([ONE, ONE, TWO, TWO], [0.1, 0.1, 0.9, 0.9]), 1)) == [2]
    assert columns(choose_blocks(blocks([ONE] * 9 + [TWO], [0.1] * 9 + [0.9]), 1)) == [0], "but one odd block is no nine"
    found = choose_blocks(blocks([ONE, ONE, TWO, THREE], [0.4, 0.8, 0.5, 0.4]), 1)[0]
    assert (found.column, found.doubt_above) == (1, 0.75)


def test_what_looks_like_labelled_blocks_waits() -> None:
    table = blocks([ONE, ONE, ONE, TWO], [0.9, 0.9, 0.9, 0.3], known=[0])
    assert columns(choose_blocks(table, 1)) == [3]
    assert columns(choose_blocks(table, 9)) == [3, 1, 2], "no more than there are, and none that is labelled"


def test_a_large_territory_is_sampled_the_same_each_time() -> None:
    rng = np.random.default_rng(0)
    looks = rng.dirichlet(np.ones(4), 2500).tolist()
    table = blocks(looks, rng.uniform(size=2500).tolist())
    assert choose_blocks(table, 5) == choose_blocks(table, 5)


def test_only_blocks_that_are_allowed_are_chosen() -> None:
    table = blocks([ONE, TWO, THREE], [0.9, 0.8, 0.7])
    assert columns(choose_blocks(table, 3, np.array([[False, True, True]]))) == [1, 2]
    assert choose_blocks(table, 2, np.zeros((1, 3), dtype=bool)) == ()


def test_disagreement_counts_beside_doubt() -> None:
    table = blocks([ONE, ONE], [0.5, 0.5])
    quarrel = BlockTable(table.usable, table.labelled, table.doubt, np.array([[0.0, 0.3]]), table.looks)
    assert columns(choose_blocks(quarrel, 1)) == [1]


def test_reasons_are_those_that_hold() -> None:
    typical = ChosenBlock(0, 0, 0.5, 0.2, 1.0, serves=1.0, doubt_above=0.5, disagreement_above=0.5)
    assert explain_block(typical, voted=False, first=True)[0] == "the most typical block"
    plain = ChosenBlock(0, 0, 0.5, 0.2, 0.1, serves=0.01, doubt_above=0.5, disagreement_above=0.5)
    assert explain_block(plain, voted=True, first=False)[1] == "to cover more of the territory"
    quarrel = ChosenBlock(0, 0, 0.5, 0.2, 0.6, serves=0.25, doubt_above=0.9, disagreement_above=0.95)
    reason, use = explain_block(quarrel, voted=True, first=False)
    assert "disagree more than in 95% of the blocks" in reason
    assert "more doubtful than in 90%" in reason
    assert "unlike every block labelled or suggested before it (0.60 of 1)" in reason
    assert reason.startswith("25% of the blocks look more like it than like any labelled or suggested before it")
    assert use == "to settle what the methods disagree about"
    assert "disagree" not in explain_block(quarrel, voted=False, first=False)[0], "one method cannot disagree with itself"


def test_patches_follow_what_looks_alike() -> None:
    """A dark square in a bright block: its pixels are never in one patch with those around it."""
    values = np.zeros((2, 20, 20))
    values[:, 5:15, 5:15] = 4.0
    doubt = np.full((20, 20), 0.1)
    doubt[5:15, 5:15] = 0.9
    cut = cut_patches(values, doubt, np.zeros((20, 20)), 6)
    inside = np.zeros((20, 20), dtype=bool)
    inside[5:15, 5:15] = True
    assert not set(np.unique(cut.index[inside])) & set(np.unique(cut.index[~inside]))
    assert len(set(cut.chosen)) == 6
    assert inside[cut.index == cut.chosen[0]].all(), "the doubtful ones first"
    assert not inside[cut.index == cut.chosen[1]].any(), "and then one unlike it"


def test_what_is_not_observed_is_in_no_patch() -> None:
    values, doubt = np.random.default_rng(0).normal(size=(2, 12, 12)), np.full((12, 12), 0.5)
    values[0, :, 6:] = np.nan
    cut = cut_patches(values, doubt, doubt, 50)
    assert (cut.index[:, 6:] == 0).all()
    assert cut.chosen
    assert cut_patches(np.full((2, 4, 4), np.nan), doubt[:4, :4], doubt[:4, :4], 3).chosen == ()


def test_outlines_lie_where_the_pixels_are() -> None:
    values = np.zeros((1, 8, 8))
    values[0, :, 4:] = 9.0
    doubt = np.full((8, 8), 0.5)
    cut = cut_patches(values, doubt, doubt, 2, pixels=32)
    transform = Affine(10, 0, 500, 0, -10, 900)
    outlines, pixels = outline_patches(cut, transform)
    assert sorted(shapely.total_bounds(outlines).tolist()) == [500, 580, 820, 900]
    assert pixels.tolist() == [32, 32]
    for number, outline in zip(cut.chosen, outlines, strict=True):
        y, x = np.nonzero(cut.index == number)
        assert shapely.contains_xy(outline, 500 + 10 * (x + 0.5), 900 - 10 * (y + 0.5)).all()
