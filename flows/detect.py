"""Detect: a trained model and two dates to the folder that leaves the house."""

import json
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from flows.adapting import adaptation_in_use
from flows.assess import assessment_of
from flows.compute import Cluster, on_cluster
from flows.config import Project
from flows.fitting import require_model_fits
from flows.gating import gates_of_data, measure, require_all_open, show_gates
from flows.prepare import Prepared, artifact_name, as_task, plan, prepare, require_disk
from flows.publishing import Detected, areas_hash, areas_in, publish_run, published_config, write_maps
from flows.shards import detect_changes
from flows.workspace import Workspace, versions, workspace
from pipeline.gates import Gate
from pipeline.legend import Legend
from pipeline.manifest import file_hash, value_hash
from pipeline.model_gates import calibration_gate
from pipeline.pictures import change_picture, data_uri, display_picture


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
        facts = detect_changes(ws, prepared, key)
        made_maps = write_maps_task(ws, prepared, key)
        detected: Detected = publish_run_task(ws, prepared, key, made_maps, {**facts, "measured": measured})
        _show(ws, detected, made_maps["areas"])
        return detected


def detect_one(
    project: Project, data: Path, output: Path | None = None, allow_outside: bool = False, model: Path | None = None,
    cluster: Cluster | None = None,
) -> Detected:  # fmt: skip
    """Map the changes of one project, its shards on a cluster where one is named.

    Raises:
        InputError: As `detect` and `flows.compute.on_cluster` say.
    """
    run = detect
    if cluster is not None:
        ws = workspace(project, data, output, allow_outside=allow_outside, model=model).absolute()
        ws.require_writable()
        run = on_cluster(detect, cluster, [ws.output, ws.model_in_use], [project.detect.device])
    detected: Detected = run(project, data, output, allow_outside, model)
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
