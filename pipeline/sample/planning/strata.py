"""Strata of a sample: kinds of change, and two kinds of unchanged ground, of which one is worth a closer look.

Nearly all the uncertainty of a changed area comes from change that the map missed, and missed change does not lie anywhere: the
map knows where it hesitated. Unchanged pixels whose probability of change is raised are a stratum of their own, `Unchanged,
doubtful`, cut where the strata differ most in what they are expected to hold (the rule of Dalenius and Hodges 1959,
doi:10.1080/01621459.1959.10501501, for shares). The probability only makes strata: whether it is calibrated, or means anything,
changes how many pixels are needed, and biases no estimate.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from landshift.pipeline.legend import NOT_OBSERVED, UNCHANGED
from landshift.pipeline.sample.draw import DrawnStratum

CALM, DOUBTFUL, ALL_KINDS, OTHER_KINDS = "Unchanged", "Unchanged, doubtful", "All changes", "Other changes"
"""Names of strata that are more or less than a code of the map."""
PROBABILITIES = 201
"""Numbers of change_probability.tif, from 0 to 1 by 0.005."""

_CODES = 256
_LEAST_PROBABILITY = 0.01
"""No pixel is taken to have changed with less: what a model is sure of is where its certainty was never tested."""
_LEAST_PIXELS = 200
"""Of either part of the unchanged ground; below, it is one stratum."""


def split_by_doubt(probabilities: np.ndarray) -> int | None:
    """Find the probability of change from which on unchanged pixels are doubtful.

    Args:
        probabilities: int (201): unchanged pixels of the map by number of change_probability.tif.

    Returns:
        The least number of the doubtful ones, at which N sqrt(P (1 - P)), added up over both strata, is least, P being their
        mean probability; None where a stratum would have fewer than 200 pixels, or nothing is gained.
    """
    pixels = probabilities.astype(float)
    expected = np.maximum(np.arange(PROBABILITIES) * 0.005, _LEAST_PROBABILITY)
    below, changed = np.cumsum(pixels)[:-1], np.cumsum(pixels * expected)[:-1]
    total, all_changed = float(pixels.sum()), float((pixels * expected).sum())
    possible = (below >= _LEAST_PIXELS) & (total - below >= _LEAST_PIXELS)
    if not possible.any():
        return None
    spread = _spread(below, changed) + _spread(total - below, all_changed - changed)
    spread[~possible] = np.inf
    best = int(spread.argmin())
    whole = _spread(np.array([total]), np.array([all_changed]))[0]
    return best + 1 if spread[best] < (1 - 1e-9) * whole else None


def _spread(pixels: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """Return N sqrt(P (1 - P)); 0 of nothing."""
    return np.asarray(np.sqrt(np.maximum(changed * (pixels - changed), 0)))


def make_strata(
    counts: Mapping[int, int], names: Mapping[int, str], *, own: Iterable[int], probabilities: np.ndarray | None
) -> tuple[DrawnStratum, ...]:
    """Divide a map into strata, of which nothing was drawn yet.

    Args:
        counts: Change code to pixels of the map, without code 0 and without codes that do not occur.
        names: Change code to the name of the change.
        own: Change codes with a stratum of their own; the other kinds share one.
        probabilities: int (201): unchanged pixels by number of change_probability.tif; None leaves them one stratum.

    Returns:
        By number from 1: unchanged, doubtful, the kinds of their own by code, and the others.
    """
    kinds = sorted(code for code in counts if code != UNCHANGED)
    alone = [code for code in kinds if code in set(own)]
    others = [code for code in kinds if code not in alone]
    parts: list[tuple[str, tuple[int, ...], tuple[int, int] | None, int]] = []
    if counts.get(UNCHANGED):
        cut = None if probabilities is None else split_by_doubt(probabilities)
        if cut is None or probabilities is None:
            parts.append((names[UNCHANGED], (UNCHANGED,), None, counts[UNCHANGED]))
        else:
            doubtful = int(probabilities[cut:].sum())
            parts.append((CALM, (UNCHANGED,), (0, cut), counts[UNCHANGED] - doubtful))
            parts.append((DOUBTFUL, (UNCHANGED,), (cut, _CODES), doubtful))
    parts += [(names[code], (code,), None, counts[code]) for code in alone]
    if others:
        together = ALL_KINDS if not alone else OTHER_KINDS
        name = names[others[0]] if len(others) == 1 else together
        parts.append((name, tuple(others), None, sum(counts[code] for code in others)))
    return tuple(
        DrawnStratum(number, name, codes, probability=doubt, pixels=pixels, samples=0, expected_changed=0.0)
        for number, (name, codes, doubt, pixels) in enumerate(parts, start=1)
    )


def stratify(change: np.ndarray, probability: np.ndarray | None, strata: Iterable[DrawnStratum]) -> np.ndarray:
    """Return the stratum of each pixel.

    Args:
        change: uint8 (y, x): change codes of the map.
        probability: uint8 (y, x): numbers of change_probability.tif; None where no stratum asks for them.
        strata: Of the map.

    Returns:
        uint8 (y, x): numbers of the strata, 0 = in none of them.

    Raises:
        ValueError: A stratum asks for the probability, which is missing or has another shape.
    """
    table = np.zeros((_CODES, _CODES), dtype=np.uint8)
    asked = False
    for stratum in strata:
        low, high = stratum.probability or (0, _CODES)
        asked |= stratum.probability is not None
        for code in stratum.codes:
            table[code, low:high] = stratum.number
    table[NOT_OBSERVED] = 0
    if not asked:
        return np.asarray(table[:, 0][change])
    if probability is None or probability.shape != change.shape:
        raise ValueError(f"change of {change.shape} with a probability of {getattr(probability, 'shape', None)}")
    # Row by row, so that no index as large as the scene is made.
    return np.stack([table[codes, numbers] for codes, numbers in zip(change, probability, strict=True)])
