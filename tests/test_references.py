"""Labelling files that cannot be used are refused with what was found and what to do; the others come out as codes."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import LandUse, Legend
from landshift.pipeline.sample.draw import DrawnStratum, Sample, sample_ids
from landshift.pipeline.sample.references import References, check_references, require_strata

LEGEND = Legend((LandUse(1, "Forest", "#006400"), LandUse(4, "Cropland", "#ffcc00"), LandUse(9, "Built-up", "#cc0000")))


def check_columns(legend: Legend, *, run: str, shape: tuple[int, int], **given: Any) -> References:
    """Check a labelling file of these columns."""
    options = {name: given.pop(name) for name in ("allow_missing", "drawn") if name in given}
    names = {name: f"reference_{name}" for name in ("before", "after", "change")} | {"rows": "row", "columns": "column"}
    table = pd.DataFrame({names.get(name, name): pd.Series(values, dtype=object) for name, values in given.items()})
    return check_references(legend, table, run=run, shape=shape, **options)


def check(**changes: Any) -> References:
    """Check a good labelling file of four samples, with some columns changed."""
    columns = {
        "sample_id": ["S0001", "S0002", "S0003", "S0004"], "run_id": ["abc"] * 4,
        "rows": [0, 1, 2, 3], "columns": [4, 0, 2, 1], "before": [1, 1, 4, 9], "after": [1, 4, 9, 9],
    }  # fmt: skip
    return check_columns(LEGEND, run="abc", shape=(4, 5), **{**columns, **changes})


def test_a_good_file_comes_out_as_change_codes() -> None:
    found = check()
    assert found.change.tolist() == [1, 2, 5, 1]  # unchanged, forest to cropland, cropland to built-up, unchanged
    assert found.change.dtype == np.uint8
    assert found.before is not None
    assert found.before.tolist() == [1, 1, 4, 9]
    assert (found.rows.tolist(), found.columns.tolist(), found.total) == ([0, 1, 2, 3], [4, 0, 2, 1], 4)
    assert found.sample_id == ("S0001", "S0002", "S0003", "S0004")


@pytest.mark.parametrize(
    "after", [[1, None, 9, 9], [1.0, np.nan, 9.0, 9.0], pd.array([1, None, 9, 9], dtype="Int32"), ["1", None, "9", "9"]]
)
def test_nulls_of_every_kind_are_missing(after: Any) -> None:
    with pytest.raises(InputError, match=r"1 of 4 samples lack reference_before or reference_after: S0002\."):
        check(after=after)
    found = check(after=after, allow_missing=True)
    assert found.index.tolist() == [0, 2, 3]
    assert found.sample_id == ("S0001", "S0003", "S0004")
    assert found.rows.tolist() == [0, 2, 3]
    assert found.change.tolist() == [1, 5, 1]
    assert found.total == 4


def test_a_binary_project_takes_changed_or_unchanged() -> None:
    common: dict[str, Any] = {"run": "r", "shape": (2, 2), "run_id": ["r", "r"], "rows": [0, 1], "columns": [0, 1]}
    found = check_columns(Legend(), sample_id=["a", "b"], change=[2, 1], **common)
    assert found.change.tolist() == [2, 1]
    assert found.before is None
    assert check_columns(Legend(), sample_id=["a", "b"], change=[0, 1], **common).untold == 1
    with pytest.raises(InputError, match=r"1 = unchanged, 2 = changed, 0 = cannot be told"):
        check_columns(Legend(), sample_id=["a", "b"], change=[3, 1], **common)
    with pytest.raises(InputError, match="lacks reference_change, which this run's legend asks for"):
        check_columns(Legend(), sample_id=["a", "b"], before=[1, 1], after=[1, 1], **common)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"run_id": ["abc", "xyz", "abc", "abc"]}, "drawn for run xyz, and the estimates are for run abc"),
        ({"run_id": [None] * 4}, "drawn for run none"),
        ({"sample_id": ["S1", "S2", "S1", "S4"]}, "stands more than once: S1"),
        ({"sample_id": ["S1", None, "S3", "S4"]}, "1 samples have no sample_id"),
        ({"rows": [0, 1, 2, 4]}, "1 samples lie outside the map of 4 rows and 5 columns: S0004"),
        ({"columns": [4, -1, 2, None]}, "2 samples lie outside .* S0002, S0004"),
        ({"rows": [0, 0, 2, 3], "columns": [4, 4, 2, 1]}, "on one pixel: S0001, S0002"),
        ({"before": [None] * 4}, "None of the 4 samples was judged"),
        (
            {"before": [1, 2, 4, 77]},
            r"2 samples is no code of the legend \(2, 77\): S0002, S0004. Expected 1 = Forest, 4 = Cropland",
        ),
        ({"after": [1, "tree", 9, 9]}, "S0002"),
        ({"after": [1, 1.5, 9, 9]}, "S0002"),
        ({"after": [1, -1, 9, 9]}, r"\(-1\): S0002\. Expected .* 0 = cannot be told\.$"),
        ({"after": [0] * 4}, r"Of none of the 4 samples .* \(4 cannot be told, 0 were not judged\)"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check(**changes)


DRAWN = Sample(np.array([0, 1, 2, 3]), np.array([4, 0, 2, 1]))


def test_what_cannot_be_told_is_left_out_and_counted_without_being_allowed() -> None:
    found = check(before=[1, 0, 4, 9], after=[1, None, 0, 9], drawn=DRAWN)
    assert found.sample_id == ("S0001", "S0004")
    assert found.index.tolist() == [0, 3]
    assert (found.total, found.untold) == (4, 2)
    assert found.change.tolist() == [1, 1]
    assert check().untold == 0
    with pytest.raises(InputError, match=r"1 of 4 samples lack .*: S0002\."):
        check(before=[1, None, 4, 9], after=[1, 4, 0, 9])
    found = check(before=[1, None, 4, 9], after=[1, 4, 0, 9], allow_missing=True)
    assert (found.sample_id, found.total, found.untold) == (("S0001", "S0004"), 4, 1)


def test_a_sample_is_checked_against_the_draw() -> None:
    order = [2, 0, 3, 1]
    columns = {"sample_id": ["S0003", "S0001", "S0004", "S0002"], "before": [4, 1, 9, 1], "after": [9, 1, 9, 4]}
    found = check(**columns, rows=DRAWN.rows[order], columns=DRAWN.columns[order], drawn=DRAWN)
    assert found.sample_id == ("S0003", "S0001", "S0004", "S0002")
    assert (found.change.tolist(), found.total) == ([5, 1, 1, 2], 4)


def without(row: int) -> dict[str, Any]:
    """The good file without one of its rows."""
    columns: dict[str, list[Any]] = {
        "sample_id": ["S0001", "S0002", "S0003", "S0004"], "run_id": ["abc"] * 4,
        "rows": [0, 1, 2, 3], "columns": [4, 0, 2, 1], "before": [1, 1, 4, 9], "after": [1, 4, 9, 9],
    }  # fmt: skip
    return {name: values[:row] + values[row + 1 :] for name, values in columns.items()}


def test_rows_that_are_gone_are_missing_like_those_that_nobody_judged() -> None:
    with pytest.raises(InputError, match=r"1 of 4 samples lack .*: S0002 \(1 of them are not in the file any more\)"):
        check(**without(1), drawn=DRAWN)
    empty = {**without(1), "after": [None, 9, 9]}
    with pytest.raises(InputError, match=r"2 of 4 samples lack .*: S0001, S0002 \(1 of them .*--allow-missing"):
        check(**empty, drawn=DRAWN)
    found = check(**empty, drawn=DRAWN, allow_missing=True)
    assert (found.sample_id, found.index.tolist()) == (("S0003", "S0004"), [1, 2])
    assert (found.total, found.untold) == (4, 0)
    assert check(**without(1)).total == 3, "nobody can tell where the draw is not known"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sample_id": ["S0001", "S0002", "S0003", "mine"]}, "1 samples were never drawn for this run: mine"),
        ({"sample_id": ["S0001", "S0002", "S0003", "S0005"]}, "1 samples were never drawn for this run: S0005"),
        ({"sample_id": ["S0001", "S0002", "S0003", "S4"]}, "never drawn .* S4"),
        ({"sample_id": ["S0002", "S0001", "S0003", "S0004"]}, "2 samples do not lie where they were drawn: S0002, S0001"),
        ({"rows": [0, 1, 2, 2]}, "1 samples do not lie where they were drawn: S0004"),
        ({"columns": [4, 0, None, 1]}, "1 samples do not lie where they were drawn: S0003"),
        ({"columns": [4, 0, 2.5, 99]}, "2 samples do not lie where they were drawn: S0003, S0004"),
    ],
)
def test_points_that_were_not_drawn_are_refused_whatever_is_allowed(changes: dict[str, Any], message: str) -> None:
    for allow_missing in (False, True):
        with pytest.raises(InputError, match=message):
            check(**changes, drawn=DRAWN, allow_missing=allow_missing)


@given(
    answers=st.lists(st.tuples(*[st.sampled_from([None, 0, 1, 4, 9])] * 2), min_size=1, max_size=30),
    gone=st.sets(st.integers(0, 29)),
)
@settings(deadline=None)
def test_every_drawn_sample_is_used_untold_or_missing(answers: list[tuple[int | None, int | None]], gone: set[int]) -> None:
    drawn = Sample(np.arange(len(answers)), np.zeros(len(answers), dtype=int))
    ids = sample_ids(len(answers))
    kept = [k for k in range(len(answers)) if k not in gone]
    usable = [k for k in kept if all(answers[k])]
    untold = [k for k in kept if 0 in answers[k]]
    missing = len(answers) - len(usable) - len(untold)
    columns: dict[str, Any] = {
        "sample_id": [ids[k] for k in kept], "run_id": ["abc"] * len(kept), "rows": kept, "columns": [0] * len(kept),
        "before": [answers[k][0] for k in kept], "after": [answers[k][1] for k in kept],
    }  # fmt: skip
    common: dict[str, Any] = {"run": "abc", "shape": (30, 1), "drawn": drawn}
    if not usable:
        with pytest.raises(InputError):
            check_columns(LEGEND, **columns, **common, allow_missing=True)
        return
    found = check_columns(LEGEND, **columns, **common, allow_missing=True)
    assert found.sample_id == tuple(ids[k] for k in usable)
    assert (found.total, found.untold) == (len(answers), len(untold))
    assert found.total - found.untold - len(found.index) == missing
    if missing:
        with pytest.raises(InputError, match=f"{missing} of {len(answers)} samples lack"):
            check_columns(LEGEND, **columns, **common)
    else:
        check_columns(LEGEND, **columns, **common)


def test_of_many_samples_the_first_are_named() -> None:
    many = {"sample_id": [f"S{i}" for i in range(40)], "run_id": ["abc"] * 40, "rows": [0] * 40, "columns": range(40)}
    with pytest.raises(InputError, match=r"39 of 40 .* S1, S2, S3, S4, S5 and 34 more"):
        check_columns(LEGEND, run="abc", shape=(1, 40), before=[1] * 40, after=[1] + [None] * 39, **many)


def test_names_of_users_are_only_text() -> None:
    hostile = Legend((LandUse(1, "<b>\"'&", "#000000"), LandUse(2, "=1+1", "#ffffff")))
    with pytest.raises(InputError, match=r"2 = =1\+1"):
        check_columns(
            hostile, run="r", shape=(1, 1), sample_id=["'"], run_id=["r"], rows=[0], columns=[0], before=[3], after=[1]
        )


def strata(sizes: dict[int, int]) -> list[DrawnStratum]:
    names = {change.code: change.name for change in LEGEND.changes}
    return [DrawnStratum(c, names[c], (c,), None, pixels=99, samples=n, expected_changed=0.0) for c, n in sizes.items()]


def test_judgements_have_to_fit_the_strata_of_the_map() -> None:
    found, drawn = check(), strata({1: 2, 2: 1, 5: 1})
    mapped = np.array([1, 2, 5, 1], dtype=np.uint8)
    require_strata(found, mapped, drawn, drawn=True)
    with pytest.raises(InputError, match=r"observed nothing.*S0003"):
        require_strata(found, np.array([1, 2, 0, 1], dtype=np.uint8), drawn[:2], drawn=False)
    with pytest.raises(InputError, match="'Built-up to Forest'"):
        require_strata(found, mapped, strata({1: 2, 2: 1, 5: 1, 6: 1}), drawn=False)
    with pytest.raises(InputError, match="More samples were judged than drawn where the map has 'Unchanged'"):
        require_strata(found, mapped, strata({1: 1, 2: 1, 5: 1}), drawn=True)
    require_strata(found, mapped, strata({1: 1, 2: 1, 5: 1}), drawn=False)
    with pytest.raises(ValueError, match="judged were"):
        require_strata(found, mapped[:3], drawn, drawn=False)
