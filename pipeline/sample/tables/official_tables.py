"""Official land-use matrices as CSV: long, and in the form of the tables that they are reported in."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from landshift.pipeline.sample.area_estimation import Interval
from landshift.pipeline.sample.official import SCHEMES
from landshift.pipeline.sample.record import OfficialMatrix

LONG_COLUMNS = ("scheme", "quantity", "from", "to", "estimate", "se", "low", "high", "unit", "method")
"""Of the long table, in order."""

_BYTE_ORDER_MARK = "\ufeff"


def official_long(found: Sequence[OfficialMatrix]) -> str:
    """Write official matrices as one table, a row an estimate, in hectares.

    Args:
        found: Of the run.

    Returns:
        CSV with `LONG_COLUMNS`; `quantity` is `area` of a pair of classes (persistence where they are the same), `initial
        area`, `final area`, `net change`, or `changed`, all that changed its official class.
    """
    return _csv(LONG_COLUMNS, (cells for matrix in found for cells in _long_rows(matrix)))


def official_form(matrix: OfficialMatrix) -> str:
    """Write a matrix in its official form and unit.

    Args:
        matrix: Of one scheme.

    Returns:
        CSV: after the class of the row, for each class of the columns, and for the last column, the estimate and the ends of
        its 95 % interval. IPCC (kha): columns are the classes before, rows the classes after, then `Final area`; below,
        `Initial area` and `Net change`. UNCCD (km2): rows are the classes before, columns those after, then `Initial area`;
        below, `Final area` and `Net change`.
    """
    scheme = SCHEMES[matrix.scheme]
    names = list(scheme.classes.values())
    by_row = scheme.initial_in_rows
    corner = f"from (rows) to (columns), {scheme.unit}" if by_row else f"to (rows) from (columns), {scheme.unit}"
    last, foot = ("Initial area", "Final area") if by_row else ("Final area", "Initial area")
    side, bottom = (matrix.before_ha, matrix.after_ha) if by_row else (matrix.after_ha, matrix.before_ha)
    header = [corner, *(f"{name}{part}" for name in (*names, last) for part in ("", " low", " high"))]
    size = range(len(names))
    rows = []
    for i, name in enumerate(names):
        cells = [matrix.area_ha[i][j] if by_row else matrix.area_ha[j][i] for j in size]
        rows.append([name, *_numbers((*cells, side[i]), scheme.hectares)])
    empty = Interval(None, None, None, None)
    rows.append([foot, *_numbers((*bottom, empty), scheme.hectares)])
    rows.append(["Net change", *_numbers((*matrix.net_ha, empty), scheme.hectares)])
    return _csv(header, rows)


def _long_rows(matrix: OfficialMatrix) -> Iterator[list[str]]:
    scheme = SCHEMES[matrix.scheme]
    names = list(scheme.classes.values())
    for before, cells in zip(names, matrix.area_ha, strict=True):
        for after, cell in zip(names, cells, strict=True):
            yield _long_row(scheme.name, ("area", before, after), cell)
    for quantity, sums in (("initial area", matrix.before_ha), ("final area", matrix.after_ha), ("net change", matrix.net_ha)):
        for name, found in zip(names, sums, strict=True):
            place = (name, "") if quantity == "initial area" else ("", name)
            yield _long_row(scheme.name, (quantity, *place), found)
    yield _long_row(scheme.name, ("changed", "", ""), matrix.changed_ha)


def _long_row(scheme: str, what: tuple[str, str, str], found: Interval) -> list[str]:
    numbers = (found.estimate, found.standard_error, found.low, found.high)
    return [scheme, *what, *(_number(value, 1.0) for value in numbers), "ha", found.method or ""]


def _numbers(found: Iterable[Interval], hectares: float) -> list[str]:
    return [_number(value, hectares) for one in found for value in (one.estimate, one.low, one.high)]


def _number(value: float | None, hectares: float) -> str:
    # Adding 0 makes a negative zero positive.
    return "" if value is None else f"{round(value / hectares, 6) + 0:.6f}"


def _csv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return _BYTE_ORDER_MARK + stream.getvalue()
