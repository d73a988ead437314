"""Rankings of encoders: order, the right to abstain, and agreement with the results."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from landshift.pipeline.errors import InputError
from landshift.pipeline.scores.evidence import count_of
from landshift.pipeline.scores.training import BandFinding


@dataclass(frozen=True)
class RankedEncoder:
    """The place of an encoder."""

    name: str
    """The encoder."""
    score: float
    """On all data."""
    low: float | None
    """Lower end of its own bootstrap interval; None where too few resamples have a score."""
    high: float | None
    """Upper end."""
    rank: int
    """1 = the highest score."""
    tied_with: tuple[str, ...]
    """Encoders from which the resamples do not separate it, by rank."""


@dataclass(frozen=True)
class Ranking:
    """Encoders in order, and the choice if there is one."""

    rows: tuple[RankedEncoder, ...]
    """By rank."""
    choice: str | None
    """The first, if it is separated from every other; None abstains."""
    sentence: str
    """For a planner."""


@dataclass(frozen=True)
class EncoderSource:
    """Origin of an encoder."""

    task: str
    """What it was trained on."""
    sensor: str
    """Whose images."""
    licence: str
    """Of the weights."""
    citation: str
    """DOI or address."""


@dataclass(frozen=True)
class EncoderRow(RankedEncoder):
    """Rank of an encoder, and what is known of its features on the labelled pixels."""

    scores: dict[str, float | None]
    """By name; None where a score needs a head that the encoder lacks."""
    probe_f1: float | None
    """F1 of a linear probe, 0..1."""
    depths: dict[str, float]
    """LogME by depth of the encoder."""
    bands: tuple[BandFinding, ...]
    """The territory's bands in the encoder's terms."""
    notes: tuple[str, ...]
    """What was done about bands and units, in sentences."""
    source: EncoderSource
    """Where it comes from."""


@dataclass(frozen=True)
class LeftOut:
    """An encoder that could not be ranked."""

    encoder: str
    """Its name."""
    reason: str
    """Why."""


@dataclass(frozen=True)
class EncoderRanking:
    """Encoders ranked on the labelled pixels before any training."""

    target: str
    """`change` or `land use before`."""
    pixels: int
    """Labelled pixels."""
    groups: int
    """Blocks or regions that they lie in."""
    dimensions: int
    """Principal components that each encoder is reduced to."""
    choice: str | None
    """The first, if it differs from every other by more than chance."""
    sentence: str
    """For a planner."""
    rows: tuple[EncoderRow, ...]
    """By rank."""
    left_out: tuple[LeftOut, ...]
    """Encoders that could not be had or used."""


@dataclass(frozen=True)
class RankAgreement:
    """Whether scores before training put encoders in the order of the results after it."""

    tau: float | None
    """Kendall's tau-b, -1..1; None where it is not defined."""
    p_value: float | None
    """Of no association, two-sided."""
    n: int
    """Encoders with both numbers."""
    sentence: str
    """For a planner."""


def resample_groups(groups: np.ndarray, replicates: int, seed: int) -> list[np.ndarray]:
    """Draw whole groups with replacement (cluster bootstrap; Field and Welsh 2007, doi:10.1111/j.1467-9868.2007.00593.x).

    Samples of a region or block resemble each other; drawn one by one they would seem to prove more than they do.

    Args:
        groups: (n,) region or block of each sample.
        replicates: How many resamples, at least 1.
        seed: Which.

    Returns:
        Of each resample the indices into `groups`, (m,) int64; m differs where groups differ in size.

    Raises:
        InputError: All samples lie in one group.
        ValueError: `groups` is not (n,), or there is no replicate to draw.
    """
    if groups.ndim != 1 or replicates < 1:
        raise ValueError(f"Groups {groups.shape} and {replicates} replicates: expected (n,) and at least 1.")
    _, member = np.unique(groups, return_inverse=True)
    members = [np.flatnonzero(member == group) for group in range(int(member.max(initial=-1)) + 1)]
    if len(members) < 2:
        raise InputError(
            f"The {groups.size} labelled samples lie in {len(members)} region or block; drawing regions anew needs at least "
            "2: name more regions, or lower `split: block_px:`."
        )
    rng = np.random.default_rng(seed)
    return [
        np.concatenate([members[group] for group in draw]) for draw in rng.integers(0, len(members), (replicates, len(members)))
    ]


def rank_with_abstention(scores: Mapping[str, np.ndarray], point: Mapping[str, float], level: float = 0.95) -> Ranking:
    """Order encoders by score, and choose the first only where the resamples separate it from every other.

    Two encoders are separated where the percentile interval of their paired difference lies above 0 for the one in
    front. A resample without a score for one of the two does not count for the two; fewer than `2 / (1 - level)` of
    them (40 at 0.95) leave no value in the tails, and separate nothing.

    Args:
        scores: (replicate,) by encoder, all from the same resamples in the same order; NaN = no score.
        point: The score on all data, by encoder.
        level: Confidence, 0..1, both excluded.

    Raises:
        ValueError: No encoder, other encoders in `point`, shapes that differ, a point that is not finite, or a level
            outside 0..1.
    """
    if not 0 < level < 1:
        raise ValueError(f"A level of confidence lies between 0 and 1, not at {level}.")
    if not point or scores.keys() != point.keys():
        raise ValueError(f"Resamples of {sorted(scores)} and scores of {sorted(point)}: expected the same encoders.")
    if len({values.shape for values in scores.values()}) > 1 or any(values.ndim != 1 for values in scores.values()):
        raise ValueError(f"Resamples must be paired, found shapes {[values.shape for values in scores.values()]}.")
    if not all(math.isfinite(value) for value in point.values()):
        raise ValueError(f"Scores on all data must be finite, found {dict(point)}.")
    order = sorted(point, key=lambda name: (-point[name], name))
    tied: dict[str, list[str]] = {name: [] for name in order}
    for place, ahead in enumerate(order):
        for behind in order[place + 1 :]:
            low, _ = _percentiles(scores[ahead] - scores[behind], level)
            if low is None or low <= 0:
                tied[ahead].append(behind)
                tied[behind].append(ahead)
    rows = tuple(
        RankedEncoder(name, point[name], *_percentiles(scores[name], level), rank, tuple(sorted(tied[name], key=order.index)))
        for rank, name in enumerate(order, start=1)
    )
    first = order[0]
    if len(order) == 1:
        return Ranking(rows, first, f"{first} is the only encoder: there was nothing to compare it with.")
    if tied[first]:
        return Ranking(
            rows,
            None,
            f"The estimate abstains: the labelled regions do not distinguish {_join([first, *tied[first]])} "
            f"at {100 * level:g} % confidence. Train each of them, or label more regions.",
        )
    return Ranking(
        rows, first, f"{first} is told apart from every other encoder at {100 * level:g} % confidence: it is chosen."
    )


def kendall_tau(scores: Mapping[str, float], realised: Mapping[str, float]) -> RankAgreement:
    """Compare two rankings by Kendall's tau-b (Kendall 1945, doi:10.1093/biomet/33.3.239).

    Args:
        scores: Before training, by encoder, higher is better; NaN = no score.
        realised: After training, by encoder, higher is better; NaN = no result.

    Returns:
        Without tau where fewer than 3 encoders have both numbers, or where one of the two puts all in one place.
    """
    both = [name for name in scores if name in realised and math.isfinite(scores[name]) and math.isfinite(realised[name])]
    n = len(both)
    if n < 3:
        return RankAgreement(None, None, n, f"{count_of(n, 'encoder')} with a score and a result: an order needs at least 3.")
    before, after = [scores[name] for name in both], [realised[name] for name in both]
    for values, what in ((before, "score before"), (after, "result after")):
        if len(set(values)) == 1:
            return RankAgreement(
                None, None, n, f"All {n} encoders have the same {what} training: there is no order to compare."
            )
    # Slow to import, and few need it.
    from scipy import stats

    found = stats.kendalltau(before, after)
    tau, p_value = float(found.statistic), float(found.pvalue)
    if p_value < 0.05:
        meaning = "the scores put them in the order of the results" if tau > 0 else "the scores put them in the opposite order"
    else:
        meaning = "that may be chance"
    sentence = f"Over {n} encoders, Kendall's tau between score and result is {tau:+z.2f} (p = {p_value:.3f}): {meaning}."
    return RankAgreement(tau, p_value, n, sentence)


def _percentiles(values: np.ndarray, level: float) -> tuple[float | None, float | None]:
    known = values[np.isfinite(values)]
    if known.size < round(2 / (1 - level)):
        return None, None
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _join(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
