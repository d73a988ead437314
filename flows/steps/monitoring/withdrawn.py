"""Items that a catalog no longer has, and runs of the register that were made from them."""

import shlex
from collections.abc import Sequence

from landshift.flows.steps.monitoring.state import MonitorState, UsedScene
from landshift.flows.steps.project.plan import Plan
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.register.database.tables import OBSERVATIONS
from landshift.pipeline.register.store import Register
from landshift.pipeline.scenes.survey import Finding


def scenes_of(made: Plan) -> tuple[UsedScene, ...]:
    """Return the scenes that a run is made from."""
    return tuple(UsedScene(scene.id, scene.date) for epoch in made.epochs for scene in epoch.scenes)


def quote_register(ws: Workspace) -> str:
    """Return the register as a shell takes it, without the address of one on a server."""
    variable = ws.project.monitor.register_env
    return f'"${variable}"' if variable is not None else shlex.quote(str(ws.register_file))


def name_withdrawn(ws: Workspace, register: Register, state: MonitorState, findings: Sequence[Finding]) -> tuple[str, ...]:
    """Return a sentence for each item that the catalog no longer has, and that runs of the register were made from.

    Only runs that count are looked at, and days that are searched now. A folder is no catalog: files may leave it.

    Args:
        ws: The project.
        register: Where its runs are merged.
        state: With the scenes of its runs.
        findings: All that the catalog has now, what is left out and what is faulty included.

    Raises:
        UnavailableError: The register is away.
    """
    if ws.project.scenes.stac is None or not state.scenes or not register.database.exists:
        return ()
    table = register.table(OBSERVATIONS)
    counting = set(table.loc[table["standing"] == "", "key"])
    there, ranges = {f.name for f in findings}, [(e.start, e.end) for _, e in ws.project.dates.ranges]
    runs: dict[UsedScene, list[str]] = {}
    for key, scenes in state.scenes.items():
        for scene in scenes:
            if key in counting and scene.id not in there and any(a <= scene.day <= b for a, b in ranges):
                runs.setdefault(scene, []).append(key)
    place = quote_register(ws)
    return tuple(
        f"The catalog no longer has {scene.id} of {scene.day}, and the register counts {len(keys)} "
        f"run{'' if len(keys) == 1 else 's'} made from it ({', '.join(keys[:3])}). If it was withdrawn there: "
        f"`landshift register withdraw {place} --scene {shlex.quote(scene.id)} --reason 'withdrawn by its catalog'`."
        for scene, keys in sorted(runs.items(), key=lambda entry: (entry[0].day, entry[0].id))
    )
