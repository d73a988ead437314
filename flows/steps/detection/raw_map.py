"""The raw map of a run: the strips of all shards, joined."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from landshift.flows.runtime.progress import step
from landshift.flows.steps.detection.layers import IMAGES
from landshift.flows.steps.detection.settle import SETTLED, Settled
from landshift.flows.steps.detection.shards import SHARDS, SHIFT, Shard, ShardResult
from landshift.flows.steps.learning.blocks import BLOCK
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.epochs.observed import Cover, cover_of
from landshift.pipeline.grid import Grid
from landshift.pipeline.raster.read import read_raster
from landshift.pipeline.raster.write import join_rows
from landshift.pipeline.records import content_of, record_of
from landshift.pipeline.run.record import Steadiness, UsedAdaptation, UsedClassical
from landshift.pipeline.scores.training import Cost


@dataclass(frozen=True)
class RawMap:
    """What it took to make a raw map, and what is known of it besides its files."""

    seconds: float
    """Of all steps, added up over the shards."""
    model_seconds: float
    """That the model alone took, added up over the shards."""
    margin: float
    """Of the tiles, pixels."""
    threshold: float | None
    """Probability from which on a pixel counts as changed, 0..1; None where a classical method mapped the changes."""
    cost: Cost | None
    """Electricity and greenhouse gas; None where those of a shard are not known."""
    adaptation: UsedAdaptation
    """To a territory that the model does not know."""
    observed: Cover
    """Shares of the region that both dates observed."""
    beyond: float | None
    """Share of the territory past the edge of the training regions, 0..1; None where the model does not know them."""
    steadiness: Steadiness | None = None
    """How much depends on where the grid begins and where tiles end; None where a classical method made it."""
    form: str | None = None
    """In which the network was computed; None where a classical method made it."""
    second_lacks: str = ""
    """Why there is no IR-MAD map beside it; empty where there is one, or a classical method made it."""
    classical: UsedClassical | None = None
    """The classical method that made it; None where a model did."""


def raw_map_of(ws: Workspace, key: str) -> RawMap | None:
    """Return the raw map of a run where it is whole; None where it has to be made."""
    manifest = ws.manifest(ws.work / key)
    # An image for the eye is no part of it any more once it is published.
    published = [name for name in IMAGES if not (manifest.folder / f"raw_{name}.tif").exists()]
    if not (manifest.is_current("raw", key) and all(manifest.is_current(name, key) for name in published)):
        return None
    return record_of(RawMap, manifest.facts("raw"), str(manifest.folder))


def join_shards(
    ws: Workspace, grid: Grid, key: str, settled: Settled, shards: Sequence[Shard], results: Sequence[ShardResult]
) -> RawMap:
    """Join the strips of all shards into the raw map."""
    from landshift.models.use.bundle import describe
    from landshift.models.use.energy import total

    started = time.perf_counter()
    folder = ws.work / key
    bundle = describe(folder / SETTLED)
    strips = [folder / SHARDS / shard.name for shard in shards]
    files = []
    with step("Writing the raw map") as advance:
        names = sorted(path.stem for path in strips[0].glob("*.tif") if path.stem != SHIFT)
        for number, name in enumerate(names, start=1):
            files.append(join_rows(folder / f"raw_{name}.tif", grid, [strip / f"{name}.tif" for strip in strips]))
            advance(number / len(names))
    beyond = None
    if bundle.facts.domain_shift is not None:
        path = folder / f"raw_{SHIFT}.tif"
        files.append(join_rows(path, grid.zoom_out(BLOCK), [strip / f"{SHIFT}.tif" for strip in strips]))
        shifts = read_raster(path)[0]
        seen = np.isfinite(shifts)
        beyond = float((shifts[seen] > 1).mean()) if seen.any() else None
    known = [result.cost for result in results if result.cost is not None]
    raw = RawMap(
        seconds=settled.seconds + sum(result.seconds for result in results) + time.perf_counter() - started,
        model_seconds=sum(result.model_seconds for result in results), margin=float(settled.margin), threshold=bundle.threshold,
        cost=total(known, "detection") if len(known) == len(results) else None, adaptation=settled.adaptation, beyond=beyond,
        steadiness=settled.steadiness, observed=cover_of(np.sum([result.observed for result in results], axis=0)),
        second_lacks=settled.second.reason, form=settled.form,
    )  # fmt: skip
    ws.manifest(folder).record("raw", key, files, content_of(raw))
    shutil.rmtree(folder / SHARDS, ignore_errors=True)
    return raw
