"""Detect: a trained model and two dates to the folder that leaves the house."""

import json
import platform
import shutil
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from prefect import flow
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from flows.adapting import adaptation_in_use, adapted
from flows.assess import assessment_of
from flows.config import Project
from flows.fitting import require_model_fits
from flows.overlap import BLOCK
from flows.prepare import Plan, Prepared, artifact_name, as_task, plan, prepare, require_disk
from flows.progress import step
from flows.workspace import Workspace, versions, workspace
from pipeline.areas import mapped_areas, with_test_scores
from pipeline.change import Decision, decide, drop_small, min_patch_pixels
from pipeline.grid import coarser, crs_name, pixel_area_ha
from pipeline.legend import NOT_OBSERVED, Legend
from pipeline.manifest import MANIFEST, file_hash, replace_when_done, value_hash, write_json, write_text
from pipeline.pictures import change_picture, colour_pair, data_uri
from pipeline.publish import CONFIDENCE_NODATA, FILES, confidence_codes, confidence_of, write_domain_shift, write_rasters
from pipeline.raster import Layout, open_writer, read_raster, write_raster
from pipeline.report import run_page
from pipeline.tiles import Tile, tiles
from pipeline.vector import not_observed_polygons, polygons, write_changes

_POORLY_CALIBRATED = 0.1
"""Calibration error on the test blocks, 0..1, from which a run warns."""


_MUCH_BEYOND = 0.2
"""Share of the territory beyond the edge of the training regions, 0..1, from which a run warns; 5 % are so by definition."""


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


def detect_changes(ws: Workspace, prepared: Prepared, key: str) -> dict[str, Any]:
    """Stream both dates through the model, and write the raw map tile by tile.

    Returns:
        `seconds` of the whole step, `model_seconds` that the model alone took, `cost`, `threshold`, `margin`, and what was
        done about a territory that the model does not know: `adaptation`, its notes, and `beyond`, the share of the
        territory past the edge of what the training regions hold.
    """
    folder = ws.work / key
    manifest = ws.manifest(folder)
    if manifest.is_current("raw", key):
        return dict(manifest.facts("raw"))
    from models.bundle import load
    from models.domain_shift import Shift
    from models.energy import metered
    from models.inference import Temperatures, calibrate_margin, device_of, stream, write_behind

    started = time.perf_counter()
    config = ws.project.detect
    bundle, network = load(ws.model_in_use)
    chosen = adaptation_in_use(ws, prepared)
    ready = adapted(ws, prepared, bundle, network, chosen.method)
    network = ready.network.to(device_of(config.device))
    legend = bundle.legend
    grid = plan(ws).grid
    shape = (grid.shape[0], grid.shape[1])
    threshold = config.threshold or chosen.threshold or bundle.threshold
    temperatures = bundle.temperatures if chosen.temperatures is None else Temperatures(**chosen.temperatures)
    known = bundle.facts.get("domain_shift")
    shift = None if known is None else Shift.from_dict(known)
    shifts = np.full([-(-n // BLOCK) for n in shape], np.nan, dtype=np.float32)
    if isinstance(config.margin, int):
        margin = config.margin
    else:
        margin = calibrate_margin(network, prepared.images, shape, threshold=threshold, temperatures=temperatures)[0]
    codes = Layout(grid, 1, "uint8", NOT_OBSERVED)
    paths = {name: folder / f"raw_{name}.tif" for name in ("change", "before", "after", "confidence")}
    used = list(paths) if not legend.binary else ["change", "confidence"]
    work = tiles(shape, config.core, margin)
    mixed = ws.project.training.precision in ("auto", "bf16")
    with metered("detection", ws.project.energy.country) as meter, ExitStack() as stack, step("Detecting changes") as advance:
        writers = {
            name: stack.enter_context(
                open_writer(paths[name], replace(codes, nodata=CONFIDENCE_NODATA) if name == "confidence" else codes)
            )
            for name in used
        }

        def write(tile: Tile, said: Any) -> None:  # noqa: ANN401 (Probabilities)
            decision = decide(said.change, said.before, said.after, legend, threshold)
            layers = {"change": decision.change, "before": decision.before, "after": decision.after,
                      "confidence": confidence_codes(decision.confidence)}  # fmt: skip
            for name in used:
                writers[name](tile.core, np.asarray(layers[name])[np.newaxis])
            if shift is not None and said.embedding is not None:
                y, x = tile.core.y // BLOCK, tile.core.x // BLOCK
                ratio = shift.ratio(np.moveaxis(said.embedding, 0, -1))
                shifts[y : y + ratio.shape[0], x : x + ratio.shape[1]] = ratio

        seconds = [0.0]
        results = stream(
            network, prepared.images, work, temperatures, mixed=mixed, mappings=ready.mappings,
            embed_block=None if shift is None else BLOCK, model_seconds=seconds,
        )  # fmt: skip
        for number, _ in enumerate(write_behind(results, write), start=1):
            advance(number / len(work))
    files = [paths[n] for n in used]
    if shift is not None:
        files.append(write_raster(folder / "raw_domain_shift.tif", shifts, coarser(grid, BLOCK), nodata=float("nan")))
    seen = np.isfinite(shifts)
    facts = {
        "seconds": time.perf_counter() - started, "model_seconds": seconds[0], "margin": float(margin), "threshold": threshold,
        "cost": meter.cost.as_dict() if meter.cost else None,
        "adaptation": {**chosen.as_dict(), "notes": list(ready.notes)},
        "beyond": float((shifts[seen] > 1).mean()) if seen.any() else None,
    }  # fmt: skip
    manifest.record("raw", key, files, facts)
    return facts


def write_maps(ws: Workspace, key: str) -> dict[str, Any]:
    """Apply the minimum mapping unit, and write the rasters and polygons as they leave the house.

    Returns:
        The areas, as in `run.json`.
    """
    folder = ws.work / key
    manifest = ws.manifest(folder)
    if manifest.is_current("maps", key):
        return dict(manifest.facts("maps"))
    from models.bundle import describe

    legend, made = describe(ws.model_in_use).legend, plan(ws)
    with step("Writing maps and polygons") as advance:
        decision = _dropped(folder, legend, ws.project.detect.min_area_ha, pixel_area_ha(made.grid))
        advance(0.2)
        files = write_rasters(folder, decision, legend, made.grid, _tags(ws, made, key))
        shifts = folder / "raw_domain_shift.tif"
        if shifts.is_file():
            files += write_domain_shift(folder, *read_raster(shifts), _tags(ws, made, key))
        advance(0.5)
        dates = (made.before.date, made.after.date)
        confidence = decision.confidence
        frame = polygons(decision.change, confidence, made.grid, legend, *dates, prefix=ws.project.name)
        unseen = not_observed_polygons(decision.change, made.grid, *dates)
        areas = mapped_areas(decision.change, frame, unseen, legend, made.grid)
        frame["area_ha"], unseen["area_ha"] = frame["area_ha"].round(4), unseen["area_ha"].round(4)
        files.append(write_changes(folder / "changes.gpkg", frame, legend, not_observed=unseen))
        advance(1.0)
    manifest.record("maps", key, files, areas)
    return areas


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


def publish_run(ws: Workspace, prepared: Prepared, key: str, areas: dict[str, Any], facts: dict[str, Any]) -> Detected:
    """Write `run.json` and the page, and move the whole run to its place in one step."""
    from models.bundle import MODEL, WEIGHTS

    folder = ws.work / key
    bundle = require_model_fits(ws, plan(ws))
    made = plan(ws)
    run = {
        "name": ws.project.name, "key": key, "before_date": str(made.before.date), "after_date": str(made.after.date),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "inputs": [
            {"path": ws.relative(p), "epoch": e.name, "date": str(s.date), "hash": file_hash(p)}
            for e in made.epochs for s in e.scenes for p in s.paths
        ],
        "grid": {
            "crs": crs_name(made.grid.crs),
            "rows": made.grid.shape[0], "columns": made.grid.shape[1], "pixel_size_m": made.grid.transform.a,
            "transform": list(made.grid.transform)[:6],
        },
        "bands": list(made.bands), "units": made.sensor.units,
        "observed": {"before": prepared.observed[0], "after": prepared.observed[1]},
        "model": {
            "name": bundle.name, "encoder": bundle.encoder["name"], "weights": file_hash(ws.model_in_use / WEIGHTS),
            "description": file_hash(ws.model_in_use / MODEL), "scores": bundle.facts.get("scores"),
        },
        "threshold": facts["threshold"], "margin_px": facts["margin"],
        "seconds": {"detect": facts["seconds"], "model": facts["model_seconds"]},
        "adaptation": facts["adaptation"], "domain_shift": {"block_px": BLOCK, "beyond": facts["beyond"]},
        "cost": facts["cost"], "assessment": assessment_of(ws, prepared),
        "areas": with_test_scores(areas, bundle.facts.get("scores")), "warnings": _warnings(bundle, areas, prepared, facts),
        "config": published_config(ws), "versions": {**versions(), "python": platform.python_version()},
        "files": {n: t for n, t in FILES.items() if (folder / n).exists() or n in ("run.json", "report.html")},
    }  # fmt: skip
    before, after = colour_pair(*prepared.images)
    pictures = {
        "before": data_uri(before), "after": data_uri(after),
        "change": data_uri(change_picture(folder / "change.tif", bundle.legend.changes, after)),
    }  # fmt: skip
    page = run_page(run, pictures)
    with replace_when_done(ws.run) as target:
        target.mkdir(parents=True)
        for path in sorted(folder.iterdir()):
            if not path.name.startswith(("raw_", ".")) and path.name != MANIFEST:
                # Copies, so that a failure here leaves the work to publish again.
                shutil.copy2(path, target / path.name)
        write_json(target / "run.json", run)
        write_text(target / "report.html", page)
        ws.manifest(target).record("run", key, sorted(p for p in target.iterdir() if p.name != MANIFEST))
    shutil.rmtree(ws.work, ignore_errors=True)
    return Detected(ws.run, areas["changed_ha"], areas["polygons"], True)


def published_config(ws: Workspace) -> dict[str, Any]:
    """Return the configuration without what belongs to one machine: paths become relative to the data folder."""
    content = ws.project.model_dump(mode="json", exclude={"output"})
    places: list[tuple[Any, str]] = [(content["scenes"], "folder"), (content, "trained_model")]
    labels = content.get("labels") or {}
    places += [(labels.get("polygons"), "path"), (content["model"].get("file"), "path")]
    places += [(labels.get("rasters"), name) for name in ("before", "after", "change")]
    for section, key in places:
        if section and section.get(key):
            section[key] = ws.relative(ws.data / section[key])
    return content


def _warnings(bundle: Any, areas: dict[str, Any], prepared: Prepared, facts: dict[str, Any]) -> list[str]:  # noqa: ANN401
    scores = bundle.facts.get("scores") or {}
    found = list(scores.get("warnings", []))
    error = scores.get("calibration_error")
    if error is not None and error > _POORLY_CALIBRATED:
        found.append(
            f"On the test blocks, probabilities were off by {error:.2f} on average: read the confidence as a ranking, not as a "
            f"share of right pixels."
        )
    if bundle.facts.get("inputs", {}) != {"before": prepared.hashes[0], "after": prepared.hashes[1]}:
        found.append("The model was trained on other images than these; its scores need not hold here.")
    adaptation = facts["adaptation"]
    if adaptation["method"] != "none" and not adaptation["verified"]:
        found.append(
            f"The images were adapted ({adaptation['method']}), and no label of this territory confirmed that it helps: "
            f"unverified."
        )
    if facts["beyond"] is not None and facts["beyond"] > _MUCH_BEYOND:
        found.append(
            f"{facts['beyond']:.0%} of the territory looks unlike 95 % of the blocks that the model was trained on (see "
            f"domain_shift.tif): its scores need not hold there."
        )
    if not areas["polygons"]:
        found.append("No change was found.")
    return found


def run_key(ws: Workspace, prepared: Prepared) -> str:
    """Return the key of a detect run: what its inputs, its model and its settings come to."""
    from models.bundle import MODEL

    parts = [prepared.hashes, file_hash(ws.model_in_use / MODEL), published_config(ws), versions()]
    parts += [adaptation_in_use(ws, prepared).as_dict(), assessment_of(ws, prepared)]
    return value_hash(parts)[7:23]


def finished_run(ws: Workspace, key: str) -> Detected | None:
    """Return the run where it is there already, whole and unharmed, from the same inputs."""
    if not ws.manifest(ws.run).is_current("run", key):
        return None
    areas = json.loads((ws.run / "run.json").read_text(encoding="utf-8"))["areas"]
    return Detected(ws.run, areas["changed_ha"], areas["polygons"], False)


detect_changes_task = as_task(detect_changes, "detect-changes")
write_maps_task = as_task(write_maps, "write-maps")
publish_run_task = as_task(publish_run, "publish-run")


@flow(name="detect", persist_result=False)
def detect(
    project: Project, data: Path, output: Path | None = None, allow_outside: bool = False, model: Path | None = None
) -> Detected:
    """Map the changes between the project's two epochs."""
    ws = workspace(project, data, output, allow_outside=allow_outside, model=model)
    require_model_fits(ws, plan(ws))
    with ws.alone():
        require_disk(ws, plan(ws))
        prepared = prepare(project, data, output, allow_outside)
        key = run_key(ws, prepared)
        there = finished_run(ws, key)
        if there is not None:
            return there
        facts = detect_changes_task(ws, prepared, key)
        areas = write_maps_task(ws, key)
        detected: Detected = publish_run_task(ws, prepared, key, areas, facts)
        _show(ws, detected, areas)
        return detected


def _show(ws: Workspace, detected: Detected, areas: dict[str, Any]) -> None:
    name = artifact_name(ws.project)
    create_table_artifact(areas["changes"], key=f"{name}-areas", description="Mapped change in hectares (pixel count)")
    create_link_artifact(detected.run.resolve().joinpath("report.html").as_uri(), key=f"{name}-report", link_text="Report")
    prepared = (ws.epochs / "before.tif", ws.epochs / "after.tif")
    after = colour_pair(*prepared, side=360)[1]
    picture = data_uri(change_picture(detected.run / "change.tif", _legend_of_run(ws).changes, after, side=360))
    create_markdown_artifact(f"![Mapped change]({picture})", key=f"{name}-preview", description="Preview of the change map")


def _legend_of_run(ws: Workspace) -> Legend:
    from models.bundle import describe

    return describe(ws.model_in_use).legend
