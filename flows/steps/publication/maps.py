"""Rasters and polygons of a detect run."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from landshift.flows.runtime.progress import step
from landshift.flows.runtime.versions import versions
from landshift.flows.steps.detection.classical import SECOND, legend_in_use, map_second_opinion
from landshift.flows.steps.images.epochs import Pair
from landshift.flows.steps.project.plan import Plan
from landshift.flows.steps.project.workspace import Workspace
from landshift.flows.steps.publication.known import find_known, kinds_on_test
from landshift.pipeline.change.areas import MappedAreas, add_kind_scores, measure_areas
from landshift.pipeline.change.areas_of_interest import AreasOfInterest, area_summary, names_of
from landshift.pipeline.change.areas_reading import read_areas_of_interest
from landshift.pipeline.change.decision import Decision, probability_of
from landshift.pipeline.change.identity import keep_ids
from landshift.pipeline.change.mapping_unit import divide_by_size, drop_small, min_patch_pixels
from landshift.pipeline.change.polygons import find_map_patches, map_layers
from landshift.pipeline.change.second_opinion import ENTRIES, SecondOpinion, compare_maps, form_opinion, lack_opinion
from landshift.pipeline.columns import CHANGES_LAYER
from landshift.pipeline.drawing.pictures import stretches_of, write_image
from landshift.pipeline.drawing.qml import vector_qml
from landshift.pipeline.drawing.sld import vector_sld
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid, pixel_area_ha
from landshift.pipeline.legend import Legend
from landshift.pipeline.manifest import write_text
from landshift.pipeline.raster.read import read_raster
from landshift.pipeline.records import content_of, record_of
from landshift.pipeline.run.rasters import (
    write_disagreement,
    write_domain_shift,
    write_last_observed,
    write_rasters,
)
from landshift.pipeline.scenes.sensors import REFLECTANCE
from landshift.pipeline.vector.read import read_layer
from landshift.pipeline.vector.write import write_changes, write_copies

if TYPE_CHECKING:
    import geopandas as gpd


@dataclass(frozen=True)
class Maps:
    """The maps of a run, besides their files."""

    areas: MappedAreas
    """Hectares by pixel count, biased."""
    areas_of_interest: tuple[str, ...] | None
    """Notes on the areas of interest, sentences; None where the project has none."""
    second_opinion: SecondOpinion | None = None
    """How far the map agrees with the IR-MAD map; None where a classical method made it."""


def write_maps(ws: Workspace, prepared: Pair, key: str) -> Maps:
    """Apply the minimum mapping unit, and write the rasters and polygons as published."""
    folder = ws.work / key
    manifest = ws.manifest(folder)
    if manifest.is_current("maps", key):
        return record_of(Maps, manifest.facts("maps"), str(folder))
    legend, made = legend_in_use(ws), prepared.plan
    areas_of_interest = areas_in(ws, made.grid)
    tags = _tags(ws, made, key)
    with step("Writing maps and polygons") as advance:
        decision = _drop_small(folder, legend, ws.project.detect.min_area_ha, pixel_area_ha(made.grid))
        advance(0.2)
        known = find_known(ws, prepared)
        files = write_rasters(folder, decision, legend, made.grid, tags=tags, calibrated=known.calibrated)
        shifts = folder / "raw_domain_shift.tif"
        if shifts.is_file():
            files += write_domain_shift(folder, *read_raster(shifts), tags)
        opinion = None
        if ws.project.detect.method == "model":
            opinion, more = _write_second_opinion(ws, prepared, key, decision, tags=tags)
            files += more
        files += write_last_observed(folder, prepared.observations, made.grid, tags)
        advance(0.5)
        files += _write_images(folder, prepared, made, tags)
        advance(0.6)
        dates = (made.before.date, made.after.date)
        probability = decision.change_probability
        patches = find_map_patches(decision.change)
        layers = map_layers(patches, probability, made.grid, legend, *dates, prefix=ws.project.name)
        changes, unseen = layers.changes, layers.not_observed
        areas = measure_areas(changes, unseen, legend, made.grid)
        add_kind_scores(changes, kinds_on_test(ws))
        changes["area_ha"], unseen["area_ha"] = changes["area_ha"].round(4), unseen["area_ha"].round(4)
        changes["change_id"] = keep_ids(changes, _earlier_changes(ws))
        summary = None
        if areas_of_interest is not None:
            changes["areas_of_interest"] = names_of(areas_of_interest, changes)
            summary = area_summary(areas_of_interest, patches, changes, made.grid, legend=legend, dates=dates)
        advance(0.9)
        path = folder / "changes.gpkg"
        files.append(write_changes(path, changes, legend, known=known, not_observed=unseen, areas_of_interest=summary))
        listed = [entry for entry in legend.changes if entry.code in set(changes["change_code"])]
        files += [
            write_text(folder / "changes.qml", vector_qml(listed)),
            write_text(folder / "changes.sld", vector_sld(listed, title="Changes")),
        ]
        files += write_copies(folder, changes, ws.project.detect.copies)
        advance(1.0)
    notes = None if areas_of_interest is None else tuple(areas_of_interest.notes)
    maps = Maps(areas, notes, second_opinion=opinion)
    manifest.record("maps", key, files, content_of(maps))
    return maps


def _write_second_opinion(
    ws: Workspace, prepared: Pair, key: str, decision: Decision, tags: dict[str, str]
) -> tuple[SecondOpinion, list[Path]]:
    """Compare the map with the IR-MAD map under the same minimum mapping unit, and write where they disagree."""
    folder, grid = ws.work / key, prepared.plan.grid
    second = map_second_opinion(ws, prepared, key)
    if not second.is_there:
        return lack_opinion(second.reason), []
    other = read_raster(folder / SECOND)[0]
    least = min_patch_pixels(ws.project.detect.min_area_ha, pixel_area_ha(grid))
    drop_small(divide_by_size(find_map_patches(other), least)[1], 0, other, None, after=None)
    codes = compare_maps(decision.change, other)
    opinion = form_opinion(np.bincount(codes.ravel(), minlength=len(ENTRIES)))
    return opinion, write_disagreement(folder, codes, grid, tags)


def _earlier_changes(ws: Workspace) -> "gpd.GeoDataFrame | None":
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


def _write_images(folder: Path, prepared: Pair, made: Plan, tags: dict[str, str]) -> list[Path]:
    stretches = stretches_of(*prepared.images, comparable=made.sensor.units == REFLECTANCE)
    return [
        write_image(
            folder / f"image_{epoch}.tif",
            image,
            stretch,
            made.grid,
            tags=tags,
            names=[made.bands[band - 1] for band in stretch.bands],
        )
        for epoch, image, stretch in zip(("before", "after"), prepared.images, stretches, strict=True)
    ]


def _tags(ws: Workspace, made: Plan, key: str) -> dict[str, str]:
    """Return the tags of each raster: its origin, for when it travels alone."""
    return {
        "AREA_OR_POINT": "Area",
        "BEFORE_DATE": str(made.before.date),
        "AFTER_DATE": str(made.after.date),
        "PROJECT": ws.project.name,
        "RUN": key,
        "TIFFTAG_SOFTWARE": f"landshift {versions()['landshift']}",
    }


def _drop_small(folder: Path, legend: Legend, min_area_ha: float, pixel_ha: float) -> Decision:
    change = read_raster(folder / "raw_change.tif")[0]
    codes = read_raster(folder / "raw_change_probability.tif")[0]
    probability = probability_of(codes)
    dates = [None, None] if legend.binary else [read_raster(folder / f"raw_{n}.tif")[0] for n in ("before", "after")]
    small = divide_by_size(find_map_patches(change), min_patch_pixels(min_area_ha, pixel_ha))[1]
    drop_small(small, 0, change, *dates)
    return Decision(change, dates[0], dates[1], probability)
