"""Labels as masks, regions and splits, on disk for the steps that follow."""

from dataclasses import dataclass

import numpy as np

from landshift.flows.steps.learning.given import give_roles, label_files, label_hashes, read_polygons_of
from landshift.flows.steps.project.plan import legend_of
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid
from landshift.pipeline.labels.given import divide_as_given
from landshift.pipeline.labels.read import Labels, LabelSummary, burn_polygons, labels_from_rasters, require_both_kinds, summary
from landshift.pipeline.labels.splits import DividedLabels, Splits, spatial_split
from landshift.pipeline.labels.values import NO_REGION
from landshift.pipeline.legend import NOT_LABELLED
from landshift.pipeline.manifest import value_hash
from landshift.pipeline.raster.read import read_raster
from landshift.pipeline.raster.write import write_raster
from landshift.pipeline.records import read_record, write_record

LABELS, REGIONS, SPLITS = "labels.tif", "regions.tif", "splits.json"


@dataclass(frozen=True)
class LabelRecord:
    """Content of `splits.json`."""

    labels: LabelSummary
    """Numbers of labelled pixels; its regions are in the order of their numbers in `regions.tif`."""
    splits: Splits
    """Blocks and their roles."""


def read_labels(ws: Workspace, grid: Grid) -> Labels:
    """Read the project's labels onto its grid.

    Raises:
        InputError: The project has none, or they cannot be used.
    """
    project, legend = ws.project, legend_of(ws.project)
    if project.labels is None:
        raise InputError("The config has no `labels:`; training needs some. See configs/ for examples.")
    if project.labels.polygons is not None:
        return burn_polygons(read_polygons_of(ws, grid), grid)
    if project.labels.rasters is None:
        raise InputError("`labels:` has neither polygons nor rasters.")
    return labels_from_rasters(grid, legend, project.labels.rasters.values, {k: tuple(v) for k, v in label_files(ws).items()})


def split_labels(ws: Workspace, labels: Labels) -> tuple[np.ndarray, Splits]:
    """Divide labels into training, validation and test by blocks, as `spatial_split` does.

    Raises:
        InputError: Some class cannot be in every role, or no labelled pixel changed, or all did.
    """
    split = ws.project.split
    require_both_kinds(labels)
    return spatial_split(
        labels, legend_of(ws.project), block=split.block_px, buffer=split.buffer_px, fractions=split.fractions,
        min_pixels=split.min_pixels, seed=split.seed,
    )  # fmt: skip


def assign_roles(ws: Workspace, labels: Labels, grid: Grid) -> tuple[np.ndarray, Splits]:
    """Divide labels into training, validation and test, by blocks or as the config states that they come divided.

    Raises:
        InputError: Some class cannot be in every role, a given split cannot be read or leaves a role without labels, or no
            labelled pixel changed, or all did.
    """
    split = ws.project.split
    if split.by == "blocks":
        return split_labels(ws, labels)
    require_both_kinds(labels)
    return divide_as_given(
        labels, legend_of(ws.project), give_roles(ws, grid), by=split.by, block=split.block_px, buffer=split.buffer_px,
        min_pixels=split.min_pixels,
    )  # fmt: skip


def divide_labels(ws: Workspace, grid: Grid) -> str:
    """Write the masks, regions and splits of the labels, unless they are there already from the same inputs.

    Returns:
        Hash of the masks.
    """
    key, manifest = _key(ws, grid), ws.manifest(ws.training)
    if not manifest.is_current("labels", key):
        labels = read_labels(ws, grid)
        role, splits = assign_roles(ws, labels, grid)
        files = [ws.training / LABELS, ws.training / SPLITS]
        layers = np.stack([labels.before, labels.after, labels.change, role])
        write_raster(files[0], layers, grid, nodata=NOT_LABELLED, descriptions=("before", "after", "change", "split"))
        write_record(files[1], LabelRecord(summary(labels, legend_of(ws.project)), splits))
        (ws.training / REGIONS).unlink(missing_ok=True)
        if labels.region is not None:
            files.append(write_raster(ws.training / REGIONS, labels.region, grid, nodata=NO_REGION, descriptions=("region",)))
        manifest.record("labels", key, files)
    return str(manifest.entries()["labels"]["files"][LABELS])


def _key(ws: Workspace, grid: Grid) -> str:
    settings = ws.project.model_dump(mode="json", include={"labels", "split", "legend"})
    return value_hash([label_hashes(ws), settings, str(grid)])


def labels_hash_of(ws: Workspace) -> str | None:
    """Return the hash of the masks that were written last; None before any."""
    entry = ws.manifest(ws.training).entries().get("labels")
    return None if entry is None else str(entry["files"][LABELS])


def labels_key_of(ws: Workspace) -> str | None:
    """Return the hash of the inputs of masks and regions; None before any."""
    entry = ws.manifest(ws.training).entries().get("labels")
    return None if entry is None else str(entry["key"])


def read_masks(ws: Workspace) -> DividedLabels:
    """Read the labels, regions and roles that `divide_labels` wrote."""
    before, after, change, role = (read_raster(ws.training / LABELS, band)[0] for band in (1, 2, 3, 4))
    if not (ws.training / REGIONS).is_file():
        return DividedLabels(Labels(before, after, change), role)
    region, _ = read_raster(ws.training / REGIONS)
    names = read_record(ws.training / SPLITS, LabelRecord).labels.regions
    return DividedLabels(Labels(before, after, change, region, region_names=tuple(names)), role)


def current_labels(ws: Workspace, grid: Grid) -> Labels:
    """Read the project's labels: the masks where their inputs are still the same, else the files.

    Raises:
        InputError: As `read_labels`.
    """
    is_current = ws.manifest(ws.training).is_current("labels", _key(ws, grid))
    return read_masks(ws).labels if is_current else read_labels(ws, grid)
