"""Rasters and polygons of a detect run."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from landshift.flows.runtime.progress import step
from landshift.flows.steps.detection.classical import legend_in_use
from landshift.flows.steps.detection.layers import IMAGES, SECOND, SEEN
from landshift.flows.steps.detection.raw_map import RawMap
from landshift.flows.steps.images.epochs import Pair
from landshift.flows.steps.learning.seen import folder_of_uses, read_uses
from landshift.flows.steps.project.published import raster_tags
from landshift.flows.steps.project.workspace import Workspace
from landshift.flows.steps.publication.known import find_known, kinds_on_test
from landshift.pipeline.change.areas import MappedAreas, add_kind_scores, measure_areas
from landshift.pipeline.change.areas_of_interest import AreasOfInterest, area_summary, names_of
from landshift.pipeline.change.areas_reading import read_areas_of_interest
from landshift.pipeline.change.identity import keep_ids
from landshift.pipeline.change.mapping_unit import divide_by_size, drop_small, min_patch_pixels
from landshift.pipeline.change.patches import Patches
from landshift.pipeline.change.polygons import find_map_patches, map_layers, outline_labels
from landshift.pipeline.change.second_opinion import ENTRIES, SecondOpinion, compare_maps, form_opinion, lack_opinion
from landshift.pipeline.drawing.qml import vector_qml
from landshift.pipeline.drawing.sld import vector_sld
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid, pixel_area_ha
from landshift.pipeline.manifest import Manifest, write_text
from landshift.pipeline.raster.read import read_raster, read_rows
from landshift.pipeline.raster.write import write_cog
from landshift.pipeline.records import content_of, record_of
from landshift.pipeline.run.patch_pictures import write_patch_pictures
from landshift.pipeline.run.rasters import MapParts, write_disagreement, write_domain_shift, write_last_observed, write_rasters
from landshift.pipeline.run_files import CHANGES, LAYERS_FOLDER, layer_file
from landshift.pipeline.vector.columns import CHANGES_LAYER
from landshift.pipeline.vector.read import read_layer
from landshift.pipeline.vector.write import write_changes, write_changes_lyrx, write_copies

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


def write_maps(ws: Workspace, prepared: Pair, key: str, raw: RawMap) -> Maps:
    """Apply the minimum mapping unit, and write the rasters and polygons as published."""
    folder = ws.work / key
    manifest = ws.manifest(folder)
    if manifest.is_current("maps", key):
        return record_of(Maps, manifest.facts("maps"), str(folder))
    legend, made = legend_in_use(ws), prepared.plan
    areas_of_interest = areas_in(ws, made.grid)
    tags = raster_tags(ws, made, key)
    with step("Writing maps and polygons") as advance:
        patches, small = _divide_patches(ws, made.grid, folder / "raw_change.tif")
        known = find_known(ws, prepared)
        parts = MapParts(
            _without(small, folder, "change"), read_rows(folder / "raw_change_probability.tif"),
            None if legend.binary else read_rows(folder / "raw_before.tif"),
            None if legend.binary else _without(small, folder, "after"),
        )  # fmt: skip
        dates = (made.before.date, made.after.date)
        probability = read_rows(folder / "raw_change_probability.tif")
        layers = map_layers(patches, probability, made.grid, legend, *dates, prefix=ws.project.name)
        changes, unseen = layers.changes, layers.not_observed
        areas = measure_areas(changes, unseen, legend, made.grid)
        files = write_rasters(folder, parts, legend, made.grid, tags=tags, calibrated=known.calibrated, areas=areas)
        advance(0.2)
        shifts = folder / "raw_domain_shift.tif"
        if shifts.is_file():
            files += write_domain_shift(folder, *read_raster(shifts), tags)
        opinion = None
        if ws.project.detect.method == "model":
            opinion, more = _write_second_opinion(ws, folder, made.grid, tags, small=small, reason=raw.second_lacks)
            files += more
        files += write_last_observed(folder, folder / f"raw_{SEEN}.tif")
        advance(0.4)
        files += [_publish_image(manifest, key, name) for name in IMAGES]
        advance(0.6)
        add_kind_scores(changes, kinds_on_test(ws))
        changes["area_ha"], unseen["area_ha"] = changes["area_ha"].round(4), unseen["area_ha"].round(4)
        changes["change_id"] = keep_ids(changes, _earlier_changes(ws))
        summary = None
        if areas_of_interest is not None:
            changes["areas_of_interest"] = names_of(areas_of_interest, changes)
            summary = area_summary(areas_of_interest, patches, changes, made.grid, legend=legend, dates=dates)
        advance(0.9)
        path = folder / CHANGES
        labels = _labels_of_model(ws, made.grid) if known.tested else None
        files.append(
            write_changes(path, changes, legend, known=known, not_observed=unseen, areas_of_interest=summary, labels=labels)
        )
        found = set(changes["change_code"])
        listed = [entry for entry in legend.changes if entry.code in found]
        files += [
            write_text(folder / layer_file("changes.qml"), vector_qml(listed)),
            write_text(folder / layer_file("changes.sld"), vector_sld(listed, title="Changes")),
            write_changes_lyrx(
                folder / layer_file("changes.lyrx"),
                f"../{CHANGES}",
                listed,
                known=known,
                areas_of_interest=summary is not None,
            ),
        ]
        files += write_patch_pictures(folder, changes, made.grid)
        files += write_copies(folder / LAYERS_FOLDER, changes, ws.project.detect.copies)
        advance(1.0)
    notes = None if areas_of_interest is None else tuple(areas_of_interest.notes)
    maps = Maps(areas, notes, second_opinion=opinion)
    hashes = {path: digest for name in IMAGES for path, digest in manifest.entries()[name]["files"].items()}
    manifest.record("maps", key, files, content_of(maps), known=hashes)
    return maps


def _labels_of_model(ws: Workspace, grid: Grid) -> "gpd.GeoDataFrame | None":
    """Outline the labels of the model in use, which lie in these very images; None where it does not hold them."""
    uses = read_uses(folder_of_uses(ws), grid) if ws.project.detect.method == "model" else None
    return None if uses is None or not uses.any() else outline_labels(uses, grid)


def _publish_image(manifest: Manifest, key: str, name: str) -> Path:
    """Arrange an image for the eye and take it out of the raw map: twice, the images would be most of a run's disk."""
    folder = manifest.folder
    path, raw = folder / layer_file(f"{name}.tif"), folder / f"raw_{name}.tif"
    if not manifest.is_current(name, key):
        manifest.record(name, key, [write_cog(path, raw, categorical=False)])
    # A run that is interrupted here goes on from what is left.
    rest = {n: digest for n, digest in manifest.entries()["raw"]["files"].items() if n != raw.name}
    manifest.record("raw", key, [folder / n for n in rest], manifest.facts("raw"), known=rest)
    raw.unlink(missing_ok=True)
    return path


def _divide_patches(ws: Workspace, grid: Grid, change: Path) -> tuple[Patches, Patches]:
    """Return the patches of a map that stay, and those below the minimum mapping unit."""
    least = min_patch_pixels(ws.project.detect.min_area_ha, pixel_area_ha(grid))
    return divide_by_size(find_map_patches(read_rows(change)), least)


def _without(small: Patches, folder: Path, layer: str) -> Iterator[np.ndarray]:
    """Yield the rows of the change codes (`change`, or `second` of IR-MAD) or of the land use `after` without small patches."""
    top = 0
    names = ("change", "before", "after") if layer == "after" else (layer,)
    for rows in zip(*(read_rows(folder / f"raw_{name}.tif") for name in names), strict=True):
        drop_small(small, top, rows[0], *(rows[1:] or (None, None)))
        top += len(rows[0])
        yield rows[-1]


def _write_second_opinion(
    ws: Workspace, folder: Path, grid: Grid, tags: dict[str, str], *, small: Patches, reason: str
) -> tuple[SecondOpinion, list[Path]]:
    """Compare the map with the IR-MAD map under the same minimum mapping unit, and write where they disagree."""
    if reason:
        return lack_opinion(reason), []
    small_too = _divide_patches(ws, grid, folder / f"raw_{SECOND}.tif")[1]
    counts = np.zeros(len(ENTRIES), dtype=np.int64)

    def compare() -> Iterator[np.ndarray]:
        for change, other in zip(_without(small, folder, "change"), _without(small_too, folder, SECOND), strict=True):
            codes = compare_maps(change, other)
            counts[:] += np.bincount(codes.ravel(), minlength=len(ENTRIES))
            yield codes

    files = write_disagreement(folder, compare(), grid, tags)
    return form_opinion(counts), files


def _earlier_changes(ws: Workspace) -> "gpd.GeoDataFrame | None":
    """Return the changes of the run that is there, whose ids the same changes keep."""
    path = ws.run / CHANGES
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
