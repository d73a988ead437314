"""Gates on the data of a run, before a model sees it."""

from collections.abc import Sequence

from landshift.flows.runtime.artifacts import show_table
from landshift.flows.runtime.progress import show_now, step
from landshift.flows.steps.images.epochs import Pair
from landshift.flows.steps.project.plan import Plan
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.epochs.checks.levels import ratio_gate, scale_gate
from landshift.pipeline.epochs.gates import Measured, image_gates, plan_gates
from landshift.pipeline.epochs.matching import matching_gate
from landshift.pipeline.epochs.measure import measure_images
from landshift.pipeline.errors import InputError
from landshift.pipeline.gates import Gate, require_open, warnings_of
from landshift.pipeline.grid import common_share
from landshift.pipeline.manifest import value_hash
from landshift.pipeline.raster.images import open_readers
from landshift.pipeline.records import content_of, record_of
from landshift.pipeline.scenes.sensors import REFLECTANCE

_FORMAT = 3
"""Raised whenever other numbers are measured on the same images."""


def measure(ws: Workspace, prepared: Pair) -> Measured:
    """Measure what the gates ask of the images, unless that is done already for the same ones."""
    made = prepared.plan
    wavelengths = [made.wavelengths_nm.get(band) for band in made.bands]
    is_reflectance = made.sensor.units == REFLECTANCE
    key = value_hash([_FORMAT, prepared.hashes, wavelengths, is_reflectance])
    manifest = ws.manifest(ws.epochs)
    if not manifest.is_current("measured", key):
        with step("Checking the images") as advance, open_readers(*prepared.images) as (before, after):
            measured = measure_images(before, after, wavelengths, is_reflectance=is_reflectance, advance=advance)
        manifest.record("measured", key, [], content_of(measured))
    return record_of(Measured, manifest.facts("measured"), str(manifest.folder))


def gates_of_plan(ws: Workspace, made: Plan) -> tuple[Gate, ...]:
    """Judge what metadata alone shows: cover and season."""
    before, after = ([scene.grid for scene in epoch.scenes] for epoch in made.epochs)
    overlap = common_share(made.grid, before, after)
    return plan_gates(made.before.date, made.after.date, overlap, ws.project.gates.rules)


def gates_of_look(ws: Workspace, made: Plan) -> tuple[Gate, ...]:
    """Judge the levels that a few windows of the first scene of each date showed the plan, before any image is made."""
    if made.levels is None:
        return ()
    rules, is_reflectance = ws.project.gates.rules, made.sensor.units == REFLECTANCE
    return scale_gate(made.levels, made.bands, is_reflectance=is_reflectance, rules=rules), ratio_gate(made.levels, rules)


def ask_before_work(ws: Workspace, made: Plan) -> tuple[Gate, ...]:
    """Ask all that needs no image, and show in a line that it fits, or what to take care of.

    Raises:
        InputError: A gate stops the run.
    """
    gates = (*gates_of_plan(ws, made), *gates_of_look(ws, made))
    require_all_open(ws, gates)
    height, width = made.grid.shape
    marked = warnings_of(gates)
    found = [*marked, *made.skipped, *made.unmasked]
    show_now(
        f"Checked: {made.before.date} against {made.after.date}, {width:,} x {height:,} pixels of "
        f"{made.grid.transform.a:g} m, {len(made.bands)} bands. {'Take care:' if found else 'Everything fits.'}"
    )
    for sentence in found:
        show_now(f"- {sentence}")
    return gates


def gates_of_data(ws: Workspace, prepared: Pair, measured: Measured) -> tuple[Gate, ...]:
    """Judge everything of the data: what metadata shows, and what was measured on the images."""
    made, correction = prepared.plan, prepared.correction
    moved, sentence = (None, "") if correction is None else (correction.moved, correction.sentence)
    asked = image_gates(measured, made.bands, made.sensor.units, ws.project.gates.rules, moved=moved, correction=sentence)
    matched = (matching_gate(prepared.radiometry, ws.project.gates.rules),) if ws.project.radiometry.match == "auto" else ()
    return (*gates_of_plan(ws, made), *asked, *matched)


def require_all_open(ws: Workspace, gates: Sequence[Gate]) -> None:
    """Stop where a gate stops the run, with the table of all gates in Prefect's UI.

    Raises:
        InputError: A gate stops the run.
    """
    try:
        require_open(gates)
    except InputError:
        show_gates(ws, gates)
        raise


def show_gates(ws: Workspace, gates: Sequence[Gate]) -> None:
    """Show the gates as a table in Prefect's UI."""
    rows = [
        {"check": g.name, "outcome": g.outcome, "found": g.found, "expected": g.limit, "meaning": g.caution.full} for g in gates
    ]
    key = f"{ws.project.artifact_name}-gates"
    show_table(rows, key=key, description="Checks of data and model: pass, mark, stop or not measured")
