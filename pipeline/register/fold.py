"""State transitions of the changes, as one observation after the other is laid over them.

The state of a register is a fold over its observations, in the order of `Observation.order`, and the reviews on top. Nothing
here knows of files, ids or the order in which runs were merged.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import shapely

from landshift.pipeline.register.ground import (
    OPEN,
    OVER,
    UNCOUNTED,
    GroundOfChanges,
    hidden_part,
    join_parts,
    largest_part_seen,
    look,
    match,
)
from landshift.pipeline.register.states import (
    CLOSED,
    COLUMNS,
    CONFIRMED,
    NEW,
    NO_LONGER_SEEN,
    NOT_SEEN_AGAIN,
    SETS,
    WITHDRAWN,
    ConfirmationRule,
    Known,
    Observation,
    View,
)

OBSERVED_SHARE = 0.5
"""Share of a change's area, 0..1, that a run has to have observed for its silence to count."""
TURNED_SHARE = 0.5
"""Share of a change's area, 0..1, that a later run has to map as turned into another class for the change to be over."""


def nothing_known() -> Known:
    """Return the state before any observation."""
    kinds = {"Int64": "int64", "str": "object"}
    columns = {name: np.zeros(0, dtype=kinds.get(kind, kind)) for name, kind in COLUMNS.items()}
    none = np.zeros(0, dtype=object)
    return Known({**columns, **dict.fromkeys(SETS, none)}, none, none, united=np.zeros(0, dtype=np.int64), laid=0)


def lay_over(known: Known, view: View, why_not: str, rule: ConfirmationRule, names: Mapping[int, str]) -> Known:
    """Lay one observation over all that came before it.

    A run that does not count (superseded or withdrawn) still lends its patches their identity, so that ids outlive it; it
    confirms nothing, closes nothing and unites nothing, and a change that only such runs saw is `withdrawn`.

    Args:
        known: After all observations before it in order.
        view: What the run saw.
        why_not: Empty where it counts, else why not.
        rule: When changes are confirmed and closed.
        names: Land-use code to name.
    """
    asked = known.geometry.copy()
    asked[known.united >= 0] = None
    ground = look(asked, known.columns["change_code"], view)
    lifecycle, counted = known.columns["lifecycle"], known.columns["times_seen"] > 0
    tiers = np.where(~counted, UNCOUNTED, np.where(lifecycle == CLOSED, OVER, OPEN))
    row_of_patch, pairs = match(ground, tiers, shapely.area(view.patches.geometry.to_numpy()))
    if not why_not and len(known):
        known, row_of_patch = _Update(known, view, ground, rule=rule, names=names).apply(row_of_patch, pairs)
    fresh = np.flatnonzero(row_of_patch < 0)
    rows = row_of_patch.copy()
    rows[fresh] = len(known) + np.arange(len(fresh))
    geometry = view.patches.geometry.to_numpy()[fresh]
    created = _create(view, fresh, why_not, known.laid)
    return Known(
        {name: np.concatenate([known.columns[name], created[name]]) for name in COLUMNS},
        np.concatenate([known.geometry, geometry]), np.concatenate([known.first_geometry, geometry]),
        united=np.concatenate([known.united, np.full(len(fresh), -1)]), laid=known.laid + 1,
        rows={**known.rows, view.observation.key: rows},
    )  # fmt: skip


def replay(
    views: Iterable[View], standing: Mapping[str, str], rule: ConfirmationRule, names: Mapping[int, str]
) -> tuple[Known, dict[tuple[str, int], str]]:
    """Lay all observations over each other, the first one first.

    Args:
        views: In the order of `Observation.order`.
        standing: As `standings` returns it.
        rule: When changes are confirmed and closed.
        names: Land-use code to name.

    Returns:
        The state, and the ids that runs gave to the patches that its changes go back to: (key, number of the patch) to id.
    """
    known, proposals = nothing_known(), {}
    for view in views:
        before = len(known)
        known = lay_over(known, view, standing[view.observation.key], rule, names=names)
        proposals.update(proposals_of(known, view, before))
    return known, proposals


def proposals_of(known: Known, view: View, before: int) -> dict[tuple[str, int], str]:
    """Return the ids that a run gave to the patches that became changes with it: those from row `before` on."""
    key, own = view.observation.key, view.patches["change_id"].to_numpy()
    return {(key, patch): str(own[patch]) for patch in known.columns["founder_patch"][before:].tolist()}


def _create(view: View, fresh: np.ndarray, why_not: str, number: int) -> dict[str, np.ndarray]:
    """Return the columns of the changes that patches become."""
    seen, patches = view.observation, view.patches.iloc[fresh]
    values = {
        "change_code": patches["change_code"].to_numpy(), "to_code": patches["to_code"].fillna(-1).to_numpy(dtype=np.int64),
        "area_ha": patches["area_ha"].to_numpy(), "change_probability": patches["change_probability"].to_numpy(),
        **_first(seen), "times_seen": int(not why_not), "times_observed": int(not why_not),
        **dict.fromkeys(SETS, 0 if why_not else 1 << number),
        "lifecycle": WITHDRAWN if why_not else NEW, "why": why_not, "founder_run": seen.key, "founder_patch": fresh,
    }  # fmt: skip
    return {n: v if isinstance(v, np.ndarray) else _repeat(v, len(fresh), COLUMNS[n]) for n, v in values.items()}


def _repeat(value: object, times: int, kind: str) -> np.ndarray:
    return np.array([value] * times, dtype=object if kind == "str" else kind)


def _first(seen: Observation) -> Mapping[str, str | int]:
    """Return the columns that a change takes from the run that sees it first."""
    return {
        "first_before": seen.before_date, "first_seen": seen.after_date, "last_seen": seen.after_date,
        "not_before": seen.before_date, "first_run": seen.key, "model_hash": seen.model_hash, "last_run": seen.key,
        "window_seen": 0, "window_observed": 0, "misses": 0,
    }  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Update:
    """One run that counts, and what was known before it."""

    known: Known
    view: View
    ground: GroundOfChanges
    rule: ConfirmationRule
    names: Mapping[int, str]

    def apply(self, row_of_patch: np.ndarray, pairs: Sequence[tuple[int, int]]) -> tuple[Known, np.ndarray]:
        """Return the changes after the run, and the row of the change of each patch; -1 where it is a new one."""
        seen, old = self.view.observation, self.known
        column = {name: values.copy() for name, values in old.columns.items()}
        counted, spans = column["times_seen"] > 0, column["not_before"] >= seen.before_date
        united = old.united.copy()
        groups = self._unite(column, united, pairs)
        row_of_patch = np.where((row_of_patch >= 0) & (united[row_of_patch] >= 0), united[row_of_patch], row_of_patch)
        patches_of = _group(row_of_patch)
        rows = np.fromiter(patches_of, dtype=np.int64, count=len(patches_of))

        is_missing = counted & (old.united < 0) & (united < 0)
        is_missing[rows] = False
        # A patch of its kind that belongs to another change covers it: that is neither a sighting nor a miss.
        missing = np.flatnonzero(is_missing & ~self.ground.is_covered)
        turned = np.where(column["last_seen"][missing] < seen.after_date, self._class_after()[missing], "")
        could = (turned != "") | spans[missing]
        could &= (turned != "") | (self.ground.observed[missing] >= OBSERVED_SHARE * self.ground.area[missing])

        # What is seen between clouds may be smaller than any patch of the map.
        for k in np.flatnonzero(could & (turned == "") & (self.ground.hidden[missing] > 0)).tolist():
            could[k] = self._could_show(int(missing[k]))
        geometry, first_geometry = old.geometry.copy(), old.first_geometry.copy()
        for root, members in groups.items():
            # One run may have seen several parts of it first.
            first = [m for m in members if column["first_run"][m] == column["first_run"][root]]
            first_geometry[root] = join_parts(list(first_geometry[first])) if len(first) > 1 else first_geometry[root]
        whole = spans & (self.ground.hidden == 0)
        whole |= ~counted
        plain = [row for row, patches in patches_of.items() if whole[row] and len(patches) == 1 and row not in groups]
        only = [patches_of[row][0] for row in plain]
        geometry[plain] = self.view.patches.geometry.to_numpy()[only]
        for name in ("area_ha", "change_probability"):
            column[name][plain] = self.view.patches[name].to_numpy()[only]
        for row in patches_of.keys() - set(plain):
            self._extend(column, geometry, row, members=groups.get(row, [row]), patches=patches_of[row], spans=spans)
        returns = rows[~counted[rows]]
        first_geometry[returns] = geometry[returns]
        self._count_seen(column, rows, returns)
        absent = missing[could]
        column["times_observed"][absent] += 1
        column["observed_by"][absent] |= 1 << old.laid
        # Also of closed changes: whether a review still holds depends on it.
        column["misses"][absent] += 1
        alive = np.isin(column["lifecycle"][absent], (NEW, CONFIRMED))
        living, into = absent[alive], turned[could][alive]
        column["window_observed"][living] += column["lifecycle"][living] == NEW
        column["lifecycle"][living[into != ""]] = CLOSED
        column["why"][living[into != ""]] = into[into != ""]
        self._decide(column, united)
        return Known(column, geometry, first_geometry, united=united, laid=old.laid, rows=old.rows), row_of_patch

    def _could_show(self, row: int) -> bool:
        """Return whether the map would show a change that clouds hide parts of: as a patch of the minimum mapping unit."""
        part = largest_part_seen(self.ground, self.known.geometry[row], row, self.view)
        hectares = self.known.columns["area_ha"][row] * part / self.ground.area[row]
        # Outlines are not as exact as pixels are.
        return not hectares < 0.99 * self.view.observation.min_area_ha

    def _unite(
        self, column: Mapping[str, np.ndarray], united: np.ndarray, pairs: Sequence[tuple[int, int]]
    ) -> dict[int, list[int]]:
        """Make one change of those that are one: the oldest stays. Return its row, to all of their rows by age."""
        graph: dict[int, set[int]] = {}
        bounds = self.ground.bounds
        for one, other in pairs:
            whole = graph.get(one, {one}) | graph.get(other, {other})
            graph |= dict.fromkeys(whole, whole)
        result = {}
        for whole in {id(whole): whole for whole in graph.values()}.values():
            members = sorted(whole, key=lambda row: (column["first_seen"][row], column["first_before"][row], *bounds[row]))
            root, others = members[0], members[1:]
            result[root] = members
            united[others] = root
            lifecycle = set(column["lifecycle"][members])
            for name, count in zip(SETS, ("times_seen", "times_observed"), strict=True):
                column[name][root] = np.bitwise_or.reduce(column[name][members])
                column[count][root] = column[name][root].bit_count()
            column["not_before"][root] = max(column["not_before"][members])
            waiting = [row for row in members if column["lifecycle"][row] == NEW] or members
            for name in ("window_seen", "window_observed"):
                column[name][root] = column[name][waiting].max()
            column["lifecycle"][root] = next(state for state in (CONFIRMED, NEW, CLOSED) if state in lifecycle)
        return result

    def _extend(
        self, column: Mapping[str, np.ndarray], geometry: np.ndarray, row: int, members: Sequence[int],
        patches: Sequence[int], spans: np.ndarray,
    ) -> None:  # fmt: skip
        """Give a change that was seen its extent, hectares and probability.

        The extent is what the run saw of it, and what it did not observe of what was known; all of that where the pair
        begins later than the change may have come.
        """
        ground, view = self.ground, self.view
        seen = view.patches.geometry.to_numpy()[patches]
        hectares, probability = (view.patches[n].to_numpy()[patches] for n in ("area_ha", "change_probability"))
        hidden = [m for m in members if ground.hidden[m] > 0 or not spans[m]]
        parts = [*seen, *(hidden_part(ground, geometry[m], m, view) if spans[m] else geometry[m] for m in hidden)]
        whole = join_parts(parts) if len(parts) > 1 else parts[0]
        area, known_ha = hectares.sum(), column["area_ha"][members].sum()
        kept = shapely.area(whole) - shapely.area(seen).sum()
        more = known_ha * kept / ground.area[members].sum() if hidden and kept > 0 else 0.0
        mean = np.average(probability, weights=shapely.area(seen))
        if more > 0:
            before = np.average(column["change_probability"][members], weights=ground.area[members])
            mean = mean if np.isnan(before) else (mean * area + before * more) / (area + more)
        geometry[row] = whole
        column["area_ha"][row], column["change_probability"][row] = area + more, mean

    def _count_seen(self, column: Mapping[str, np.ndarray], rows: np.ndarray, returns: np.ndarray) -> None:
        """Count a sighting of each of the rows; those that return were seen only by runs that do not count."""
        seen = self.view.observation
        for name, value in _first(seen).items():
            column[name][returns] = value
        again = np.setdiff1d(rows, returns)
        reopened = again[column["lifecycle"][again] == CLOSED]
        waiting = again[column["lifecycle"][again] == NEW]
        column["window_seen"][waiting] += 1
        column["window_observed"][waiting] += 1
        for name in ("window_seen", "window_observed"):
            column[name][reopened] = 0
        column["misses"][rows] = 0
        column["lifecycle"][np.concatenate([returns, reopened])] = NEW
        column["why"][rows] = ""
        column["times_seen"][rows] += 1
        column["times_observed"][rows] += 1
        for name in SETS:
            column[name][rows] |= 1 << self.known.laid
        column["last_seen"][rows], column["last_run"][rows] = seen.after_date, seen.key
        column["not_before"][rows] = np.maximum(column["not_before"][rows], seen.before_date)

    def _decide(self, column: Mapping[str, np.ndarray], united: np.ndarray) -> None:
        """Confirm and close what the rule asks for."""
        is_new = (column["lifecycle"] == NEW) & (united < 0)
        enough = is_new & (column["window_seen"] >= self.rule.seen_again)
        late = is_new & ~enough & (column["window_observed"] >= self.rule.of)
        gone = (column["lifecycle"] == CONFIRMED) & (united < 0) & (column["misses"] >= self.rule.of)
        column["lifecycle"][enough] = CONFIRMED
        for rows, why in ((late, NOT_SEEN_AGAIN), (gone, NO_LONGER_SEEN)):
            column["lifecycle"][rows], column["why"][rows] = CLOSED, why

    def _class_after(self) -> np.ndarray:
        """Return for each change the class that its place turned into by this run, in words; empty where it did not."""
        ground, codes = self.ground, self.known.columns["to_code"]
        result = np.full(len(codes), "", dtype=object)
        to = self.view.patches["to_code"].fillna(-1).to_numpy(dtype=np.int64)[ground.patch]
        other = (to != codes[ground.row]) & (to >= 0)
        pairs = pd.DataFrame({"change": ground.row[other], "to": to[other], "shared": ground.shared[other]})
        by_class = pairs.groupby(["change", "to"])["shared"].sum()
        whole = by_class.groupby(level="change").sum()
        over = set(whole.index[whole >= TURNED_SHARE * ground.area[whole.index.to_numpy(dtype=np.int64)]])
        for (number, code), _ in by_class.sort_values(kind="stable").items():
            if number in over:
                # The largest share comes last, and stays.
                result[number] = f"turned into {self.names.get(int(code), str(code))}"
        return result


def _group(row_of_patch: np.ndarray) -> dict[int, list[int]]:
    """Return row to the numbers of its patches, of those that have one."""
    result: dict[int, list[int]] = {}
    for patch in np.flatnonzero(row_of_patch >= 0).tolist():
        result.setdefault(int(row_of_patch[patch]), []).append(patch)
    return result
