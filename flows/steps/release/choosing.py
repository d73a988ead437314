"""Choose among trained candidates by the validation blocks, and state by how much and at what cost."""

from collections.abc import Mapping, Sequence

from landshift.pipeline.scores.evidence import Difference
from landshift.pipeline.scores.release import BlockTally, compare_tallies, likelihood_of
from landshift.pipeline.scores.training import CandidateScores, Cost

Tallies = Mapping[tuple[str, int], Sequence[BlockTally]]
"""Of each candidate, by strategy and seed."""


def best_candidate(scores: Sequence[CandidateScores], tallies: Tallies) -> CandidateScores:
    """Return the candidate whose calibrated probabilities make the labels of the validation blocks most likely.

    Seeds of one strategy are compared by the score of their training, which knows land use too. Of strategies that are alike
    the one named first is kept.
    """
    names = list(dict.fromkeys(s.strategy for s in scores))
    best = [_best_seed([s for s in scores if s.strategy == name]) for name in names]
    return max(best, key=lambda s: (likelihood_of(tallies[s.strategy, s.seed]) or 0.0, -names.index(s.strategy)))


def _best_seed(scores: Sequence[CandidateScores]) -> CandidateScores:
    return max(scores, key=lambda s: (s.validation_score, -s.seed))


def describe_choice(kept: CandidateScores, scores: Sequence[CandidateScores], tallies: Tallies) -> list[str]:
    """Return a sentence for each other strategy: how it compares on the validation blocks, and what each cost."""
    own = tallies[kept.strategy, kept.seed]
    lines = []
    for name in dict.fromkeys(s.strategy for s in scores if s.strategy != kept.strategy):
        other = _best_seed([s for s in scores if s.strategy == name])
        theirs = tallies[other.strategy, other.seed]
        ours_f1, their_f1, gap = compare_tallies(own, theirs)
        ours, likely = (likelihood_of(t) or 0.0 for t in (own, theirs))
        lines.append(
            f"{kept.strategy} was kept before {name}: on the validation blocks the labels have a mean probability of "
            f"{ours:.3f} against {likely:.3f}, and F1 of changed is {ours_f1:.3f} against {their_f1:.3f} ({_interval(gap)}). "
            f"It took {_cost(kept.cost)}, {name} {_cost(other.cost)}."
        )
    return lines


def warn_of_prior(own: Sequence[BlockTally], prior: Sequence[BlockTally]) -> list[str]:
    """Return a warning where the map of IR-MAD is better on the validation blocks than that of a trained model."""
    if not own or not prior:
        return []
    ours, theirs, gap = compare_tallies(own, prior)
    if ours >= theirs:
        return []
    return [
        "The model is worse than what it started from: on the validation blocks the map of IR-MAD, which takes no label, has "
        f"F1 {theirs:.3f}, the model {ours:.3f} ({_interval(gap)}). `landshift detect CONFIG --method ir-mad` makes that map; "
        "use it until there are more labels."
    ]


def _interval(gap: Difference) -> str:
    blocks = f"{gap.n} blocks" if gap.n != 1 else "one block"
    if gap.estimate is None or gap.low is None or gap.high is None:
        return f"on {blocks}, so there is no interval"
    unclear = "" if gap.low > 0 or gap.high < 0 else ", so they cannot be distinguished"
    return f"difference {gap.estimate:+.3f}, 95 % interval {gap.low:+.3f} to {gap.high:+.3f} over {blocks}{unclear}"


def _cost(cost: Cost | None) -> str:
    if cost is None:
        return "a time that was not measured"
    energy = "" if cost.kwh is None else f" and {1000 * cost.kwh:.2g} Wh"
    return f"{cost.seconds:.0f} s{energy}"
