"""Shards: a region divided along its tile rows, so that many processes can map it; joined, it is as if one had."""

import os
import shutil
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from landshift.flows.runtime.limits import model_slot
from landshift.flows.runtime.progress import step
from landshift.flows.runtime.versions import versions
from landshift.flows.steps.assessment.adapting import adapt_model, adaptation_in_use
from landshift.flows.steps.images.epochs import Prepared
from landshift.flows.steps.learning.blocks import BLOCK
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.change.decision import decide
from landshift.pipeline.epochs.radiometry import BandMapping
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid
from landshift.pipeline.legend import NOT_OBSERVED, Legend
from landshift.pipeline.manifest import file_hash, value_hash
from landshift.pipeline.raster.read import read_raster
from landshift.pipeline.raster.write import Layout, join_rows, open_writer, write_raster
from landshift.pipeline.records import content_of, record_of
from landshift.pipeline.run.rasters import CONFIDENCE_NODATA, confidence_codes
from landshift.pipeline.tiles import Tile, Window, row_groups, tiles

SETTLED, SHARDS = "raw_model", "raw_shards"
"""In the folder of a run that grows; their names keep them out of what is published."""

_SHIFT = "domain_shift"


@dataclass(frozen=True)
class Shard:
    """Rows of tiles that are mapped in one go, by one process."""

    number: int
    """From 1, from north to south."""
    of: int
    """How many there are."""
    first: int
    """First tile row."""
    last: int
    """The tile row after the last one."""

    @property
    def name(self) -> str:
        """Of its folder: the same rows are the same work, however many shards there are."""
        return f"rows-{self.first:05d}-{self.last:05d}"


def shards_of(ws: Workspace, grid: Grid) -> list[Shard]:
    """Divide a region as the config says; no shard is less than a row of tiles.

    Args:
        ws: The project.
        grid: Of the region.
    """
    config = ws.project.detect
    groups = row_groups(-(-grid.shape[0] // config.core), config.shards)
    return [Shard(i, len(groups), group.start, group.stop) for i, group in enumerate(groups, start=1)]


def settle(ws: Workspace, prepared: Prepared, key: str) -> dict[str, Any]:
    """Decide, once for all shards, what must not differ between them, and keep the network that they use.

    Returns:
        `margin`, `adaptation` with its notes, `mappings` of both dates, the `model` that was kept, by its hash, `versions`,
        and `seconds`.
    """
    folder = ws.work / key
    manifest = ws.manifest(folder)
    if manifest.is_current("settled", key):
        return manifest.facts("settled")
    from landshift.models.use.bundle import CARD, MODEL, WEIGHTS, load, save
    from landshift.models.use.inference import calibrate_margin, device_of

    started = time.perf_counter()
    config = ws.project.detect
    bundle, network = load(ws.model_in_use)
    chosen = adaptation_in_use(ws, prepared)
    ready = adapt_model(ws, prepared, bundle, network, chosen.method)
    used = replace(
        bundle, threshold=config.threshold or chosen.threshold or bundle.threshold,
        temperatures=bundle.temperatures if chosen.temperatures is None else chosen.temperatures,
    )  # fmt: skip
    if isinstance(config.margin, int):
        margin = config.margin
    else:
        network = ready.network.to(device_of(config.device))
        height, width = prepared.plan.grid.shape
        margin = calibrate_margin(
            network, prepared.images, (height, width), threshold=used.threshold, temperatures=used.temperatures
        )[0]
    save(folder / SETTLED, used, ready.network.cpu(), "The model as this run uses it; it goes when the run is done.\n")
    facts = {
        "margin": margin, "adaptation": {**content_of(chosen), "notes": list(ready.notes)},
        "mappings": [None if mapping is None else content_of(mapping) for mapping in ready.mappings],
        "model": file_hash(folder / SETTLED / MODEL), "versions": versions(), "seconds": time.perf_counter() - started,
    }  # fmt: skip
    manifest.record("settled", key, [folder / SETTLED / name for name in (MODEL, WEIGHTS, CARD)], facts)
    return facts


def detect_shard(ws: Workspace, prepared: Prepared, key: str, settled: dict[str, Any], shard: Shard) -> dict[str, Any]:
    """Stream both dates of a shard through the model, and write its strips of the raw map, unless that is done already.

    Returns:
        `seconds` of the whole step, `model_seconds` that the model alone took, `cost`, and the `process` that did it.

    Raises:
        InputError: This process does not see the folder of the run, or has other versions than the one that began it.
    """
    _require_shared(ws.work / key, settled)
    folder = ws.work / key / SHARDS / shard.name
    folder.mkdir(parents=True, exist_ok=True)
    # A scheduler that lost sight of a worker gives its shard to another one, while the first may still be at it.
    with FileLock(folder / ".lock"):
        manifest = ws.manifest(folder)
        content = value_hash([key, settled, shard.first, shard.last])
        if not manifest.is_current("shard", content):
            with model_slot():
                files, facts = _map_rows(ws, prepared, settled, shard, folder)
            manifest.record("shard", content, files, facts)
        return manifest.facts("shard")


def _require_shared(folder: Path, settled: dict[str, Any]) -> None:
    from landshift.models.use.bundle import MODEL

    if not (folder / SETTLED / MODEL).is_file():
        raise InputError(
            f"{folder} is not the folder that the run began in: {SETTLED} is missing. Workers need the folder of outputs under "
            f"the same path, on storage that all share (NFS, for example)."
        )
    ours = versions()
    other = [f"{name} {ours.get(name)} instead of {v}" for name, v in settled["versions"].items() if ours.get(name) != v]
    if other:
        raise InputError(f"This process has {', '.join(other)}. Install the same versions for every worker.")
    if file_hash(folder / SETTLED / MODEL) != settled["model"]:
        raise OSError(f"{folder / SETTLED} is not the model that was settled on; is the shared storage behind?")


def _map_rows(
    ws: Workspace, prepared: Prepared, settled: dict[str, Any], shard: Shard, folder: Path
) -> tuple[list[Path], dict[str, Any]]:
    from landshift.models.use.bundle import load
    from landshift.models.use.energy import measure_cost
    from landshift.models.use.inference import device_of, stream, write_behind

    started = time.perf_counter()
    config = ws.project.detect
    bundle, network = load(folder.parents[1] / SETTLED)
    network = network.to(device_of(config.device))
    legend = bundle.legend
    shift = bundle.facts.domain_shift
    before, after = (None if m is None else record_of(BandMapping, m, SETTLED) for m in settled["mappings"])
    grid = prepared.plan.grid
    work = [
        t for t in tiles((grid.shape[0], grid.shape[1]), config.core, settled["margin"]) if shard.first <= t.row < shard.last
    ]
    top = work[0].core.y
    rows = Window(top, 0, work[-1].core.y + work[-1].core.height - top, grid.shape[1])
    strip = grid[rows.y : rows.y + rows.height]
    shifts = np.full([-(-n // BLOCK) for n in strip.shape], np.nan, dtype=np.float32)
    paths = {name: folder / f"{name}.tif" for name in _layers(legend)}
    mixed = ws.project.training.precision in ("auto", "bf16")
    model_seconds = 0.0
    title = "Detecting changes" if shard.of == 1 else f"Detecting changes, {shard.number} of {shard.of}"
    with measure_cost("detection", ws.project.energy.country) as meter, ExitStack() as stack, step(title) as advance:
        writers = {
            name: stack.enter_context(open_writer(path, Layout(strip, 1, "uint8", _nodata(name))))
            for name, path in paths.items()
        }

        def write(tile: Tile, said: Any) -> None:  # noqa: ANN401 (Probabilities)
            decision = decide(said.change, said.before, said.after, legend, bundle.threshold)
            layers = {"change": decision.change, "before": decision.before, "after": decision.after,
                      "confidence": confidence_codes(decision.confidence)}  # fmt: skip
            place = tile.core.within(rows)
            for name, writer in writers.items():
                writer(place, np.asarray(layers[name])[np.newaxis])
            if shift is not None and said.embedding is not None:
                y, x = place.y // BLOCK, place.x // BLOCK
                ratio = shift.ratio(np.moveaxis(said.embedding, 0, -1))
                shifts[y : y + ratio.shape[0], x : x + ratio.shape[1]] = ratio

        predicted = stream(
            network, prepared.images, work, bundle.temperatures, mixed=mixed, mappings=(before, after),
            embed_block=None if shift is None else BLOCK,
        )  # fmt: skip
        for number, done in enumerate(write_behind(predicted, write), start=1):
            model_seconds += done.seconds
            advance(number / len(work))
    files = list(paths.values())
    if shift is not None:
        files.append(write_raster(folder / f"{_SHIFT}.tif", shifts, strip.zoom_out(BLOCK), nodata=float("nan")))
    return files, {
        "seconds": time.perf_counter() - started, "model_seconds": model_seconds,
        "cost": content_of(meter.cost), "process": os.getpid(),
    }  # fmt: skip


def _layers(legend: Legend) -> tuple[str, ...]:
    return ("change", "confidence") if legend.binary else ("change", "before", "after", "confidence")


def _nodata(layer: str) -> int:
    return CONFIDENCE_NODATA if layer == "confidence" else NOT_OBSERVED


def join_shards(
    ws: Workspace, grid: Grid, key: str, settled: dict[str, Any], shards: list[Shard], parts: list[dict[str, Any]]
) -> dict[str, Any]:
    """Join the strips of all shards into the raw map.

    Returns:
        `seconds` of all steps and `model_seconds`, both added up over the shards, `cost`, `threshold`, `margin`, and what was
        done about a territory that the model does not know: `adaptation`, its notes, and `beyond`, the share of the
        territory past the edge of what the training regions hold.
    """
    from landshift.models.use.bundle import describe
    from landshift.models.use.energy import total
    from landshift.pipeline.scores.training import Cost

    started = time.perf_counter()
    folder = ws.work / key
    bundle = describe(folder / SETTLED)
    strips = [folder / SHARDS / shard.name for shard in shards]
    files = []
    with step("Writing the raw map") as advance:
        for number, name in enumerate(_layers(bundle.legend), start=1):
            layout = Layout(grid, 1, "uint8", _nodata(name))
            files.append(join_rows(folder / f"raw_{name}.tif", layout, [strip / f"{name}.tif" for strip in strips]))
            advance(number / 4)
    beyond = None
    if bundle.facts.domain_shift is not None:
        path, layout = folder / f"raw_{_SHIFT}.tif", Layout(grid.zoom_out(BLOCK), 1, "float32", float("nan"))
        files.append(join_rows(path, layout, [strip / f"{_SHIFT}.tif" for strip in strips]))
        shifts = read_raster(path)[0]
        seen = np.isfinite(shifts)
        beyond = float((shifts[seen] > 1).mean()) if seen.any() else None
    costs = [None if part["cost"] is None else Cost(**part["cost"]) for part in parts]
    known = [cost for cost in costs if cost is not None]
    facts = {
        "seconds": settled["seconds"] + sum(part["seconds"] for part in parts) + time.perf_counter() - started,
        "model_seconds": sum(part["model_seconds"] for part in parts),
        "margin": float(settled["margin"]), "threshold": bundle.threshold,
        "cost": content_of(total(known, "detection")) if len(known) == len(parts) else None,
        "adaptation": settled["adaptation"], "beyond": beyond,
    }  # fmt: skip
    ws.manifest(folder).record("raw", key, files, facts)
    shutil.rmtree(folder / SHARDS, ignore_errors=True)
    return facts
