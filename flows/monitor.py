"""Monitor: compare new scenes since the last run, and keep the register up to date."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from landshift.flows.config.project import Project, load_project
from landshift.flows.detect import detect_planned
from landshift.flows.runtime.progress import step
from landshift.flows.runtime.states.late import give_up_if_late, skip_late_runs
from landshift.flows.runtime.tasks import as_flow, run_as_subflow
from landshift.flows.steps.monitoring.images import borrow_images, remove_old_images
from landshift.flows.steps.monitoring.outcome import (
    KNOWN,
    Compared,
    Monitored,
    ending_of,
    find_merged,
    register_name,
    register_of,
    send_due_alerts,
    show_monitored,
    write_diff,
)
from landshift.flows.steps.monitoring.pairs import PAIRS, mapper_of, name_other_models, pair_workspace, pairs_of, scenes_used
from landshift.flows.steps.monitoring.pruning import remove_old_runs
from landshift.flows.steps.monitoring.season import reason_to_skip
from landshift.flows.steps.monitoring.state import DONE, FAILED, SKIPPED, MonitorState, PairState, read_state, write_state
from landshift.flows.steps.monitoring.withdrawn import name_withdrawn, quote_register, scenes_of
from landshift.flows.steps.project.finding import find_scenes
from landshift.flows.steps.project.plan import plan, sensor_of
from landshift.flows.steps.project.published import config_as_published
from landshift.flows.steps.project.workspace import Workspace, workspace
from landshift.flows.steps.publication.copying import copy_runs
from landshift.pipeline.errors import UnavailableError, in_words, is_interrupt
from landshift.pipeline.manifest import value_hash
from landshift.pipeline.register.runs import read_mergeable
from landshift.pipeline.register.store import Register
from landshift.pipeline.run.record import read_run
from landshift.pipeline.scenes.periods import PeriodPair
from landshift.pipeline.scenes.survey import Finding


@as_flow("monitor", ending_of)
def monitor(
    project: Project | Path, data: Path, output: Path | None = None, allow_outside: bool = False, model: Path | None = None,
    today: date | None = None, again: bool = False,
) -> Monitored:  # fmt: skip
    """Compare what is new since the last time, and merge it into the register.

    A pair whose scenes and configuration are those of the last time is left as it is. One that goes wrong is reported, and the
    others go on. The state of the register depends on the runs, not on the order or the number of times that this ran.

    Args:
        project: Its epoch `before` is the baseline, and its epoch `after` begins with the first day that is watched. A path is
            that of its config, read now: what a deployment names.
        data: The data folder.
        output: Folder of outputs; the config's where None.
        allow_outside: Whether paths in the config may leave the data folder.
        model: A model to use instead of the project's own.
        today: The present day (UTC) where None.
        again: Whether pairs that are done are made again, for example with another model.

    Raises:
        BusyError: Another run is at work, or one of the same deployment that began after this one was due did its work.
        InputError: The config, the scenes, the model or the register cannot be used at all.
    """
    if isinstance(project, Path):
        project = load_project(project)
    # Another list of faulty scenes must not change the fingerprint of every pair.
    project = project.model_copy(update={"scenes": project.scenes.model_copy(update={"faulty": "skip"})})
    ws = workspace(project, data, output, allow_outside=allow_outside, model=model)
    ws.require_writable()
    with ws.alone():
        give_up_if_late()
        skip_late_runs()
        chosen, weights = mapper_of(ws)
        register = register_of(ws)
        findings = find_scenes(ws, sensor_of(project.sensor), tolerant=True)
        made = pairs_of(project, findings, today or datetime.now(UTC).date())
        state = read_state(ws)
        shared = _Round(
            ws, register, find_merged(register), tuple(findings), state=state, model=chosen, weights=weights, again=again
        )
        compared = []
        with step("Monitoring") as advance:
            for number, pair in enumerate(made.pairs, start=1):
                compared.append(_compare(shared, pair))
                if compared[-1].outcome != KNOWN:
                    skip_late_runs(but_the_last=True)
                advance(number / len(made.pairs))
        remove_old_images(ws, made.pairs, state)
        others = name_other_models(made.pairs, state, weights)
        try:
            diff, what = write_diff(ws, register, state)
            told, untold = send_due_alerts(ws, register)
            withdrawn = name_withdrawn(ws, register, state, findings)
        except UnavailableError as error:
            diff, what, told, untold, withdrawn = None, {}, (), (str(error),), ()
        runs = {pair.name: pair_workspace(ws, pair, chosen).run for pair in made.pairs if state.is_done(pair.name)}
        uncopied = copy_runs(ws, runs)
        # What could not be copied yet has to stay.
        removed = () if uncopied else remove_old_runs(ws, made.pairs, state, register)
    result = Monitored(
        pairs=tuple(compared), waiting=made.waiting, faulty=tuple(f"{f.name}: {f.fault}" for f in findings if f.fault),
        register=ws.register_file if isinstance(ws.register, Path) else str(ws.register), diff=diff, what=what, told=told,
        untold=(*untold, *uncopied), withdrawn=withdrawn, removed=removed, other_models=others,
    )  # fmt: skip
    show_monitored(ws, result)
    return result


@dataclass(frozen=True)
class _Round:
    """What all pairs of a run share."""

    ws: Workspace
    """The project."""
    register: Register
    """Where pairs are merged."""
    merged: Collection[str] | None
    """Keys of the runs in it; None where it is away."""
    findings: tuple[Finding, ...]
    """All scenes."""
    state: MonitorState
    """Updated with each pair."""
    model: Path | None
    """The model in use; None where a classical method maps the changes."""
    weights: str
    """Hash of its weights, or of the settings of the classical method."""
    again: bool
    """Whether pairs that are done are made again."""


def _compare(run: _Round, pair: PeriodPair) -> Compared:
    """Map one pair and merge it, unless that is done already."""
    ws, state = run.ws, run.state
    ours = pair_workspace(ws, pair, run.model)
    scenes = scenes_used(pair, run.findings, ws.project.dates.part_of_year)
    fingerprint = value_hash([config_as_published(ours), scenes, ws.project.monitor.season])
    known = state.pairs.get(pair.name)
    is_same = known is not None and (known.fingerprint, known.register) == (fingerprint, register_name(ws))
    # A register that was lost, or restored from an older copy, gets back what it lacks.
    is_there = known is not None and (run.merged is None or known.run in run.merged)
    settled = known is not None and (known.outcome == SKIPPED or (known.outcome == DONE and is_there))
    if known is not None and settled and is_same and not run.again:
        return Compared(pair.name, str(pair.before), str(pair.after), KNOWN, message=known.message)
    try:
        key, message, warnings = _map(run, ours)
        outcome = SKIPPED if key is None else DONE
    except Exception as error:
        if is_interrupt(error):
            raise
        outcome, key, message, warnings = FAILED, None, in_words(error), ()
    if outcome == SKIPPED and known is not None and known.run is not None:
        command = f"landshift register withdraw --run {known.run} --reason 'another season' {quote_register(ws)}"
        message += f" Its run of before stays in the register; `{command}` takes it out."
    state.pairs[pair.name] = PairState(
        outcome=outcome, fingerprint=fingerprint, register=register_name(ws), run=key, message=message,
        attempts=known.attempts + 1 if known is not None and known.outcome == FAILED else 1,
        at=datetime.now(UTC).isoformat(timespec="seconds"), model=run.weights,
    )  # fmt: skip
    write_state(ws, state)
    return Compared(pair.name, str(pair.before), str(pair.after), outcome, message=message, warnings=warnings)


def _map(run: _Round, ours: Workspace) -> tuple[str | None, str, tuple[str, ...]]:
    """Map a pair and merge it; return the key of its run (None where it is skipped), what was found, and warnings."""
    planned = plan(ours)
    if why := reason_to_skip(ours, planned):
        return None, why, ()
    borrow_images(ours, planned, run.ws.output / PAIRS)
    detected = run_as_subflow("detect", lambda: detect_planned(ours, planned))
    mergeable = read_mergeable(detected.run)
    run.register.merge([mergeable])
    run.state.scenes[mergeable.view.observation.key] = scenes_of(planned)
    found = f"{detected.changed_ha:,.1f} ha mapped as changed (pixel count, biased), in {detected.polygons:,} patches."
    return mergeable.view.observation.key, found, tuple(warning.full for warning in read_run(detected.run).warnings)
