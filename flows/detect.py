"""Detect: two dates and a trained model, or a classical method, to the published folder."""

from dataclasses import replace
from pathlib import Path

from landshift.flows.config.project import Project
from landshift.flows.prepare import prepare_images
from landshift.flows.runtime.compute import Cluster, each, on_cluster, results
from landshift.flows.runtime.tasks import as_flow, as_task
from landshift.flows.steps.detection.classical import map_by_statistic
from landshift.flows.steps.detection.raw_map import RawMap, join_shards, raw_map_of
from landshift.flows.steps.detection.settle import Settled, settle
from landshift.flows.steps.detection.shards import ShardResult, detect_shard, shards_of
from landshift.flows.steps.images.epochs import Pair
from landshift.flows.steps.images.gating import ask_before_work, gates_of_data, measure, require_all_open
from landshift.flows.steps.learning.fitting import require_mapper, require_same_treatment
from landshift.flows.steps.project.disk import require_disk
from landshift.flows.steps.project.plan import Plan, plan
from landshift.flows.steps.project.published import raster_tags
from landshift.flows.steps.project.workspace import Workspace, workspace
from landshift.flows.steps.publication.copying import copy_run
from landshift.flows.steps.publication.key import find_finished, run_key
from landshift.flows.steps.publication.known import ask_calibration
from landshift.flows.steps.publication.maps import Maps, areas_in, write_maps
from landshift.flows.steps.publication.run import Detected, publish_run
from landshift.flows.steps.publication.show import show_detected

measure_task = as_task(measure, "measure-images")
write_maps_task = as_task(write_maps, "write-maps")
publish_run_task = as_task(publish_run, "publish-run")
copy_run_task = as_task(copy_run, "copy-run")


@as_flow("detect")
def detect(
    project: Project, data: Path, output: Path | None = None, allow_outside: bool = False, model: Path | None = None
) -> Detected:
    """Map the changes between the project's two epochs."""
    ws = workspace(project, data, output, allow_outside=allow_outside, model=model)
    detected = detect_planned(ws, plan(ws))
    copied = copy_run_task(ws, detected.run) if project.publish is not None else None
    return detected if copied is None else replace(detected, copied=copied.address)


def detect_planned(ws: Workspace, made: Plan) -> Detected:
    """Map the changes of a plan, as tasks of the flow that asks for it.

    Raises:
        InputError: The model, the areas of interest, the disk or the images do not allow it.
    """
    require_mapper(ws, made)
    areas_in(ws, made.grid)
    with ws.alone():
        require_disk(ws, made)
        ask_before_work(ws, made)
        prepared = prepare_images(ws, made)
        require_same_treatment(ws, prepared)
        key = run_key(ws, prepared)
        there = find_finished(ws, key)
        if there is not None:
            return there
        measured = measure_task(ws, prepared)
        require_all_open(ws, (*gates_of_data(ws, prepared, measured), *ask_calibration(ws, prepared)))
        raw = detect_changes(ws, prepared, key)
        maps: Maps = write_maps_task(ws, prepared, key, raw)
        detected: Detected = publish_run_task(ws, prepared, key, measured, raw, maps)
        show_detected(ws, detected, maps.areas)
        return detected


def detect_one(
    project: Project, data: Path, output: Path | None = None, allow_outside: bool = False, model: Path | None = None,
    cluster: Cluster | None = None,
) -> Detected:  # fmt: skip
    """Map the changes of one project, its shards on a cluster where one is named.

    Raises:
        InputError: As `detect` and `compute.on_cluster`.
    """
    run = detect
    if cluster is not None:
        ws = workspace(project, data, output, allow_outside=allow_outside, model=model).absolute()
        ws.require_writable()
        run = on_cluster(detect, cluster, [ws.output, *ws.models_needed], [project.detect.device])
    detected: Detected = run(project, data, output, allow_outside, model=model)
    return detected


settle_task = as_task(settle, "settle")
detect_shard_task = as_task(detect_shard, "detect-shard")
join_shards_task = as_task(join_shards, "join-shards")
map_by_statistic_task = as_task(map_by_statistic, "map-by-statistic")


def detect_changes(ws: Workspace, prepared: Pair, key: str) -> RawMap:
    """Map all shards, here or on the flow's cluster, and join them."""
    there = raw_map_of(ws, key)
    if there is not None:
        return there
    method = ws.project.detect.method
    if method != "model":
        by_statistic: RawMap = map_by_statistic_task(ws, prepared, key, method)
        return by_statistic
    tags = raster_tags(ws, prepared.plan, key)
    # A worker may have another working directory.
    ws, images = ws.absolute(), prepared.absolute()
    settled: Settled
    (settled,) = results(each(settle_task, [(ws, images, key, tags)], "Settling margin, threshold and adaptation"))
    shards = shards_of(ws, prepared.plan.grid)
    calls = [(ws, images, key, settled, shard) for shard in shards]
    mapped: list[ShardResult] = list(results(each(detect_shard_task, calls, f"Detecting changes in {len(shards)} shards")))
    raw: RawMap = join_shards_task(ws, prepared.plan.grid, key, settled, shards, mapped)
    return raw
