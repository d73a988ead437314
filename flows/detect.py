"""Detect: a trained model and two dates to the folder that leaves the house."""

import json
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from prefect import flow
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from flows.adapting import adaptation_in_use, adapted
from flows.assess import assessment_of
from flows.config import Project
from flows.fitting import require_model_fits
from flows.gating import gates_of_data, measure, require_all_open, show_gates
from flows.limits import model_slot
from flows.overlap import BLOCK
from flows.prepare import Prepared, artifact_name, as_task, plan, prepare, require_disk
from flows.progress import step
from flows.publishing import Detected, areas_hash, areas_in, publish_run, published_config, write_maps
from flows.workspace import Workspace, versions, workspace
from pipeline.change import decide
from pipeline.gates import Gate
from pipeline.grid import coarser
from pipeline.legend import NOT_OBSERVED, Legend
from pipeline.manifest import file_hash, value_hash
from pipeline.model_gates import calibration_gate
from pipeline.pictures import change_picture, data_uri, display_picture
from pipeline.publish import CONFIDENCE_NODATA, confidence_codes
from pipeline.raster_write import Layout, open_writer, write_raster
from pipeline.tiles import Tile, tiles


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


def run_key(ws: Workspace, prepared: Prepared) -> str:
    """Return the key of a detect run: what its inputs, its model and its settings come to."""
    from models.bundle import MODEL

    parts: list[Any] = [prepared.hashes, file_hash(ws.model_in_use / MODEL), published_config(ws), versions()]
    parts += [adaptation_in_use(ws, prepared).as_dict(), assessment_of(ws, prepared), areas_hash(ws)]
    return value_hash(parts)[7:23]


def finished_run(ws: Workspace, key: str) -> Detected | None:
    """Return the run where it is there already, whole and unharmed, from the same inputs."""
    if not ws.manifest(ws.run).is_current("run", key):
        return None
    areas = json.loads((ws.run / "run.json").read_text(encoding="utf-8"))["areas"]
    return Detected(ws.run, areas["changed_ha"], areas["polygons"], False)


def _calibration(ws: Workspace) -> Gate:
    from models.bundle import describe

    scores = describe(ws.model_in_use).facts.get("scores") or {}
    return calibration_gate(scores.get("calibration_error"), ws.project.gates.rules)


measure_task = as_task(measure, "measure-images")
detect_changes_task = as_task(detect_changes, "detect-changes")
write_maps_task = as_task(write_maps, "write-maps")
publish_run_task = as_task(publish_run, "publish-run")


@flow(name="detect", persist_result=False)
def detect(
    project: Project, data: Path, output: Path | None = None, allow_outside: bool = False, model: Path | None = None
) -> Detected:
    """Map the changes between the project's two epochs."""
    ws = workspace(project, data, output, allow_outside=allow_outside, model=model)
    made = plan(ws)
    require_model_fits(ws, made)
    areas_in(ws, made.grid)
    with ws.alone():
        require_disk(ws, made)
        prepared = prepare(project, data, output, allow_outside)
        key = run_key(ws, prepared)
        there = finished_run(ws, key)
        if there is not None:
            return there
        measured = measure_task(ws, prepared)
        require_all_open(ws, (*gates_of_data(ws, prepared, measured), _calibration(ws)))
        with model_slot():
            facts = detect_changes_task(ws, prepared, key)
        made_maps = write_maps_task(ws, prepared, key)
        detected: Detected = publish_run_task(ws, prepared, key, made_maps, {**facts, "measured": measured})
        _show(ws, detected, made_maps["areas"])
        return detected


def _show(ws: Workspace, detected: Detected, areas: dict[str, Any]) -> None:
    name = artifact_name(ws.project)
    show_gates(ws, detected.gates)
    create_table_artifact(areas["changes"], key=f"{name}-areas", description="Mapped change in hectares (pixel count, biased)")
    create_link_artifact(detected.run.resolve().joinpath("report.html").as_uri(), key=f"{name}-report", link_text="Report")
    after = display_picture(detected.run / "image_after.tif", side=360)
    picture = data_uri(change_picture(detected.run / "change.tif", _legend_of_run(ws).changes, after, side=360))
    create_markdown_artifact(f"![Mapped change]({picture})", key=f"{name}-preview", description="Preview of the change map")


def _legend_of_run(ws: Workspace) -> Legend:
    from models.bundle import describe

    return describe(ws.model_in_use).legend
