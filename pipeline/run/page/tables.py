"""Tables of a run's page: areas, who turned into what, areas of interest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd

from landshift.pipeline.change.areas import OnTestBlocks
from landshift.pipeline.legend import CHANGED, UNCHANGED, Legend
from landshift.pipeline.run.record import RunRecord
from landshift.pipeline.sample.area_estimation import Interval
from landshift.pipeline.sample.record import EstimatedArea, EstimatedClass, Estimates, LandUseBalance
from landshift.pipeline.scores.accuracy import FEWEST_CHANGED

EVEN = 0.5
"""Share that is right where a kind is as often right as wrong."""


@dataclass(frozen=True)
class RightShare:
    """How often what was mapped as a kind of change was right, by one test."""

    share: float | None
    """0..1; None where not tested."""
    low: float | None
    """Lower end of its 95 % interval, 0..1; None without one."""
    high: float | None
    """Upper end, 0..1."""
    n: int | None
    """Tested pixels that are mapped as the kind; None where there was no test of it."""


@dataclass(frozen=True)
class AreaFigures:
    """A row of the page's table of areas: mapped hectares of a change beside the estimated ones."""

    name: str
    """Of the change."""
    colour: str
    """`#rrggbb`."""
    mapped_ha: float
    """Pixel count, biased."""
    polygons: int
    """Patches."""
    test: OnTestBlocks
    """How often the model was right about it."""
    estimated: EstimatedClass | None
    """Its row of the estimates; None without one."""
    pattern: int = 0
    """Index in `colours.palette.PATTERNS` of the lines on its colour; 0 = plain."""
    sampled: int | None = None
    """Judged pixels that are mapped as the change; None without a sample."""

    @property
    def in_sample(self) -> RightShare | None:
        """How often it was right in the judged sample; None without one."""
        if self.estimated is None:
            return None
        found = self.estimated.users_accuracy
        return RightShare(found.estimate, found.low, found.high, n=self.sampled)

    @property
    def on_blocks(self) -> RightShare:
        """How often it was right on the test blocks of the model, as `kind_right` in the layers."""
        return RightShare(self.test.right, self.test.low, self.test.high, n=self.test.mapped)

    @property
    def tests(self) -> int | None:
        """What `right` is a share of: judged samples, else pixels of test blocks; None where that is not known."""
        return self._measured.n

    @property
    def tests_text(self) -> str:
        """The same in words: `16 samples`, `120 test pixels`, `not tested`."""
        unit = "test pixel" if self.estimated is None else "sample"
        where = " in one block" if self.estimated is None and self.test.blocks == 1 else ""
        return f"{self.tests:,} {unit}{'s' if self.tests != 1 else ''}{where}" if self.tests else "not tested"

    @property
    def is_hardly_tested(self) -> bool:
        """Whether too little was tested to know if the kind is more often right than wrong."""
        few = self.tests is not None and self.tests < FEWEST_CHANGED
        if self.right is None or few or (self.estimated is None and self.test.blocks == 1):
            return True
        low, high = self._measured.low, self._measured.high
        if low is None or high is None:
            return self.estimated is not None
        return low < EVEN < high

    @property
    def right(self) -> float | None:
        """Share of what is mapped so that is right, 0..1: of the judged sample, else of the test blocks; None where unknown."""
        return self.test.right if self.estimated is None else self.estimated.users_accuracy.estimate

    @property
    def right_text(self) -> str:
        """The same in words, with its interval and where it comes from: `62 % (41 to 80 %) of 120 mapped test pixels right`."""
        if self.right is None or (self.estimated is None and not self.test.mapped):
            return "not tested" if self.estimated is None else "not tested by the sample"
        low, high = self._measured.low, self._measured.high
        span = "" if low is None or high is None else f" ({100 * low:.0f} to {100 * high:.0f} %)"
        tested = f"{self.tests:,} " if self.tests else ""
        of = f"{tested}mapped test pixels" if self.estimated is None else f"{tested}sampled pixels mapped so"
        few = ", in one block" if self.estimated is None and self.test.blocks == 1 else ""
        few += ", too few to rely on" if self.is_hardly_tested else ""
        return f"{100 * self.right:.0f} %{span} of {of} right{few}"

    @property
    def right_brief(self) -> str:
        """The same in few words, for a narrow column: `81 % right (50 to 95), 16 samples`."""
        if self.right is None:
            return "not tested"
        low, high = self._measured.low, self._measured.high
        span = "" if low is None or high is None else f" ({100 * low:.0f} to {100 * high:.0f})"
        return f"{100 * self.right:.0f} % right{span}" + (f", {self.tests_text}" if self.tests else "")

    @property
    def _measured(self) -> RightShare:
        return self.in_sample or self.on_blocks


@dataclass(frozen=True)
class MatrixCell:
    """Land that turned from the class of the row into that of the column."""

    ha: float | None
    """Pixel count, biased; None on the diagonal."""
    share: float
    """Of the largest cell, 0..1."""
    estimate: Interval | None
    """Hectares with their interval; None without an estimate, and where the kind is shown among other changes."""


@dataclass(frozen=True)
class MatrixSums:
    """A class of the transition matrix: its row of cells, and what it lost and gained in hectares."""

    name: str
    """Of the class."""
    cells: tuple[MatrixCell, ...]
    """One for each class after."""
    gained: float
    """Pixel count, biased."""
    moved: LandUseBalance | None
    """What it gained and lost as estimated; None without an estimate."""

    @property
    def lost(self) -> float:
        """Pixel count, biased."""
        return sum(cell.ha or 0.0 for cell in self.cells)


@dataclass(frozen=True)
class PlaceFigures:
    """A row of the page's table of areas of interest."""

    name: str
    """Of the area."""
    total_ha: float | None
    """The part of it on the map."""
    changed_ha: float | None
    """Pixel count, biased."""
    not_observed_ha: float | None
    """Not observed on one of the dates or on both."""
    outside_ha: float | None
    """Beyond the map."""
    changed_share: float | None
    """Of what was observed, 0..1."""
    polygons: int
    """Patches that reach into it."""
    largest_change: str | None
    """Name of the change with most pixels."""
    estimated: EstimatedArea | None
    """Its row of the estimates; None without one."""


def area_rows(run: RunRecord, estimates: Estimates | None) -> list[AreaFigures]:
    """Put the mapped hectares of each change beside the estimated ones.

    Args:
        run: What describes it.
        estimates: Of the run, None before there is a judged sample.

    Returns:
        The changes that occur in the map or in the sample, the largest mapped first.
    """
    found = {row.code: row for row in (estimates.changes if estimates else ()) if row.code >= CHANGED}
    counts = zip(estimates.matrix.codes, estimates.matrix.counts, strict=True) if estimates else ()
    sampled = {code: sum(row) for code, row in counts}
    rows = [
        AreaFigures(row.name, row.colour, row.area_ha, row.polygons, test=row.test, estimated=found.pop(row.code, None),
            pattern=row.pattern, sampled=sampled.get(row.code),
        )
        for row in run.areas.changes
    ]  # fmt: skip
    only = [
        AreaFigures(
            row.name, row.colour, row.mapped_ha, 0, test=OnTestBlocks(), estimated=row, sampled=sampled.get(row.code)
        )
        for row in found.values()
    ]  # fmt: skip
    return rows + only


def estimate_of_unchanged(estimates: Estimates | None) -> EstimatedClass | None:
    """Return the estimates' row of what did not change, None without one."""
    return next((row for row in (estimates.changes if estimates else ()) if row.code == UNCHANGED), None)


def matrix(run: RunRecord, estimates: Estimates | None) -> list[MatrixSums]:
    """Tabulate who turned into what.

    Args:
        run: What describes it.
        estimates: Of the run, None before there is a judged sample.

    Returns:
        The land-use classes that gained or lost, in the order of the legend; none where the project has no classes.
    """
    mapped = {(row.from_code, row.to_code): row.area_ha for row in run.areas.changes}
    estimated = _transitions(run, estimates)
    used = {code for pair in mapped for code in pair}
    used |= {code for pair, interval in estimated.items() if pair[0] != pair[1] and interval.estimate for code in pair}
    classes = [entry for entry in run.legend if entry.code in used]
    most = max(mapped.values(), default=0.0)
    moved = {row.code: row for row in estimates.balances} if estimates else {}

    def cell(before: int, after: int) -> MatrixCell:
        ha = mapped.get((before, after), 0.0)
        return MatrixCell(None if before == after else ha, ha / most if most else 0.0, estimated.get((before, after)))

    return [
        MatrixSums(
            row.name, tuple(cell(row.code, column.code) for column in classes),
            gained=sum(mapped.get((other.code, row.code), 0.0) for other in classes), moved=moved.get(row.code),
        )
        for row in classes
    ]  # fmt: skip


def _transitions(run: RunRecord, estimates: Estimates | None) -> dict[tuple[int, int], Interval]:
    if not estimates or not (table := estimates.transitions):
        return {}
    found = {
        (before, after): cell
        for before, cells in zip(table.codes, table.area_ha, strict=True)
        for after, cell in zip(table.codes, cells, strict=True)
    }
    if estimates.other_changes is None:
        return found
    # What the table of areas shows among other changes does not stand alone here, nor do kinds without a judged sample.
    alone = {row.code for row in estimates.changes} - set(estimates.other_changes.codes)
    kinds = {(kind.from_code, kind.to_code): kind.code for kind in Legend(run.legend).changes}
    return {pair: cell for pair, cell in found.items() if pair[0] == pair[1] or kinds[pair] in alone}


def place_rows(areas_of_interest: gpd.GeoDataFrame | None, estimates: Estimates | None) -> list[PlaceFigures]:
    """Describe the areas of interest, in the order of their layer, each with its row of the estimates."""
    if areas_of_interest is None:
        return []
    found = {row.name: row for row in (estimates.areas_of_interest if estimates else ())}
    return [
        PlaceFigures(
            name=row["name"], total_ha=number_of(row["total_ha"]), changed_ha=number_of(row["changed_ha"]),
            not_observed_ha=number_of(row["not_observed_ha"]), outside_ha=number_of(row["outside_ha"]),
            changed_share=number_of(row["changed_share"]), polygons=int(row["polygons"]),
            largest_change=text_of(row["largest_change"]), estimated=found.get(row["name"]),
        )
        for row in areas_of_interest.to_dict("records")
    ]  # fmt: skip


def place_notes(places: Sequence[PlaceFigures]) -> dict[str, list[str]]:
    """Gather the notes on the estimates of areas of interest: each note once, with the names that it is about."""
    found: dict[str, list[str]] = {}
    for row in places:
        if row.estimated and row.estimated.note:
            found.setdefault(row.estimated.note, []).append(row.name)
    return found


def text_of(value: object) -> str | None:
    """Return the text in a cell of a layer, None where it is empty."""
    return value if isinstance(value, str) and value else None


def number_of(value: Any) -> float | None:  # noqa: ANN401 (numbers, NaN or pandas' NA)
    """Return the number in a cell of a layer to four decimals, None where it is empty."""
    number = np.nan if value is None or value is pd.NA else float(value)
    return None if np.isnan(number) else round(number, 4)
