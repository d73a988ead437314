"""Shards: rows of tiles of a region, mapped by one process each, so that joined they are what one process would write."""

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path

import numpy as np
from filelock import FileLock

from landshift.flows.runtime.limits import model_slot
from landshift.flows.runtime.progress import step
from landshift.flows.steps.detection.layers import Beside, layers_of, writing_layers
from landshift.flows.steps.detection.settle import SETTLED, Settled, require_shared
from landshift.flows.steps.images.epochs import Pair
from landshift.flows.steps.learning.blocks import BLOCK
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.grid import Grid
from landshift.pipeline.manifest import value_hash
from landshift.pipeline.raster.blocks import is_striped
from landshift.pipeline.raster.open import CACHE_BYTES
from landshift.pipeline.raster.write import write_raster
from landshift.pipeline.records import content_of, record_of
from landshift.pipeline.scores.training import Cost
from landshift.pipeline.tiles import Tile, Window, columns_at_once, in_stripes, row_groups, tiles

SHARDS = "raw_shards"
"""Folder of the strips in the folder of a run that grows; its name keeps it out of what is published."""
SHIFT = "domain_shift"
"""Layer of how far each block lies from the training regions."""


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


@dataclass(frozen=True)
class ShardResult:
    """What it took to map a shard."""

    seconds: float
    """Of the whole step."""
    model_seconds: float
    """That the model alone took."""
    cost: Cost | None
    """Electricity and greenhouse gas; None where the meter failed."""
    process: int
    """Number of the process that did it."""
    observed: tuple[int, ...]
    """Pixels observed before, after, on both, and all."""


def shards_of(ws: Workspace, grid: Grid) -> list[Shard]:
    """Divide a region as configured; no shard is less than a row of tiles.

    Args:
        ws: The project.
        grid: Of the region.
    """
    config = ws.project.detect
    groups = row_groups(-(-grid.shape[0] // config.core), config.shards)
    return [Shard(i, len(groups), group.start, group.stop) for i, group in enumerate(groups, start=1)]


def detect_shard(ws: Workspace, prepared: Pair, key: str, settled: Settled, shard: Shard) -> ShardResult:
    """Stream both dates of a shard through the model, and write its strips of the raw map, unless that is done already.

    Raises:
        InputError: This process does not see the folder of the run, or has other versions than the one that began it.
    """
    require_shared(ws.work / key, settled)
    folder = ws.work / key / SHARDS / shard.name
    folder.mkdir(parents=True, exist_ok=True)
    # A scheduler that lost sight of a worker gives its shard to another one, while the first may still be at it.
    with FileLock(folder / ".lock"):
        manifest = ws.manifest(folder)
        content = value_hash([key, content_of(settled), shard.first, shard.last])
        if not manifest.is_current("shard", content):
            with model_slot():
                files, result = _map_rows(ws, prepared, settled, shard, folder=folder)
            manifest.record("shard", content, files, content_of(result))
        return record_of(ShardResult, manifest.facts("shard"), str(folder))


def _map_rows(ws: Workspace, prepared: Pair, settled: Settled, shard: Shard, folder: Path) -> tuple[list[Path], ShardResult]:
    from landshift.models.use.bundle import load
    from landshift.models.use.energy import measure_cost
    from landshift.models.use.inference import DecisionRule, device_of
    from landshift.models.use.ready import make_ready
    from landshift.models.use.streaming import MappedTile, stream, threads_here, write_behind

    started = time.perf_counter()
    config = ws.project.detect
    bundle, network = load(folder.parents[1] / SETTLED)
    network = make_ready(network.to(device_of(config.device)), settled.form)
    shift = bundle.facts.domain_shift
    grid = prepared.plan.grid
    work = [t for t in tiles((grid.shape[0], grid.shape[1]), config.core, settled.margin) if shard.first <= t.row < shard.last]
    top = work[0].core.y
    rows = Window(top, 0, work[-1].core.y + work[-1].core.height - top, grid.shape[1])
    strip = grid[rows.y : rows.y + rows.height]
    ordered = _keep_close(work, prepared, config.core, settled.margin)
    shifts = np.full([-(-n // BLOCK) for n in strip.shape], np.nan, dtype=np.float32)
    beside = Beside(prepared, settled.stretches, settled.second, settled.tags)
    paths = {name: folder / f"{name}.tif" for name in (*layers_of(bundle.legend), *beside.names)}
    mixed = ws.project.training.precision in ("auto", "bf16")
    model_seconds, number = 0.0, 0
    title = "Detecting changes" if shard.of == 1 else f"Detecting changes, {shard.number} of {shard.of}"
    with ExitStack() as stack:
        meter = stack.enter_context(measure_cost("detection", ws.project.energy.country))
        advance = stack.enter_context(step(title))
        writer = stack.enter_context(writing_layers(beside, paths, rows))

        def write(done: MappedTile) -> None:
            writer.add_tile(done.tile.core, done.images, {} if done.decision is None else done.decision.layers())
            if shift is not None and done.probabilities.embedding is not None:
                place = done.tile.core.within(rows)
                y, x = place.y // BLOCK, place.x // BLOCK
                ratio = shift.ratio(np.moveaxis(done.probabilities.embedding, 0, -1))
                shifts[y : y + ratio.shape[0], x : x + ratio.shape[1]] = ratio

        predicted = stream(
            network, replace(prepared.source, adaptation=settled.mappings), ordered, bundle.temperatures, mixed=mixed,
            embed_block=None if shift is None else BLOCK, phases=config.phases,
            rule=DecisionRule(bundle.legend, bundle.threshold),
        )  # fmt: skip
        for seconds in map(attrgetter("seconds"), write_behind(predicted, write, threads_here())):
            model_seconds, number = model_seconds + seconds, number + 1
            advance(number / len(work))
    files = list(paths.values())
    if shift is not None:
        files.append(write_raster(folder / f"{SHIFT}.tif", shifts, strip.zoom_out(BLOCK), nodata=float("nan")))
    return files, ShardResult(
        time.perf_counter() - started, model_seconds, meter.cost, os.getpid(), observed=tuple(writer.count.tolist())
    )


def _keep_close(work: Sequence[Tile], prepared: Pair, core: int, margin: int) -> list[Tile]:
    """Order tiles so that blocks of the images need not be decoded twice, however wide the region is."""
    files = [path for image in prepared.images for path in ([image] if isinstance(image, Path) else image.paths)]
    if any(is_striped(path) for path in files):
        # Each row of such a file is one block: narrower stripes would decode it again and again.
        return list(work)
    # Scenes mostly have numbers of two bytes; images that were made have float32.
    pixel_bytes = sum(len(prepared.plan.bands) * (4 if isinstance(image, Path) else 2) for image in prepared.images)
    return in_stripes(work, columns_at_once(core, margin, pixel_bytes, CACHE_BYTES))
