"""Why map and reference differ, and which changes are more intense than chance: figures from cross tables of areas."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Disagreement:
    """What is wrong on a map; the two add up to 1 minus the overall accuracy."""

    quantity: float
    """Share of the area by which the classes' areas differ, 0..1."""
    allocation: float
    """Share of the area that would have to trade places, 0..1."""


@dataclass(frozen=True)
class ClassIntensity:
    """Gain and loss of one class."""

    code: int
    """Land-use code."""
    name: str
    """Of the class."""
    before_ha: float
    """Hectares before."""
    after_ha: float
    """Hectares after."""
    gain_ha: float
    """Hectares that became the class."""
    loss_ha: float
    """Hectares that were the class, and are it no longer."""
    gain_intensity: float | None
    """Gain as a share of the area after, 0..1."""
    loss_intensity: float | None
    """Loss as a share of the area before, 0..1."""
    gain: str | None
    """`active`, `dormant` or `uniform`."""
    loss: str | None
    """Same."""


@dataclass(frozen=True)
class TransitionIntensity:
    """One land use that turned into another."""

    from_code: int
    """Land-use code before."""
    from_name: str
    """Land use before."""
    to_code: int
    """Land-use code after."""
    to_name: str
    """Land use after."""
    area_ha: float
    """Hectares."""
    gain_intensity: float | None
    """Share of the from-class's area before, 0..1."""
    gain_uniform: float | None
    """Share that a gain without preferences takes of every other class, 0..1."""
    gain: str | None
    """Whether the gain of the to-class targets the from-class: `targeted`, `avoided` or `uniform`."""
    loss_intensity: float | None
    """Share of the to-class's area after, 0..1."""
    loss_uniform: float | None
    """Share that a loss without preferences gives to every other class, 0..1."""
    loss: str | None
    """Whether the loss of the from-class targets the to-class: `targeted`, `avoided` or `uniform`."""


@dataclass(frozen=True)
class Intensity:
    """Gains, losses and transitions; None stands where a share is of nothing, and where the sample met nothing."""

    change_intensity: float | None
    """Share of the map that changed, to which classes are compared, 0..1."""
    classes: tuple[ClassIntensity, ...]
    """In the order of the matrix."""
    transitions: tuple[TransitionIntensity, ...]
    """A row for each pair of different classes."""


def quantity_and_allocation(matrix: np.ndarray) -> Disagreement | None:
    """Split what is wrong on a map into wrong quantities and wrong places.

    Pontius and Millones 2011, doi:10.1080/01431161.2011.552923.

    Args:
        matrix: (class, class) estimated areas indexed `[map, reference]`, not counts of samples, whose strata were
            sampled unequally.

    Returns:
        None where the matrix is empty.

    Raises:
        ValueError: The matrix is not square, or holds a negative or no number.
    """
    table = _require_areas(matrix)
    if not table.sum():
        return None
    table = table / table.sum()
    commission = table.sum(axis=1) - table.diagonal()
    omission = table.sum(axis=0) - table.diagonal()
    return Disagreement(float(np.abs(commission - omission).sum() / 2), float(np.minimum(commission, omission).sum()))


def intensity_analysis(
    matrix: np.ndarray, codes: Sequence[int], names: Sequence[str], met: np.ndarray | None = None
) -> Intensity:
    """Compare the gains, losses and transitions of one interval with uniform ones.

    Aldwaik and Pontius 2012, doi:10.1016/j.landurbplan.2012.02.010, for one interval of time, so that a year does not come
    in. A class is active where it gains (or loses) a larger share of itself than the whole map changes, else dormant. A
    gaining class targets another where it takes a larger share of it than of all the others together, else it avoids it;
    the same for what a losing class turns into. The figures are point estimates: that an intensity lies above the uniform
    one is no test of significance.

    Args:
        matrix: (class, class) hectares indexed `[before, after]`, persistence on the diagonal.
        codes: Of the classes.
        names: Of the classes.
        met: bool, shape as `matrix`: whether the sample met the transition at all; None = the areas are known. A transition
            that it did not meet may still occur, so that it has no intensity and no verdict, nor has a gain or loss of
            which no transition was met.

    Raises:
        ValueError: The shapes do not fit, or the matrix holds a negative or no number.
    """
    table = _require_areas(matrix)
    if not len(table) == len(codes) == len(names):
        raise ValueError(f"a matrix of {len(table)} classes with {len(codes)} codes and {len(names)} names")
    known = np.ones(table.shape, dtype=bool) if met is None else np.asarray(met, dtype=bool)
    if known.shape != table.shape:
        raise ValueError(f"a matrix of shape {table.shape} with what was met of shape {known.shape}")
    changing = known & ~np.eye(len(table), dtype=bool)
    # Without a second class nothing can move, which needs no sample to be known.
    lost_known, gained_known = (np.asarray(changing.any(axis=axis) | (len(table) < 2)) for axis in (1, 0))
    total, before, after = float(table.sum()), table.sum(axis=1), table.sum(axis=0)
    # A difference of sums would leave a rounding error where nothing changed.
    moved = table - np.diag(table.diagonal())
    loss, gain = moved.sum(axis=1), moved.sum(axis=0)
    uniform = _share(moved.sum(), total) if lost_known.any() else None
    classes = []
    for i, code in enumerate(codes):
        gained = _share(gain[i], after[i]) if gained_known[i] else None
        lost = _share(loss[i], before[i]) if lost_known[i] else None
        classes.append(
            ClassIntensity(
                code=int(code), name=names[i], before_ha=float(before[i]), after_ha=float(after[i]),
                gain_ha=float(gain[i]), loss_ha=float(loss[i]), gain_intensity=gained, loss_intensity=lost,
                gain=_verdict(gained, uniform, "active", "dormant"), loss=_verdict(lost, uniform, "active", "dormant"),
            )
        )  # fmt: skip
    transitions = []
    for i, j in ((i, j) for i in range(len(codes)) for j in range(len(codes)) if i != j):
        taken = _share(table[i, j], before[i]) if known[i, j] else None
        given = _share(table[i, j], after[j]) if known[i, j] else None
        gain_uniform = _share(gain[j], total - before[j]) if gained_known[j] else None
        loss_uniform = _share(loss[i], total - after[i]) if lost_known[i] else None
        transitions.append(
            TransitionIntensity(
                from_code=int(codes[i]), from_name=names[i], to_code=int(codes[j]), to_name=names[j],
                area_ha=float(table[i, j]),
                gain_intensity=taken, gain_uniform=gain_uniform,
                gain=_verdict(taken, gain_uniform, "targeted", "avoided") if gain[j] else None,
                loss_intensity=given, loss_uniform=loss_uniform,
                loss=_verdict(given, loss_uniform, "targeted", "avoided") if loss[i] else None,
            )
        )  # fmt: skip
    return Intensity(uniform, tuple(classes), tuple(transitions))


def _require_areas(matrix: np.ndarray) -> np.ndarray:
    table = np.asarray(matrix, dtype=float)
    if table.ndim != 2 or table.shape[0] != table.shape[1]:
        raise ValueError(f"a cross table of shape {table.shape}; expected (class, class)")
    if not (np.isfinite(table).all() and (table >= 0).all()):
        raise ValueError("a cross table holds areas: finite numbers from 0 on")
    return table


def _share(part: float, whole: float) -> float | None:
    return float(part) / float(whole) if whole > 0 else None


def _verdict(intensity: float | None, uniform: float | None, above: str, below: str) -> str | None:
    if intensity is None or uniform is None:
        return None
    if abs(intensity - uniform) <= _ROUNDING:
        return "uniform"
    return above if intensity > uniform else below
