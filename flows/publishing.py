"""Publish: from the raw maps of a detect run to the folder that leaves the house."""

import platform
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.assess import assessment_of
from flows.fitting import require_model_fits
from flows.gating import gates_of_data, require_all_open
from flows.overlap import BLOCK
from flows.prepare import Plan, Prepared, plan
from flows.progress import step
from flows.workspace import Workspace, versions
from pipeline.areas import mapped_areas, with_test_scores
from pipeline.areas_of_interest import AreasOfInterest, area_summary, names_of
from pipeline.areas_reading import read_areas_of_interest
from pipeline.change import Decision, drop_small, min_patch_pixels
from pipeline.columns import CHANGES_LAYER
from pipeline.display import stretches_of, write_image
from pipeline.errors import InputError
from pipeline.gates import Gate, warnings_of
from pipeline.grid import Grid, crs_name, pixel_area_ha
from pipeline.href import place_hash
from pipeline.identity import keep_ids
from pipeline.legend import Legend
from pipeline.manifest import MANIFEST, file_hash, replace_when_done, write_text
from pipeline.model_gates import model_gates
from pipeline.package import complete
from pipeline.polygons import map_layers
from pipeline.publish import confidence_of, write_domain_shift, write_last_observed, write_rasters
from pipeline.raster import read_raster
from pipeline.sensors import REFLECTANCE
from pipeline.sld import vector_sld
from pipeline.styles import vector_qml
from pipeline.vector import read_layer
from pipeline.vector_write import write_changes, write_copies

if TYPE_CHECKING:
    import geopandas as gpd


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


def write_maps(ws: Workspace, prepared: Prepared, key: str) -> dict[str, Any]:
    """Apply the minimum mapping unit, and write the rasters and polygons as they leave the house.

    Returns:
        `areas`, as in `run.json`, and `areas_of_interest`: what is to be known about them, None where there are none.
    """
    folder = ws.work / key
    manifest = ws.manifest(folder)
    if manifest.is_current("maps", key):
        return dict(manifest.facts("maps"))
    from models.bundle import describe

    legend, made = describe(ws.model_in_use).legend, plan(ws)
    areas_of_interest = areas_in(ws, made.grid)
    tags = _tags(ws, made, key)
    with step("Writing maps and polygons") as advance:
        decision = _dropped(folder, legend, ws.project.detect.min_area_ha, pixel_area_ha(made.grid))
        advance(0.2)
        files = write_rasters(folder, decision, legend, made.grid, tags)
        shifts = folder / "raw_domain_shift.tif"
        if shifts.is_file():
            files += write_domain_shift(folder, *read_raster(shifts), tags)
        files += write_last_observed(folder, prepared.observations, made.grid, tags)
        advance(0.5)
        files += _write_images(folder, prepared, made, tags)
        advance(0.6)
        dates = (made.before.date, made.after.date)
        layers = map_layers(decision.change, decision.confidence, made.grid, legend, *dates, prefix=ws.project.name)
        changes, unseen = layers.changes, layers.not_observed
        areas = mapped_areas(decision.change, changes, unseen, legend, made.grid)
        changes["area_ha"], unseen["area_ha"] = changes["area_ha"].round(4), unseen["area_ha"].round(4)
        changes["change_id"] = keep_ids(changes, _known_changes(ws))
        summary = None
        if areas_of_interest is not None:
            changes["areas_of_interest"] = names_of(areas_of_interest, changes)
            summary = area_summary(areas_of_interest, decision.change, changes, made.grid, legend, dates)
        advance(0.9)
        files.append(write_changes(folder / "changes.gpkg", changes, legend, not_observed=unseen, areas_of_interest=summary))
        listed = [entry for entry in legend.changes if entry.code in set(changes["change_code"])]
        files += [
            write_text(folder / "changes.qml", vector_qml(listed)),
            write_text(folder / "changes.sld", vector_sld(listed, title="Changes")),
        ]
        files += write_copies(folder, changes, ws.project.detect.copies)
        advance(1.0)
    facts = {"areas": areas, "areas_of_interest": None if areas_of_interest is None else list(areas_of_interest.notes)}
    manifest.record("maps", key, files, facts)
    return facts


def _known_changes(ws: Workspace) -> "gpd.GeoDataFrame | None":
    """Return the changes of the run that is there, whose ids the same changes keep."""
    path = ws.run / "changes.gpkg"
    try:
        return read_layer(path, CHANGES_LAYER) if path.is_file() else None
    except InputError:
        # A damaged run is about to be replaced; that it cannot be read must not stop that.
        return None


def areas_in(ws: Workspace, grid: Grid) -> AreasOfInterest | None:
    """Read the project's areas of interest.

    Raises:
        InputError: They cannot be read, have no names, or lie elsewhere.
    """
    wanted = ws.project.areas_of_interest
    if wanted is None:
        return None
    path = ws.input(wanted.path, "areas_of_interest: path")
    return read_areas_of_interest(path, grid, wanted.layer, wanted.name_column)


def _write_images(folder: Path, prepared: Prepared, made: Plan, tags: dict[str, str]) -> list[Path]:
    stretches = stretches_of(*prepared.images, comparable=made.sensor.units == REFLECTANCE)
    return [
        write_image(
            folder / f"image_{epoch}.tif", image, stretch, made.grid, tags, [made.bands[band - 1] for band in stretch.bands]
        )
        for epoch, image, stretch in zip(("before", "after"), prepared.images, stretches, strict=True)
    ]


def _tags(ws: Workspace, made: Plan, key: str) -> dict[str, str]:
    """Say in each raster where it comes from, for the day when it travels alone."""
    return {
        "AREA_OR_POINT": "Area",
        "BEFORE_DATE": str(made.before.date),
        "AFTER_DATE": str(made.after.date),
        "PROJECT": ws.project.name,
        "RUN": key,
        "TIFFTAG_SOFTWARE": f"landshift {versions()['landshift']}",
    }


def _dropped(folder: Path, legend: Legend, min_area_ha: float, pixel_ha: float) -> Decision:
    change = read_raster(folder / "raw_change.tif")[0]
    codes = read_raster(folder / "raw_confidence.tif")[0]
    confidence = confidence_of(codes)
    dates = [None, None] if legend.binary else [read_raster(folder / f"raw_{n}.tif")[0] for n in ("before", "after")]
    return drop_small(Decision(change, dates[0], dates[1], confidence), min_patch_pixels(min_area_ha, pixel_ha))


def publish_run(ws: Workspace, prepared: Prepared, key: str, made_maps: dict[str, Any], facts: dict[str, Any]) -> Detected:
    """Write `run.json`, the page and what else follows from the maps, and move the whole run to its place in one step."""
    from models.bundle import MODEL, WEIGHTS

    folder = ws.work / key
    made = plan(ws)
    bundle = require_model_fits(ws, made)
    areas = made_maps["areas"]
    assessment = assessment_of(ws, prepared)
    scores = bundle.facts.get("scores") or {}
    gates = (*gates_of_data(ws, prepared, facts["measured"]), *model_gates(
        beyond=facts["beyond"], calibration_error=scores.get("calibration_error"),
        same_images=bundle.facts.get("inputs", {}) == {"before": prepared.hashes[0], "after": prepared.hashes[1]},
        adaptation=facts["adaptation"],
        verdict=assessment["guard"]["verdict"] if assessment and assessment.get("guard") else None,
        rules=ws.project.gates.rules,
    ))  # fmt: skip
    require_all_open(ws, gates)
    warnings = [
        *scores.get("warnings", []),
        *made.skipped,
        *made.unmasked,
        *warnings_of(gates),
        *(made_maps["areas_of_interest"] or []),
    ]
    if not areas["polygons"]:
        warnings.append("No change was found.")
    run = {
        "name": ws.project.name, "key": key, "before_date": str(made.before.date), "after_date": str(made.after.date),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "inputs": [
            {"path": ws.relative(p), "epoch": e.name, "date": str(s.date), "hash": place_hash(p)}
            for e in made.epochs for s in e.scenes for p in s.paths
        ],
        "grid": {
            "crs": crs_name(made.grid.crs),
            "rows": made.grid.shape[0], "columns": made.grid.shape[1], "pixel_size_m": made.grid.transform.a,
            "transform": list(made.grid.transform)[:6],
        },
        "clouds": {epoch.name: ws.manifest(ws.epochs).facts(epoch.name).get("clouds", []) for epoch in made.epochs},
        "bands": list(made.bands), "units": made.sensor.units,
        "legend": [{"code": c.code, "name": c.name, "colour": c.colour} for c in bundle.legend.classes],
        "observed": {"before": prepared.observed[0], "after": prepared.observed[1]},
        "model": {
            "name": bundle.name, "encoder": bundle.encoder["name"], "weights": file_hash(ws.model_in_use / WEIGHTS),
            "description": file_hash(ws.model_in_use / MODEL), "scores": bundle.facts.get("scores"),
        },
        "threshold": facts["threshold"], "margin_px": facts["margin"],
        "seconds": {"detect": facts["seconds"], "model": facts["model_seconds"]},
        "alignment": prepared.correction, "adaptation": facts["adaptation"],
        "domain_shift": {"block_px": BLOCK, "beyond": facts["beyond"]},
        "cost": facts["cost"], "assessment": assessment, "gates": [gate.as_dict() for gate in gates],
        "areas": with_test_scores(areas, bundle.facts.get("scores")), "warnings": warnings,
        "areas_of_interest": {"notes": made_maps["areas_of_interest"]} if made_maps["areas_of_interest"] is not None else None,
        "config": published_config(ws), "versions": {**versions(), "python": platform.python_version()},
    }  # fmt: skip
    with replace_when_done(ws.run) as target, step("Publishing"):
        target.mkdir(parents=True)
        for path in sorted(folder.iterdir()):
            if not path.name.startswith(("raw_", ".")) and path.name != MANIFEST:
                # Copies, so that a failure here leaves the work to publish again.
                shutil.copy2(path, target / path.name)
        complete(target, run)
    shutil.rmtree(ws.work, ignore_errors=True)
    return Detected(ws.run, areas["changed_ha"], areas["polygons"], True, gates)


def published_config(ws: Workspace) -> dict[str, Any]:
    """Return the configuration without what belongs to one machine: paths become relative to the data folder.

    Who is told of changes, and where, is nobody's business but the sender's; and when a run is made, in how many shards, or how
    its model came into use, makes it no other one.
    """
    content = ws.project.model_dump(
        mode="json", exclude={"output": True, "alerts": True, "monitor": True, "release": True, "detect": {"shards"}}
    )
    places: list[tuple[Any, str]] = [(content["scenes"], "folder"), (content, "trained_model")]
    labels = content.get("labels") or {}
    places += [(labels.get("polygons"), "path"), (content["model"].get("file"), "path")]
    places += [(content.get("areas_of_interest"), "path")]
    places += [(labels.get("rasters"), name) for name in ("before", "after", "change")]
    for section, key in places:
        if section and section.get(key):
            section[key] = ws.relative(ws.data / section[key])
    return content


def areas_hash(ws: Workspace) -> str | None:
    """Return the hash of the file with the areas of interest, None where there is none."""
    wanted = ws.project.areas_of_interest
    return None if wanted is None else file_hash(ws.input(wanted.path, "areas_of_interest: path"))
