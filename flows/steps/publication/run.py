"""The published folder of a detect run."""

import platform
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from landshift.flows.runtime.progress import step
from landshift.flows.runtime.versions import versions
from landshift.flows.steps.assessment.current import assessment_of
from landshift.flows.steps.images.epochs import Prepared
from landshift.flows.steps.images.gating import gates_of_data, require_all_open
from landshift.flows.steps.learning.blocks import BLOCK
from landshift.flows.steps.learning.fitting import require_model_fits
from landshift.flows.steps.project.published import published_config
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.change.areas import MappedAreas, with_test_scores
from landshift.pipeline.gates import Gate, warnings_of
from landshift.pipeline.grid import crs_name
from landshift.pipeline.manifest import MANIFEST, file_hash, replace_when_done
from landshift.pipeline.raster.place import place_hash
from landshift.pipeline.records import content_of, record_of
from landshift.pipeline.run.package import complete
from landshift.pipeline.run.record import (
    AreasNotes,
    InputFile,
    MapGrid,
    ObservedShares,
    RunRecord,
    SpentSeconds,
    TerritoryShift,
    UsedAdaptation,
    UsedModel,
)
from landshift.pipeline.scores.gates import model_gates
from landshift.pipeline.scores.training import Cost


@dataclass(frozen=True)
class Detected:
    """What a detect run made."""

    run: Path
    """Folder with the map, the layers and the report."""
    changed_ha: float
    """Hectares mapped as changed (pixel count)."""
    polygons: int
    """Patches."""
    fresh: bool
    """False where the same run was there already."""
    gates: tuple[Gate, ...] = ()
    """What was asked of it; empty where it was there already."""


def publish_run(ws: Workspace, prepared: Prepared, key: str, made_maps: dict[str, Any], facts: dict[str, Any]) -> Detected:
    """Write `run.json`, the page and what else follows from the maps, and move the whole run to its place in one step."""
    from landshift.models.use.bundle import MODEL, WEIGHTS, TrainingImages

    folder = ws.work / key
    made = prepared.plan
    bundle = require_model_fits(ws, made)
    areas = record_of(MappedAreas, made_maps["areas"], str(folder))
    notes: list[str] | None = made_maps["areas_of_interest"]
    assessment = assessment_of(ws, prepared)
    scores = content_of(bundle.facts.scores) or {}
    gates = (*gates_of_data(ws, prepared, facts["measured"]), *model_gates(
        beyond=facts["beyond"], calibration_error=scores.get("calibration_error"),
        same_images=bundle.facts.inputs == TrainingImages(*prepared.hashes),
        adaptation=facts["adaptation"],
        verdict=None if assessment.guard is None else assessment.guard.verdict,
        rules=ws.project.gates.rules,
    ))  # fmt: skip
    require_all_open(ws, gates)
    warnings = [
        *scores.get("warnings", []),
        *made.skipped,
        *made.unmasked,
        *warnings_of(gates),
        *(notes or ()),
    ]
    if not areas.polygons:
        warnings.append("No change was found.")
    run = RunRecord(
        name=ws.project.name, key=key, before_date=made.before.date, after_date=made.after.date,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        inputs=tuple(
            InputFile(ws.relative(p), e.name, s.date, place_hash(p)) for e in made.epochs for s in e.scenes for p in s.paths
        ),
        grid=MapGrid(
            crs=crs_name(made.grid.crs), rows=made.grid.shape[0], columns=made.grid.shape[1],
            pixel_size_m=made.grid.transform.a, transform=tuple(made.grid.transform)[:6],
        ),
        clouds={"before": content_of(prepared.before.clouds), "after": content_of(prepared.after.clouds)},
        bands=tuple(made.bands), units=made.sensor.units, legend=bundle.legend.classes,
        observed=ObservedShares(prepared.before.observed, prepared.after.observed),
        model=UsedModel(
            name=bundle.name, encoder=bundle.encoder.name, weights=file_hash(ws.model_in_use / WEIGHTS),
            description=file_hash(ws.model_in_use / MODEL), scores=scores or None,
        ),
        threshold=facts["threshold"], margin_px=facts["margin"],
        seconds=SpentSeconds(detect=facts["seconds"], model=facts["model_seconds"]),
        alignment=None if prepared.correction is None else content_of(prepared.correction),
        adaptation=record_of(UsedAdaptation, facts["adaptation"], str(folder)),
        domain_shift=TerritoryShift(block_px=BLOCK, beyond=facts["beyond"]),
        cost=None if facts["cost"] is None else record_of(Cost, facts["cost"], str(folder)), assessment=assessment,
        gates=gates, areas=with_test_scores(areas, scores or None),
        warnings=tuple(warnings), areas_of_interest=None if notes is None else AreasNotes(tuple(notes)),
        config=published_config(ws), versions={**versions(), "python": platform.python_version()},
    )  # fmt: skip
    with replace_when_done(ws.run) as target, step("Publishing"):
        target.mkdir(parents=True)
        for path in sorted(folder.iterdir()):
            if not path.name.startswith(("raw_", ".")) and path.name != MANIFEST:
                # Copies, so that a failure here leaves the work to publish again.
                shutil.copy2(path, target / path.name)
        complete(target, run)
    shutil.rmtree(ws.work, ignore_errors=True)
    return Detected(ws.run, areas.changed_ha, areas.polygons, True, gates)
