"""Labels to masks and splits, on disk for the steps that follow."""

import numpy as np

from landshift.flows.steps.project.plan import legend_of, plan
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid
from landshift.pipeline.labels.read import Labels, labels_from_polygons, labels_from_rasters, summary
from landshift.pipeline.labels.splits import Splits, spatial_split
from landshift.pipeline.legend import NOT_LABELLED
from landshift.pipeline.manifest import value_hash, write_json
from landshift.pipeline.raster.read import read_raster
from landshift.pipeline.raster.write import write_raster

LABELS, SPLITS = "labels.tif", "splits.json"


def read_labels(ws: Workspace, grid: Grid) -> Labels:
    """Read the project's labels onto its grid.

    Raises:
        InputError: The project has none, or they cannot be used.
    """
    project, legend = ws.project, legend_of(ws.project)
    if project.labels is None:
        raise InputError("The config has no `labels:`; training needs some. See configs/ for examples.")
    polygons, rasters = project.labels.polygons, project.labels.rasters
    if polygons is not None:
        return labels_from_polygons(
            ws.input(polygons.path, "labels: polygons: path"), grid, legend, before_column=polygons.before_column,
            after_column=polygons.after_column, change_column=polygons.change_column, region_column=polygons.region_column,
            layer=polygons.layer,
        )  # fmt: skip
    if rasters is None:
        raise InputError("`labels:` has neither polygons nor rasters.")
    before, after, change = (
        None if path is None else ws.input(path, f"labels: rasters: {name}")
        for name, path in (("before", rasters.before), ("after", rasters.after), ("change", rasters.change))
    )
    return labels_from_rasters(grid, legend, rasters.values, before=before, after=after, change=change)


def split_labels(ws: Workspace, labels: Labels) -> Splits:
    """Divide labels into training, validation and test."""
    split = ws.project.split
    return spatial_split(
        labels, legend_of(ws.project), block=split.block_px, buffer=split.buffer_px, fractions=split.fractions,
        min_pixels=split.min_pixels, seed=split.seed,
    )  # fmt: skip


def divide_labels(ws: Workspace) -> str:
    """Write the label masks and their splits, unless they are there already from the same inputs.

    Returns:
        Hash of the masks.
    """
    made = plan(ws)
    labels = read_labels(ws, made.grid)
    splits = split_labels(ws, labels)
    key = value_hash(
        [dict(labels.hashes), ws.project.model_dump(mode="json", include={"labels", "split", "legend"}), str(made.grid)]
    )
    manifest = ws.manifest(ws.training)
    path = ws.training / LABELS
    if not manifest.is_current("labels", key):
        layers = np.stack([labels.before, labels.after, labels.change, splits.role]).astype(np.uint8)
        write_raster(path, layers, made.grid, nodata=NOT_LABELLED, descriptions=("before", "after", "change", "split"))
        counts = summary(labels, legend_of(ws.project)).as_dict()
        write_json(ws.training / SPLITS, {"labels": counts, "splits": splits.as_dict()})
        manifest.record("labels", key, [path, ws.training / SPLITS])
    return str(manifest.entries()["labels"]["files"][LABELS])


def labels_hash_of(ws: Workspace) -> str | None:
    """Return the hash of the masks that were written last; None where there are none."""
    entry = ws.manifest(ws.training).entries().get("labels")
    return None if entry is None else str(entry["files"][LABELS])


def labels_key_of(ws: Workspace) -> str | None:
    """Return the hash of what the masks were made from, and thus of the regions, which they do not hold; None without masks."""
    entry = ws.manifest(ws.training).entries().get("labels")
    return None if entry is None else str(entry["key"])


def read_masks(ws: Workspace) -> tuple[Labels, np.ndarray]:
    """Read what `divide_labels` wrote.

    Returns:
        The labels, and the split of each pixel as uint8 (y, x).
    """
    layers = [read_raster(ws.training / LABELS, band) for band in (1, 2, 3, 4)]
    before, after, change, role = (a for a, _ in layers)
    return Labels(before, after, change), role
