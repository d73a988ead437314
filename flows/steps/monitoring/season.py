"""Season of the pairs of a monitor: which are skipped, and what another pairing would compare."""

from collections.abc import Sequence
from datetime import UTC, date, datetime

from landshift.flows.steps.images.gating import gates_of_plan
from landshift.flows.steps.monitoring.pairs import pairs_of
from landshift.flows.steps.project.plan import Plan
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.epochs.gates import season_gap
from landshift.pipeline.gates import PASS
from landshift.pipeline.scenes.periods import Policy
from landshift.pipeline.scenes.survey import Finding


def reason_to_skip(ws: Workspace, made: Plan) -> str:
    """Return why a pair is not mapped, sentences; empty where it is."""
    if ws.project.monitor.season != "skip":
        return ""
    gate = next(g for g in gates_of_plan(ws, made) if g.setting == "season_gap_days")
    if gate.outcome == PASS:
        return ""
    return (
        f"Its dates, {made.before.date} and {made.after.date}, lie {gate.found} apart in the course of the year; expected "
        f"{gate.limit}. What plants and shadows do by themselves would be taken for change. `monitor: pairs: same-season` "
        f"compares a period with the one a year before; `monitor: season: mark` maps this pair all the same."
    )


def describe_pairs(ws: Workspace, findings: Sequence[Finding], today: date | None = None) -> list[str]:
    """Return which pairs a monitor would make, and which of them show two seasons, in sentences for `check`."""
    day = today or datetime.now(UTC).date()
    total, apart = _count(ws, findings, ws.project.monitor.pairs, day)
    pairs = f"{total} pair{'' if total == 1 else 's'}"
    if not apart:
        return [f"{pairs}, all of one season each." if total else "no pair yet."]
    done = {"skip": "skipped", "mark": "mapped with a warning", "stop": "refused"}[ws.project.monitor.season]
    lines = [f"{pairs}; the dates of {apart} lie in different seasons, and they are {done} (`monitor: season:`)."]
    if ws.project.monitor.pairs != "same-season":
        others, still = _count(ws, findings, "same-season", day)
        lines.append(
            f"`monitor: pairs: same-season` compares each period with the one a year before: {others} pairs from the scenes "
            f"that are there now, {still} of them in different seasons."
        )
    return lines


def _count(ws: Workspace, findings: Sequence[Finding], policy: Policy, today: date) -> tuple[int, int]:
    """Return the number of pairs, and of those whose seasons differ."""
    project = ws.project
    monitor = project.monitor.model_copy(update={"pairs": policy})
    pairs = pairs_of(project.model_copy(update={"monitor": monitor}), findings, today).pairs
    limit = project.gates.rules["season_gap_days"].limit
    return len(pairs), sum(season_gap(p.before.middle, p.after.middle) > limit for p in pairs)
