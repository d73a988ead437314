"""Old runs of a monitor: which may go."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from landshift.flows.steps.monitoring.pairs import PAIRS
from landshift.flows.steps.monitoring.state import MonitorState
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.errors import UnavailableError
from landshift.pipeline.register.states import CONFIRMED, NEW
from landshift.pipeline.register.store import Register
from landshift.pipeline.run_files import RUN_MANIFEST
from landshift.pipeline.scenes.periods import PeriodPair


def remove_old_runs(ws: Workspace, pairs: Sequence[PeriodPair], state: MonitorState, register: Register) -> tuple[str, ...]:
    """Remove the runs that `monitor: keep:` does not ask for, and return a sentence about it.

    Never a run that saw a new or confirmed change first or last: its page, maps and pictures are what a person who judges the
    change looks at. What the register knows of a removed run stays in the register.

    Args:
        ws: The project.
        pairs: All of them, by date.
        state: Which are done, and by which run.
        register: Of the project.
    """
    keep = ws.project.monitor.keep
    if keep is None:
        return ()
    folders = {pair.name: ws.output / PAIRS / pair.name / ws.project.name for pair in pairs[:-keep]}
    old = {name: folder for name, folder in folders.items() if state.is_done(name) and (folder / "run").is_dir()}
    if not old:
        return ()
    try:
        if not register.database.exists:
            return ()
        changes = register.changes()
    except UnavailableError:
        return ()
    current = changes[changes["state"].isin((NEW, CONFIRMED))]
    needed = {*current["first_run"], *current["last_run"]}
    removed = size = 0
    for name, folder in old.items():
        if state.pairs[name].run in needed:
            continue
        # After a kill what is left must not look like a run that was altered.
        (folder / "run" / RUN_MANIFEST).unlink(missing_ok=True)
        for part in (folder / "run", folder / "work"):
            size += _size(part)
            shutil.rmtree(part, ignore_errors=True)
        removed += 1
        if not (folder / "epochs").is_dir():
            # Images of another year may still be compared with it.
            shutil.rmtree(folder.parent, ignore_errors=True)
    if not removed:
        return ()
    return (
        f"the runs of {removed:,} old pair{'' if removed == 1 else 's'}, {size / 1e6:,.0f} MB (`monitor: keep: {keep}`); the "
        f"register keeps what they saw.",
    )


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
