"""Candidates are compared block by block on the same validation pixels, and the better map of a prior is said first."""

import numpy as np
import pytest

from landshift.flows.steps.release.choosing import best_candidate, describe_choice, warn_of_prior
from landshift.pipeline.scores.accuracy import binary_scores
from landshift.pipeline.scores.release import BlockTally, compare_tallies, likelihood_of, tally_blocks
from landshift.pipeline.scores.training import CandidateScores, Cost, Temperatures

TRUTH = np.array([1, 1, 0, 0, 1, 0], dtype=np.uint8)
BLOCKS = np.array([4, 4, 4, 7, 7, 7])


def candidate(strategy: str, seed: int = 0, score: float = 0.9, seconds: float = 10) -> CandidateScores:
    return CandidateScores(
        seed=seed, strategy=strategy, validation_score=score, threshold=0.5, temperatures=Temperatures(),
        test=binary_scores(TRUTH, TRUTH.astype(float), 0.5), calibration_error=0.0, warnings=(),
        cost=Cost("training", seconds, kwh=0.002, co2e_kg=None, gpu_hours=0, how="estimated", country=None),
    )  # fmt: skip


def tallies(probability: list[float]) -> tuple[BlockTally, ...]:
    found = np.array(probability)
    return tally_blocks(TRUTH, found >= 0.5, BLOCKS, found)


SURE, UNSURE, WRONG = [0.9, 0.9, 0.1, 0.1, 0.9, 0.1], [0.6, 0.6, 0.4, 0.4, 0.6, 0.4], [0.9, 0.2, 0.1, 0.6, 0.9, 0.1]


def test_a_map_is_tallied_block_by_block() -> None:
    assert tally_blocks(TRUTH, np.array([1, 0, 1, 0, 1, 1], dtype=bool), BLOCKS) == (
        BlockTally(4, 3, hits=1, false_alarms=1, misses=1), BlockTally(7, 3, hits=1, false_alarms=1, misses=0),
    )  # fmt: skip


def test_the_likelihood_is_the_geometric_mean_of_the_probability_of_the_truth() -> None:
    assert likelihood_of(tallies(SURE)) == pytest.approx(0.9)
    assert likelihood_of(tallies(UNSURE)) == pytest.approx(0.6)
    assert likelihood_of(tally_blocks(TRUTH, TRUTH == 1, BLOCKS)) is None


def test_maps_are_compared_on_the_blocks_that_both_have() -> None:
    right, wrong = tallies(SURE), tallies(WRONG)
    one, other, gap = compare_tallies(right, wrong)
    assert (one, other, gap.n) == (1.0, pytest.approx(2 * 2 / (2 * 2 + 1 + 1)), 2)
    assert gap.low is not None
    assert gap.high is not None
    assert 0 <= gap.low <= one - other <= gap.high
    alone = compare_tallies(right[:1], wrong)[2]
    assert (alone.n, alone.low, alone.high) == (1, None, None)


def test_the_likeliest_strategy_is_kept_whatever_its_own_score_says() -> None:
    boosted, full = candidate("boosted", score=0.7), candidate("full", score=0.99, seconds=600)
    known = {("boosted", 0): tallies(SURE), ("full", 0): tallies(WRONG)}
    assert best_candidate([boosted, full], known) is boosted
    line = describe_choice(boosted, [boosted, full], known)[0]
    assert line.startswith("boosted was kept before full: ")
    assert "0.900 against 0.612" in line
    assert "over 2 blocks" in line
    assert line.endswith("It took 10 s and 2 Wh, full 600 s and 2 Wh.")


def test_of_strategies_that_are_alike_the_first_is_kept_and_of_seeds_the_better_trained() -> None:
    first, second, third = candidate("boosted"), candidate("full", score=0.8), candidate("full", seed=1, score=0.9)
    known = {(c.strategy, c.seed): tallies(SURE) for c in (first, second, third)}
    assert best_candidate([first, second, third], known) is first
    assert best_candidate([second, third], known) is third
    assert describe_choice(third, [second, third], known) == []


def test_a_prior_that_is_better_is_named_with_the_command_that_maps_by_it() -> None:
    prior, worse = tally_blocks(TRUTH, TRUTH == 1, BLOCKS), tallies(WRONG)
    assert "`landshift detect CONFIG --method ir-mad` makes that map" in warn_of_prior(worse, prior)[0]
    assert "has F1 1.000, the model 0.667" in warn_of_prior(worse, prior)[0]
    assert warn_of_prior(tallies(SURE), prior) == []
    assert warn_of_prior(worse, ()) == []
