"""A stratified random sample of a map: how many pixels of each code, and which."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import NOT_OBSERVED

_LEAST = 2
"""Of one pixel no variance is known."""
_CODES = 256
SECONDS_PER_PIXEL = 30
"""That an interpreter needs at least: two dates to look at, and two answers."""


@dataclass(frozen=True)
class Sample:
    """Sampled pixels in shuffled order, so that neither order nor number gives the map away."""

    rows: np.ndarray
    """int64 (n): row of each pixel, from 0 at the top."""
    columns: np.ndarray
    """int64 (n): column of each pixel, from 0 at the left."""


@dataclass(frozen=True)
class DrawnStratum:
    """A part of the map, and how many of its pixels were drawn."""

    number: int
    """From 1."""
    name: str
    """Of the change or changes that it holds."""
    codes: tuple[int, ...]
    """Change codes of the map that it holds."""
    probability: tuple[int, int] | None
    """Numbers of change_probability.tif that its pixels have, from the first to before the second; None = any."""
    pixels: int
    """Of the map."""
    samples: int
    """Drawn pixels."""
    expected_changed: float
    """Share that is expected to have changed, 0..1, with which the size was planned; no estimate uses it."""


@dataclass(frozen=True)
class SamplePlan:
    """What a sample costs, and what is expected of it, known before anything is drawn."""

    pixels: int
    """To judge."""
    hours: float
    """To judge them, at `SECONDS_PER_PIXEL`."""
    mapped_ha: float
    """Hectares mapped as changed (pixel count, biased)."""
    expected_ha: float
    """Hectares that are expected to have changed."""
    expected_low_ha: float
    """Lower end of the 95 % interval that is expected."""
    expected_high_ha: float
    """Upper end."""
    relative_error: float
    """Half of that interval over 1.96, as a share of the expected hectares: the relative standard error where it is normal."""
    grounds: tuple[str, ...]
    """Where the expectations come from, in sentences."""


@dataclass(frozen=True)
class EarlierDraw:
    """A draw of the same design that a sample was added to."""

    seed: int
    """0 or more."""
    sizes: tuple[int, ...]
    """Drawn pixels of each stratum, in the order of the strata."""


@dataclass(frozen=True)
class DrawnSample:
    """What a sample was drawn from and how, with which it can be drawn again: `sample.json`."""

    run: str
    """Key of the run."""
    seed: int
    """0 or more."""
    strata: tuple[DrawnStratum, ...]
    """By ascending number."""
    plan: SamplePlan
    """Of all draws together."""
    earlier: tuple[EarlierDraw, ...] = ()
    """Draws that this one was added to, the first one first; empty for a first sample."""

    @property
    def sizes(self) -> dict[int, int]:
        """Number of the stratum to drawn pixels."""
        return {row.number: row.samples for row in self.strata}

    @property
    def draws(self) -> tuple[EarlierDraw, ...]:
        """All draws, this one last."""
        return (*self.earlier, EarlierDraw(self.seed, tuple(row.samples for row in self.strata)))

    @property
    def first_number(self) -> int:
        """Number of its first pixel, from 1, when those of the earlier draws are counted before it."""
        return 1 + sum(sum(draw.sizes) for draw in self.earlier)


def allocate(
    pixel_counts: Mapping[int, int],
    expected_accuracy: Mapping[int, float],
    *,
    size: int | None,
    target_standard_error: float = 0.01,
    minimum: int = 50,
) -> dict[int, int]:
    """Decide how many pixels of each code are sampled.

    The size is Cochran's for the overall accuracy (equation 13 of Olofsson 2014, doi:10.1016/j.rse.2014.02.015), shared
    in proportion to the pixels. As they recommend, each rare stratum gets a minimum, because its share would hold hardly
    a pixel of it. The minimum comes on top: taken from the others, many rare changes would leave too few pixels to find
    missed change among the unchanged ones, on which the areas depend most. Where a size is given, it is the whole size: rare
    strata get at most half of it together, so that the minimum shrinks where there are many.

    Args:
        pixel_counts: Change code to pixels of the map; code 0 (not observed) and empty codes are left out.
        expected_accuracy: Change code to the expected user's accuracy, 0..1.
        size: Pixels in all, at least 2 for each stratum; None takes what the target needs, and the minimum on top.
        target_standard_error: Of the overall accuracy, above 0.
        minimum: Pixels in each stratum, at least 2; a stratum with fewer is sampled whole.

    Returns:
        Change code to sampled pixels, by ascending code, never more than the stratum has.

    Raises:
        InputError: Nothing was observed, or a size, target, minimum or accuracy is out of range.
        ValueError: A code has no expected accuracy.
    """
    pixels = {code: int(n) for code, n in sorted(pixel_counts.items()) if code != NOT_OBSERVED and n > 0}
    if not pixels:
        raise InputError("The map holds no observed pixel, so there is nothing to sample.")
    if minimum < _LEAST:
        raise InputError(f"At least {minimum} pixels a stratum; intervals need {_LEAST} or more: raise the minimum.")
    if size is not None:
        return _within(pixels, size, minimum)
    shares = _in_proportion(pixels, min(_cochran_size(pixels, expected_accuracy, target_standard_error), sum(pixels.values())))
    return {code: min(max(shares[code], minimum), pixels[code]) for code in pixels}


def draw(codes: np.ndarray, sizes: Mapping[int, int], seed: int, *, without: Sample | None = None) -> Sample:
    """Draw pixels of each code at random, without replacement.

    Rows are counted one at a time and a pixel is found by its rank within its stratum, so no list of a stratum's pixels
    is ever made.

    Args:
        codes: uint8 (y, x) change codes of the map, or numbers of its strata.
        sizes: Code to the pixels wanted of it.
        seed: 0 or more; the same seed draws the same pixels, and those of one code whatever the sizes of the others.
        without: Pixels that were drawn before, which are not drawn again: both draws together are a simple random sample of
            each code, of as many pixels as both have of it.

    Raises:
        InputError: A code has fewer pixels than are wanted, code 0 (not observed) is wanted, or the seed is negative.
        ValueError: `codes` is not a uint8 (y, x) array.
    """
    if codes.ndim != 2 or codes.dtype != np.uint8:
        raise ValueError(f"Codes are {codes.dtype} {codes.shape}; expected uint8 (y, x).")
    if seed < 0:
        raise InputError(f"The seed is {seed}; expected a whole number from 0 on.")
    if sizes.get(NOT_OBSERVED, 0):
        raise InputError("Pixels that were not observed cannot be sampled: leave code 0 out.")
    by_row = np.stack([np.bincount(row, minlength=_CODES) for row in codes]) if len(codes) else np.zeros((0, _CODES), np.int64)
    before = _pixels_by_code(codes, without)
    # A draw that goes on with the numbers of an earlier one would repeat its choices, beside the pixels that are taken.
    later = [] if without is None else [len(without.rows)]
    found = [
        _draw_stratum(
            codes, by_row[:, code], n, chance=np.random.default_rng([seed, code, *later]), code=code, before=before.get(code)
        )
        for code, n in sorted(sizes.items())
        if n
    ]
    rows, columns = np.concatenate([np.zeros((2, 0), dtype=np.int64), *found], axis=1)
    order = np.random.default_rng([seed, _CODES, *later]).permutation(len(rows))
    return Sample(rows[order], columns[order])


def draw_again(strata: np.ndarray, record: DrawnSample) -> Sample:
    """Draw all pixels of a sample once more, those of the earlier draws first.

    Args:
        strata: uint8 (y, x): number of the stratum of each pixel.
        record: Of the sample.

    Raises:
        InputError: The map has fewer pixels of a stratum than were drawn.
    """
    parts: list[Sample] = []
    for one in record.draws:
        sizes = {row.number: n for row, n in zip(record.strata, one.sizes, strict=True)}
        parts.append(draw(strata, sizes, one.seed, without=join_samples(parts) if parts else None))
    return join_samples(parts)


def join_samples(parts: Sequence[Sample]) -> Sample:
    """Put the pixels of several draws one after the other."""
    return Sample(np.concatenate([part.rows for part in parts]), np.concatenate([part.columns for part in parts]))


def sample_ids(number: int, first: int = 1) -> list[str]:
    """Name the samples of a draw in the order in which they are to be judged: `S0001`, `S0002`...

    Args:
        number: Of the samples.
        first: Number of the first one; above 1 where they were added to others.
    """
    digits = max(4, len(str(first + number - 1)))
    return [f"S{k:0{digits}d}" for k in range(first, first + number)]


def _cochran_size(pixels: Mapping[int, int], expected: Mapping[int, float], target: float) -> int:
    if not target > 0:
        raise InputError(f"The target for the standard error is {target}; expected a number above 0, such as 0.01.")
    missing = [code for code in pixels if code not in expected]
    if missing:
        raise ValueError(f"no expected accuracy for the codes {missing}")
    wrong = [code for code in pixels if not 0 <= expected[code] <= 1]
    if wrong:
        raise InputError(f"The expected accuracy of code {wrong[0]} is {expected[wrong[0]]}; expected 0 to 1.")
    total = sum(pixels.values())
    variance = {code: expected[code] * (1 - expected[code]) for code in pixels}
    spread = sum(n / total * math.sqrt(variance[code]) for code, n in pixels.items())
    mean_variance = sum(n / total * variance[code] for code, n in pixels.items())
    return math.ceil(spread**2 / (target**2 + mean_variance / total))


def _within(pixels: Mapping[int, int], size: int, minimum: int) -> dict[int, int]:
    """Share out a given size: a smaller minimum where there are many strata, the rest in proportion."""
    if size < _LEAST * len(pixels):
        raise InputError(
            f"A sample of {size} pixels of {len(pixels)} strata; intervals need {_LEAST} of each: give at least "
            f"{_LEAST * len(pixels)}, or no size."
        )
    least = max(_LEAST, min(minimum, size // (2 * len(pixels))))
    fixed = {code: min(least, n) for code, n in pixels.items()}
    rest = {code: n - fixed[code] for code, n in pixels.items()}
    shares = _in_proportion({code: n for code, n in rest.items() if n}, min(size - sum(fixed.values()), sum(rest.values())))
    return {code: fixed[code] + shares.get(code, 0) for code in pixels}


def _in_proportion(pixels: Mapping[int, int], size: int) -> dict[int, int]:
    """Share a number of pixels by largest remainders; no code gets more than its pixels if there are that many in all."""
    total = sum(pixels.values())
    parts = {code: divmod(size * n, total) for code, n in pixels.items()}
    left = size - sum(whole for whole, _ in parts.values()) if parts else 0
    lucky = sorted(parts, key=lambda code: (-parts[code][1], code))[:left]
    return {code: whole + (code in lucky) for code, (whole, _) in parts.items()}


def _pixels_by_code(codes: np.ndarray, sample: Sample | None) -> dict[int, np.ndarray]:
    """Return int64 (2, n), rows and columns, of the sampled pixels of each code."""
    if sample is None:
        return {}
    at = codes[sample.rows, sample.columns]
    place = np.stack([sample.rows, sample.columns])
    return {int(code): place[:, at == code] for code in np.unique(at)}


def _draw_stratum(
    codes: np.ndarray, by_row: np.ndarray, size: int, *, chance: np.random.Generator, code: int, before: np.ndarray | None
) -> np.ndarray:
    """Return int64 (2, size): rows and columns."""
    ends = np.cumsum(by_row)
    taken = np.zeros(0, dtype=np.int64) if before is None else _ranks(codes, ends - by_row, code, before)
    available = (int(ends[-1]) if len(ends) else 0) - len(taken)
    if size > available:
        raise InputError(f"{size} pixels of code {code} are wanted and the map has {available}: ask for fewer.")
    ranks = np.sort(chance.choice(available, size, replace=False))
    # The k-th pixel that is left lies after as many taken ones as have fewer pixels that are left before them.
    ranks = ranks + np.searchsorted(taken - np.arange(len(taken)), ranks, side="right")
    rows = np.searchsorted(ends, ranks, side="right")
    within = ranks - (ends - by_row)[rows]
    columns = np.empty(size, dtype=np.int64)
    for row in np.unique(rows):
        here = rows == row
        columns[here] = np.flatnonzero(codes[row] == code)[within[here]]
    return np.stack([rows.astype(np.int64), columns])


def _ranks(codes: np.ndarray, starts: np.ndarray, code: int, place: np.ndarray) -> np.ndarray:
    """Return the ranks of pixels among those of their code, ascending."""
    return np.sort([int(starts[y]) + int((codes[y, :x] == code).sum()) for y, x in place.T.tolist()]).astype(np.int64)
