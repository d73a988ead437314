"""Thresholds with a promise: conformal risk control of the share of changed pixels that a map misses."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from landshift.pipeline.errors import InputError
from landshift.pipeline.scores.reliability import keep_known

_ROUNDING = Fraction(1, 10**9)


@dataclass(frozen=True)
class RiskControl:
    """A threshold that keeps the expected share of missed change in a tile at or below a limit."""

    threshold: float | None
    """A pixel is changed if `probability >= threshold`; one of the calibration probabilities; None with too few tiles."""
    alpha: float
    """Limit of the expected false-negative rate of a tile, between 0 and 1."""
    tiles: int
    """Calibration tiles with a changed pixel; the others have no false-negative rate and are left out."""
    empirical: float | None
    """Mean false-negative rate of those tiles at the threshold, 0..1; None without a threshold."""
    guarantee: str
    """What is promised and what is not, or how many tiles are needed: one sentence."""


def conformal_rank(n: int, alpha: float) -> int:
    """Return ceil((n + 1)(1 - alpha)): which of n ascending calibration scores bounds a new one.

    An exchangeable new score is at or below the score of this rank with a probability of at least 1 - alpha (Vovk 2005,
    doi:10.1007/b106715). Where (n + 1)(1 - alpha) is a whole number, the rounding of floats does not lift it to the next.

    Args:
        n: Calibration scores.
        alpha: Share of new scores that may lie above, between 0 and 1.

    Returns:
        1..n.

    Raises:
        InputError: `alpha` is not between 0 and 1, or there are too few scores for it.
        ValueError: `n` is below 0.
    """
    if n < 0:
        raise ValueError(f"There cannot be {n} calibration scores.")
    rank = math.ceil((n + 1) * (1 - _exact(alpha)) - _ROUNDING)
    if rank > n:
        raise InputError(
            f"There are {n} calibration scores; for alpha = {alpha} at least {_fewest_scores(alpha)} are needed: "
            "add some, or choose a larger alpha."
        )
    return max(rank, 1)


def risk_controlled_threshold(tiles: Sequence[tuple[np.ndarray, np.ndarray]], alpha: float) -> RiskControl:
    """Find the highest threshold that controls the false-negative rate of a tile (Angelopoulos 2022, arXiv:2208.02814).

    The loss of a tile at threshold t is the share of its changed pixels with a probability below t. It grows with t and
    is at most 1, so the highest t with n/(n + 1) * (mean loss) + 1/(n + 1) <= alpha keeps the expected loss of a new
    tile at or below alpha. A tile without a changed pixel has no loss and is left out, also from the promise.

    Args:
        tiles: For each tile the probability, any shape, 0..1, NaN = not observed, and the truth, same shape: 0 =
            unchanged, 1 = changed, 255 = not labelled. Pixels that are not labelled or not observed are left out. The
            tiles may not have been used to train, nor to choose the model or its temperature.
        alpha: Limit of the expected false-negative rate, between 0 and 1.

    Raises:
        InputError: `alpha` is not between 0 and 1.
        ValueError: The shapes of a tile differ.
    """
    limit = _exact(alpha)
    known = [keep_known(probability, truth) for probability, truth in tiles]
    # float64 holds float32 exactly: the threshold is a value that occurs, in the precision of the probabilities.
    changed = [p[y == 1].astype(np.float64) for p, y in known if (y == 1).any()]
    n, needed = len(changed), _fewest_scores(alpha)
    left_out = f"{len(known) - n} of {len(known)} tiles without a labelled changed pixel were left out"
    if n < needed:
        sentence = (
            f"Nothing is promised: a limit of {float(limit):g} needs at least {needed} calibration tiles with changed pixels, "
            f"and there are {n} ({left_out})."
        )
        return RiskControl(None, float(limit), n, None, guarantee=sentence)
    values = np.concatenate(changed)
    weight = np.concatenate([np.full(p.size, 1 / p.size) for p in changed])
    order = np.argsort(values)
    missed_before = np.concatenate([[0.0], np.cumsum(weight[order])[:-1]])
    # The loss steps up just above a changed pixel's probability, so the highest threshold is one of these.
    candidates, first = np.unique(values[order], return_index=True)
    allowed = float(limit * (n + 1) - 1 + _ROUNDING * (n + 1))
    threshold = float(candidates[missed_before[first] <= allowed][-1])
    empirical = float(np.mean([(p < threshold).mean() for p in changed]))
    sentence = (
        f"The expected share of changed pixels missed in a new tile that holds some and is exchangeable with the {n} "
        f"calibration tiles is at most {float(limit):g}, on average over draws of the calibration tiles ({left_out}); "
        "nothing is promised for other territories, other seasons or any single tile."
    )
    return RiskControl(threshold, float(limit), n, empirical, guarantee=sentence)


def _exact(alpha: float) -> Fraction:
    if not 0 < alpha < 1:
        raise InputError(f"alpha is {alpha}; expected a number between 0 and 1, for example 0.1.")
    # By way of text 0.1 is one tenth, not the nearest binary number.
    return Fraction(str(alpha))


def _fewest_scores(alpha: float) -> int:
    """Return the smallest n with 1/(n + 1) <= alpha."""
    return math.ceil((1 - _ROUNDING) / _exact(alpha)) - 1
