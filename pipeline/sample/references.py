"""The judgements of a labelling file, checked before anything is estimated from them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import CHANGED, UNCHANGED, Legend
from landshift.pipeline.sample.draw import DrawnStratum, Sample, sample_ids

UNTOLD = 0
"""Answer of an interpreter who looked, and did not recognise the land use."""
_ANOTHER_DRAW = 0.5
"""Share of the samples that lie elsewhere from which not they, but the draw is another one."""
_NAMED = 5
"""Samples that a message names."""


@dataclass(frozen=True)
class References:
    """Sampled pixels that can be used, in the order of the file."""

    index: np.ndarray
    """int64 (n): which rows of the file they are, from 0."""
    sample_id: tuple[str, ...]
    """Name of each (n)."""
    rows: np.ndarray
    """int64 (n): row in the map."""
    columns: np.ndarray
    """int64 (n): column in the map."""
    change: np.ndarray
    """uint8 (n): the legend's change code of the judgement, never 0."""
    before: np.ndarray | None
    """uint8 (n): land-use code judged before; None in a binary project."""
    after: np.ndarray | None
    """uint8 (n): land-use code judged after; None in a binary project."""
    total: int
    """Samples that were drawn (rows of the file where that is not known), those that were not judged included."""
    untold: int = 0
    """Samples whose land use the interpreter did not recognise; in `total`, and not among the pixels."""


def check_references(
    legend: Legend,
    judged: pd.DataFrame,
    *,
    run: str,
    shape: tuple[int, int],
    allow_missing: bool = False,
    drawn: Sample | None = None,
) -> References:
    """Check the columns of a labelling file, which may hold nulls.

    A sample with a 0 among its answers was judged, and its land use not recognised: it is left out, and counted. Those that
    were not judged are something else, because some of them may be hard and others only forgotten.

    Args:
        legend: Of the run.
        judged: The labelling file: columns `sample_id`, `run_id`, `row`, `column`, and `reference_before` and
            `reference_after`, or `reference_change` in a binary project.
        run: Key of the run that the estimates are for.
        shape: Rows and columns of its map.
        allow_missing: Leave out what was not judged, rows that are gone included, instead of refusing it.
        drawn: The sample as it was drawn, in the order of `sample_ids`; None where not known.

    Raises:
        InputError: The sample is of another run or legend; ids or pixels repeat; a sample was not drawn, or lies elsewhere;
            points lie outside the map; nothing was judged; a code is unknown; or a judgement is missing, unless that is
            allowed.
    """
    asked = ["reference_change"] if legend.binary else ["reference_before", "reference_after"]
    lacking = [name for name in asked if name not in judged]
    if lacking:
        raise InputError(
            f"The sample lacks {', '.join(lacking)}, which this run's legend asks for: it belongs to a run with another "
            f"legend. Expected the file that `landshift sample` made for run {run}."
        )
    ids = _texts(judged["sample_id"])
    _require_own_run(_texts(judged["run_id"]), run)
    _require_unique(ids)
    place = np.stack([_numbers(judged["row"]), _numbers(judged["column"])], axis=1)
    expected = ids
    if drawn is not None:
        expected = sample_ids(len(drawn.rows))
        pixels = np.stack([drawn.rows, drawn.columns], axis=1).tolist()
        _require_drawn(ids, place, dict(zip(expected, pixels, strict=True)))
    _require_inside(ids, place, shape)
    allowed = {UNCHANGED: "unchanged", CHANGED: "changed"} if legend.binary else {c.code: c.name for c in legend.classes}
    allowed[UNTOLD] = "cannot be told"
    values = np.stack([_read_codes(ids, judged[name], allowed) for name in asked], axis=1)
    untold = (values == UNTOLD).any(axis=1)
    missing = np.isnan(values).any(axis=1) & ~untold
    usable = ~(missing | untold)
    if missing.all():
        raise InputError(
            f"None of the {len(ids)} samples was judged: fill in {' and '.join(asked)} ({_choices(allowed)}), then estimate."
        )
    _require_answers(ids, missing, expected, asked, allow_missing=allow_missing)
    if not usable.any():
        raise InputError(
            f"Of none of the {len(ids)} samples the interpreter recognised the land use ({int(untold.sum())} cannot be told, "
            f"{int(missing.sum())} were not judged), so nothing can be estimated: judge them from better images."
        )
    index = np.flatnonzero(usable)
    codes = values[index].astype(np.uint8)
    spot = place[index].astype(np.int64)
    names = tuple(ids[i] for i in index)
    before_codes, after_codes = (None, None) if legend.binary else (codes[:, 0], codes[:, 1])
    turned = codes[:, 0] if legend.binary else legend.change_lookup()[codes[:, 0], codes[:, 1]]
    return References(
        index,
        names,
        spot[:, 0],
        spot[:, 1],
        change=turned,
        before=before_codes,
        after=after_codes,
        total=len(expected),
        untold=int(untold.sum()),
    )


def require_strata(references: References, stratum: np.ndarray, strata: Sequence[DrawnStratum], *, drawn: bool) -> None:
    """Refuse judgements that do not fit the map which the sample was drawn from.

    Args:
        references: The judged pixels.
        stratum: int (n): number of the stratum of each, 0 = none.
        strata: Of the map.
        drawn: Whether it is known how many pixels of each were drawn.

    Raises:
        InputError: A judged pixel lies where the map observed nothing, a stratum has no judged pixel, or has more than
            were drawn.
        ValueError: The shapes do not fit.
    """
    if stratum.shape != references.change.shape:
        raise ValueError(f"the map is given at {stratum.shape} pixels, judged were {references.change.shape}")
    unseen = ~np.isin(stratum, [row.number for row in strata])
    if unseen.any():
        raise InputError(
            f"{int(unseen.sum())} samples lie where the map observed nothing, and none is ever drawn there: "
            f"{_some(references.sample_id, unseen)}. Give the file that `landshift sample` made for this run."
        )
    judged = {row.number: int((stratum == row.number).sum()) for row in strata}
    empty = [row.name for row in strata if not judged[row.number]]
    if empty:
        raise InputError(
            f"No judged sample can be used where the map has {', '.join(map(repr, empty))}, so nothing is known "
            f"about it: judge two or more of each."
        )
    added = [row.name for row in strata if drawn and judged[row.number] > row.samples]
    if added:
        raise InputError(
            f"More samples were judged than drawn where the map has {', '.join(map(repr, added))}. Points chosen by hand make "
            f"estimates biased: use only those that were drawn."
        )


def _require_own_run(found: list[str], run: str) -> None:
    others = sorted({name or "none" for name in found if name != run})
    if others:
        raise InputError(
            f"The sample was drawn for run {', '.join(others[:_NAMED])}, and the estimates are for run {run}. A sample holds "
            f"for its own map only: give its own run, or draw one for this run with `landshift sample`."
        )


def _require_unique(ids: list[str]) -> None:
    without = sum(not name for name in ids)
    if without:
        raise InputError(f"{without} samples have no sample_id; use the file that `landshift sample` made.")
    repeated = sorted(name for name, times in pd.Series(ids, dtype=object).value_counts().items() if times > 1)
    if repeated:
        raise InputError(
            f"The sample_id of {len(repeated)} samples stands more than once: "
            f"{', '.join(repeated[:_NAMED])}. Keep one row of each."
        )


def _require_inside(ids: list[str], place: np.ndarray, shape: tuple[int, int]) -> None:
    inside = ((place >= 0) & (place < np.asarray(shape)) & (place == np.floor(place))).all(axis=1)
    if not inside.all():
        raise InputError(
            f"{int((~inside).sum())} samples lie outside the map of {shape[0]} rows and {shape[1]} columns: "
            f"{_some(ids, ~inside)}. Only the pixels that were drawn can be used: take back the change of row and column."
        )
    again = pd.DataFrame(place).duplicated(keep=False).to_numpy()
    if again.any():
        raise InputError(f"Several samples lie on one pixel: {_some(ids, again)}. Each was drawn once: remove the copies.")


def _require_drawn(ids: list[str], place: np.ndarray, drawn: Mapping[str, Sequence[int]]) -> None:
    unknown = np.array([name not in drawn for name in ids])
    if unknown.any():
        raise InputError(
            f"{int(unknown.sum())} samples were never drawn for this run: {_some(ids, unknown)}. Points chosen by hand make "
            f"estimates biased: give the file and the sample.json that `landshift sample` made, both unchanged."
        )
    moved = np.array([at != list(drawn[name]) for name, at in zip(ids, place.tolist(), strict=True)])
    if moved.sum() > _ANOTHER_DRAW * len(ids):
        raise InputError(
            f"{int(moved.sum())} of {len(ids)} samples do not lie where the seed and the numbers in sample.json draw them: it "
            f"belongs to another sample, or was changed. Give the file and the sample.json that `landshift sample` made."
        )
    if moved.any():
        raise InputError(
            f"{int(moved.sum())} samples do not lie where they were drawn: {_some(ids, moved)}. Their row and column differ "
            f"from the draw of this run: take back the change, or give the file that `landshift sample` made."
        )


def _require_answers(ids: list[str], missing: np.ndarray, expected: list[str], asked: list[str], allow_missing: bool) -> None:
    """Refuse samples without a judgement, be it that their row is empty or gone."""
    judged = {name for name, lacks in zip(ids, missing.tolist(), strict=True) if not lacks}
    lacking = np.array([name not in judged for name in expected])
    if lacking.any() and not allow_missing:
        gone = int(lacking.sum() - missing.sum())
        rows = f" ({gone} of them are not in the file any more)" if gone else ""
        raise InputError(
            f"{int(lacking.sum())} of {len(expected)} samples lack {' or '.join(asked)}: {_some(expected, lacking)}{rows}. "
            f"Judge them, or allow it (--allow-missing), which leaves them out as if like the others of their stratum."
        )


def _read_codes(ids: list[str], column: pd.Series, allowed: dict[int, str]) -> np.ndarray:
    """Return codes as float64 (n), NaN = not judged."""
    numbers = _numbers(column)
    filled = pd.Series(column, dtype=object).notna().to_numpy()
    unknown = filled & ~np.isin(numbers, list(allowed))
    if unknown.any():
        found = sorted({str(value)[:20] for value in pd.Series(column, dtype=object)[unknown]})[:_NAMED]
        raise InputError(
            f"{column.name} of {int(unknown.sum())} samples is no code of the legend ({', '.join(found)}): "
            f"{_some(ids, unknown)}. Expected {_choices(allowed)}."
        )
    return numbers


def _numbers(column: pd.Series) -> np.ndarray:
    return np.asarray(pd.to_numeric(pd.Series(column, dtype=object), errors="coerce").to_numpy(dtype=float, na_value=np.nan))


def _texts(column: pd.Series) -> list[str]:
    return ["" if pd.isna(value) else str(value) for value in pd.Series(column, dtype=object)]


def _choices(allowed: dict[int, str]) -> str:
    return ", ".join(f"{code} = {name}" for code, name in allowed.items())


def _some(ids: Iterable[str], chosen: np.ndarray) -> str:
    names = [name for name, wanted in zip(ids, chosen.tolist(), strict=True) if wanted]
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
