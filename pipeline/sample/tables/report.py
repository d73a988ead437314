"""Estimates as a text for a report: a paragraph, tables and the citations, in Markdown."""

import math
from collections.abc import Iterable, Sequence
from datetime import date

from landshift.pipeline.legend import CHANGED
from landshift.pipeline.sample.area_estimation import Interval
from landshift.pipeline.sample.design import FEW, WILSON
from landshift.pipeline.sample.grouping import OTHER_CHANGES, SMALL_KIND
from landshift.pipeline.sample.record import Estimates

_MARK = " (w)"
"""Beside an interval that rests on few sampled pixels."""
_REASON = (
    f"fewer than {FEW} sampled pixels of one of two answers lie in a stratum that matters (Wilson 1927; Zou and Donner 2008)"
)
_MARKS = {
    "some": f"(w): the interval is built from Wilson's limits of each stratum, because {_REASON}.",
    "all": f"All intervals are built from Wilson's limits of each stratum, because {_REASON}.",
}
_CITATIONS = (
    "Olofsson, P., Foody, G. M., Herold, M., Stehman, S. V., Woodcock, C. E., Wulder, M. A. (2014): Good practices for "
    "estimating area and assessing accuracy of land change. Remote Sensing of Environment 148, 42-57. "
    "https://doi.org/10.1016/j.rse.2014.02.015",
    "Stehman, S. V. (2014): Estimating area and map accuracy for stratified random sampling when the strata are different from "
    "the map classes. International Journal of Remote Sensing 35(13), 4923-4939. "
    "https://doi.org/10.1080/01431161.2014.930207",
)
_FEW_CITATIONS = (
    "Wilson, E. B. (1927): Probable inference, the law of succession, and statistical inference. Journal of the American "
    "Statistical Association 22, 209-212. https://doi.org/10.1080/01621459.1927.10502953",
    "Zou, G. Y., Donner, A. (2008): Construction of confidence limits about effect measures: a general approach. Statistics in "
    "Medicine 27(10), 1693-1702. https://doi.org/10.1002/sim.3095",
)


def report_text(estimates: Estimates, name: str, dates: tuple[date, date]) -> str:
    """Write what a report needs of the estimates: a paragraph, tables and the citations.

    Args:
        estimates: Of the run.
        name: Of the run.
        dates: Of the images before and after.

    Returns:
        Markdown. Each column has one number of decimals; kinds of change with fewer than 10 judged pixels stand together.
    """
    rows, marked = _settle_marks(_change_rows(estimates))
    parts = [
        f"# Land-use change, {_plain(name)}, {dates[0]} to {dates[1]}",
        _paragraph(estimates, dates),
        _table(("Change", "Mapped", "Area", "95 % interval", "User's accuracy", "Producer's accuracy", "Judged so"), rows),
        _table_note(estimates, marked),
    ]
    if estimates.balances:
        balances, all_marked = _settle_marks(_balance_rows(estimates))
        parts += [
            "## Gains and losses",
            _table(("Land use", "Gain", "95 % interval", "Loss", "95 % interval", "Net change", "95 % interval"), balances),
            "Hectares, estimated." + (f" {_MARKS[all_marked]}" if all_marked == "all" else ""),
        ]  # fmt: skip
    few = marked != "none"
    parts += ["## References", "\n".join(f"- {text}" for text in (*_CITATIONS, *(_FEW_CITATIONS if few else ())))]
    return "\n\n".join(parts) + "\n"


def _settle_marks(rows: list[list[str]]) -> tuple[list[list[str]], str]:
    """Take the mark away where every interval has it; return whether `all`, `some` or `none` have it."""
    spans = [cell for row in rows for cell in row[1:] if "(" in cell or " to " in cell]
    marked = [cell.endswith(_MARK) for cell in spans]
    if not any(marked):
        return rows, "none"
    if not all(marked):
        return rows, "some"
    return [[row[0], *(cell.removesuffix(_MARK) for cell in row[1:])] for row in rows], "all"


def decimals_of(values: Iterable[float | None]) -> int:
    """Return how many decimals a column of hectares has: the first digit of its least standard error, at most two.

    Args:
        values: Standard errors; None and 0 are left out.
    """
    known = [value for value in values if value]
    return 1 if not known else int(min(max(-math.floor(math.log10(min(known))), 0), 2))


def _paragraph(estimates: Estimates, dates: tuple[date, date]) -> str:
    changed, samples = estimates.changed, estimates.samples
    observed = sum(row.area_ha for row in samples.strata)
    places = decimals_of([changed.area_ha.standard_error])
    strata = ", ".join(f"{_plain(row.name)} ({row.judged:,} of {row.pixels:,} pixels)" for row in samples.strata)
    text = [
        f"Between {dates[0]} and {dates[1]}, {_with_interval(changed.area_ha, places)} changed their land use: "
        f"{_percent(_share_of(changed.area_ha, observed))} of the {observed:,.0f} ha that were observed on both dates.",
        f"Counting the pixels of the map gives {changed.mapped_ha:,.{places}f} ha, which is biased by what the map missed and "
        f"by what it shows falsely.",
        f"The estimate is from a stratified random sample of {samples.total:,} pixels, of which {samples.used:,} could be "
        f"judged; strata and judged pixels: {strata}.",
        f"Judged by: {_plain(samples.judging.by)}; dates of the images or visits that they were judged by: "
        f"{samples.judging.dates}.",
        f"Of the mapped change {_state(changed.users_accuracy)} had changed (user's accuracy), and of the change "
        f"{_state(changed.producers_accuracy)} is mapped (producer's accuracy); the overall accuracy is "
        f"{_state(estimates.overall_accuracy)}.",
    ]  # fmt: skip
    if estimates.not_observed_ha > 0:
        text.append(f"{estimates.not_observed_ha:,.{places}f} ha were not observed and are in no estimate.")
    text.append(
        "Areas and accuracies are design-based (Olofsson et al. 2014; Stehman 2014 for classes that are not strata), with 95 % "
        "confidence intervals."
    )
    if agreement := estimates.agreement:
        change = agreement.questions[0]
        text.append(
            f"A second interpreter gave the same answer on change for {_percent(change.agreed)} of {agreement.pixels:,} pixels"
            + ("." if change.kappa.estimate is None else f" (Cohen's kappa {change.kappa.estimate:.2f}).")
        )
    return " ".join(text)


def _change_rows(estimates: Estimates) -> list[list[str]]:
    small = estimates.other_changes
    pooled = set(small.codes) if small else set()
    kinds = [row for row in estimates.changes if row.code >= CHANGED and row.code not in pooled]
    kinds.sort(key=lambda row: -(row.area_ha.estimate or 0.0))
    rest = [row for row in estimates.changes if row.code < CHANGED]
    entries = [
        *((row.name, row.mapped_ha, row.area_ha, (row.users_accuracy, row.producers_accuracy), row.samples) for row in kinds),
        *([(OTHER_CHANGES, small.mapped_ha, small.area_ha, (small.users_accuracy, small.producers_accuracy), small.samples)]
          if small else []),
        ("All changes", estimates.changed.mapped_ha, estimates.changed.area_ha,
         (estimates.changed.users_accuracy, estimates.changed.producers_accuracy),
         sum(row.samples for row in estimates.changes if row.code >= CHANGED)),
        *((row.name, row.mapped_ha, row.area_ha, (row.users_accuracy, row.producers_accuracy), row.samples) for row in rest),
    ]  # fmt: skip
    places = decimals_of(area.standard_error for _, _, area, _, _ in entries)
    return [
        [_plain(name), f"{mapped:,.{places}f}", _value(area, places), _ends(area, places), _percent(users), _percent(producers),
         f"{samples:,}"]
        for name, mapped, area, (users, producers), samples in entries
    ]  # fmt: skip


def _balance_rows(estimates: Estimates) -> list[list[str]]:
    places = decimals_of(e.standard_error for row in estimates.balances for e in (row.gain_ha, row.loss_ha))
    rows = []
    for row in estimates.balances:
        cells = [_plain(row.name)]
        for found in (row.gain_ha, row.loss_ha, row.net_ha):
            cells += [_value(found, places), _ends(found, places)]
        rows.append(cells)
    return rows


def _table_note(estimates: Estimates, marked: str) -> str:
    said = ["Hectares; mapped: counted pixels, biased. Judged so: sampled pixels that were judged to be it."]
    if estimates.other_changes:
        names = "; ".join(_plain(name) for name in estimates.other_changes.names)
        said.append(f"{OTHER_CHANGES}: kinds with fewer than {SMALL_KIND} judged pixels ({names}).")
    if marked != "none":
        said.append(_MARKS[marked])
    return " ".join(said)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---", *("---:" for _ in header[1:])], *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _share_of(area: Interval, whole: float) -> Interval:
    def part(value: float | None) -> float | None:
        return None if value is None or not whole else value / whole

    return Interval(part(area.estimate), part(area.standard_error), part(area.low), high=part(area.high))


def _value(found: Interval, places: int) -> str:
    return "not known" if found.estimate is None else f"{found.estimate + 0:,.{places}f}"


def _ends(found: Interval, places: int) -> str:
    if found.low is None or found.high is None:
        return "–"
    return f"{found.low + 0:,.{places}f} to {found.high + 0:,.{places}f}{_MARK if found.method == WILSON else ''}"


def _with_interval(found: Interval, places: int) -> str:
    ends = _ends(found, places)
    return f"{_value(found, places)} ha" + ("" if ends == "–" else f" (95 % interval {ends.removesuffix(_MARK)})")


def _percent(found: Interval) -> str:
    if found.estimate is None:
        return "not known"
    if found.low is None or found.high is None:
        return f"{100 * found.estimate:.1f} %"
    mark = _MARK if found.method == WILSON else ""
    return f"{100 * found.estimate:.1f} % ({100 * found.low:.1f} to {100 * found.high:.1f}){mark}"


def _state(found: Interval) -> str:
    return _percent(found).removesuffix(_MARK)


def _plain(text: str) -> str:
    """Return a name without what Markdown or HTML would act on."""
    line = " ".join(text.split())
    for character in "\\`*_[]<>|#":
        line = line.replace(character, f"\\{character}" if character not in "<>" else {"<": "&lt;", ">": "&gt;"}[character])
    return line
