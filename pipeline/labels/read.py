"""Labels of the land use of pixels, from polygons or rasters, checked before training."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from shapely.geometry import box

from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid, crs_name
from landshift.pipeline.labels.columns import choose_columns, note_alike
from landshift.pipeline.labels.rasters import Values, codes_from_raster
from landshift.pipeline.labels.values import (
    CHANGE_NAMES,
    burn_codes,
    burn_regions,
    change_code,
    class_reader,
    codes_of,
    extent_text,
)
from landshift.pipeline.legend import NOT_LABELLED, Legend
from landshift.pipeline.vector.read import StatedLayer, read_usable_polygons


@dataclass(frozen=True, eq=False)
class Labels:
    """Land use and change of the labelled pixels of a grid."""

    before: np.ndarray
    """uint8 (y, x): land-use code 1..16, 255 = not labelled."""
    after: np.ndarray
    """uint8 (y, x): land-use code 1..16, 255 = not labelled."""
    change: np.ndarray
    """uint8 (y, x): 0 = unchanged, 1 = changed, 255 = not labelled."""
    region: np.ndarray | None = None
    """int16 (y, x): index into `region_names`, -1 = no region; None where the labels name none."""
    region_names: tuple[str, ...] = ()
    """In alphabetical order."""
    contested: int = 0
    """Pixels on which labels disagree; they count as not labelled."""
    notes: tuple[str, ...] = ()
    """Sentences for a person: what of the file is not used, and what may be a mistake in it."""

    @property
    def labelled(self) -> np.ndarray:
        """Where at least one of the three is known, bool (y, x)."""
        return np.asarray((self.before != NOT_LABELLED) | (self.after != NOT_LABELLED) | (self.change != NOT_LABELLED))


@dataclass(frozen=True)
class LabelSummary:
    """Numbers of labelled pixels."""

    labelled: int
    """Pixels with any label."""
    contested: int
    """Pixels left out because labels disagree."""
    before: dict[str, int]
    """Class name to pixels; every class of the legend."""
    after: dict[str, int]
    """Class name to pixels; every class of the legend."""
    change: dict[str, int]
    """`unchanged` and `changed` to pixels."""
    transitions: dict[str, int]
    """Name of the change (`Forest to Cropland`) to pixels; only those that occur."""
    regions: dict[str, int]
    """Region to labelled pixels."""
    notes: tuple[str, ...] = ()
    """Of `Labels`."""


def labels_from_polygons(
    path: Path,
    grid: Grid,
    legend: Legend,
    *,
    before_column: str = "before",
    after_column: str = "after",
    change_column: str | None = None,
    region_column: str | None = None,
    stated: StatedLayer | None = None,
) -> Labels:
    """Burn a layer of polygons with the land use before, after, or both.

    Classes are names or codes. A missing value is not labelled at that date. Where polygons overlap and disagree, the
    pixels are not labelled, with a warning: along borders that were drawn by hand neither side is sure. Features that are not
    valid polygons are left out, with a note that names them.

    Args:
        path: GeoPackage, FlatGeobuf, Shapefile or GeoJSON, any CRS.
        grid: Where the labels are needed.
        legend: The classes; with a binary one `change_column` is needed, and only that one is read.
        before_column: Column with the class before; may be missing if there is another one.
        after_column: Column with the class after; may be missing if there is another one.
        change_column: Column with `changed` / `unchanged` (or 1 / 0).
        region_column: Column with the name of the region.
        stated: What the config states of the layer.

    Raises:
        InputError: The layer cannot be read (as in `read_usable_polygons`), there is no polygon, a column is missing, a
            class is unknown, the polygons lie outside the grid, no pixel is labelled or all have one class.
    """
    given = {"before": before_column, "after": after_column, "change": change_column, "region": region_column}
    stated = replace(stated or StatedLayer(), columns=frozenset(c for c in given.values() if c), likely_crs=crs_name(grid.crs))
    read_layer = read_usable_polygons(path, grid.crs, stated)
    frame = read_layer.frame
    if frame.empty:
        raise InputError(f"{path} holds no polygon; draw some, or set `layer:` to the layer that has them.")
    columns = choose_columns(path, frame, given, legend)
    if not frame.geometry.intersects(box(*grid.boundingbox.bbox)).any():
        west, south, east, north = (round(float(v)) for v in frame.total_bounds)
        raise InputError(
            f"{path}: all {len(frame)} polygons lie outside the grid. They cover x {west} to {east} and y {south} "
            f"to {north}, the grid {extent_text(grid)}, in {crs_name(grid.crs)}: check the region, or the CRS that the file "
            "declares."
        )
    read = {"before": class_reader(legend), "after": class_reader(legend), "change": change_code}
    notes = list(read_layer.notes)
    burnt: dict[str, np.ndarray] = {}
    disagree = np.zeros(tuple(grid.shape), dtype=bool)
    for role in ("before", "after", "change"):
        values = [NOT_LABELLED] * len(frame)
        if role in columns:
            values = codes_of(frame[columns[role]].tolist(), read[role], f"{path}, column {columns[role]!r}")
            notes += note_alike(frame[columns[role]], f"{path}, column {columns[role]!r}")
        burnt[role], clash = burn_codes(frame, values, grid)
        disagree |= clash
    region, names = burn_regions(frame, columns.get("region"), grid)
    if "region" in columns:
        notes += note_alike(frame[columns["region"]], f"{path}, column {columns['region']!r}", kind="regions of their own")
    return replace(_check(burnt, disagree, region, names, source=str(path)), notes=tuple(notes))


def labels_from_rasters(grid: Grid, legend: Legend, values: Values, paths: Mapping[str, Path]) -> Labels:
    """Read labels from rasters of classes: one band of whole numbers, or colours in a palette or in three bands.

    Args:
        grid: Where the labels are needed; the rasters have the same pixels, and may cover a part of it or more.
        legend: The classes.
        values: Number in the raster, or colour `#rrggbb`, to a class (name or code), to `unchanged` / `changed` (or 0 / 1
            for the change raster), or to `not labelled` (or 255). The file's declared nodata, NaN, its mask and alpha 0 are
            not labelled anyway.
        paths: `before` and `after` (land use) and `change` (changed or unchanged), at least one.

    Raises:
        InputError: No raster is given, one cannot be read (as in `codes_from_raster`), no pixel is labelled or all have one
            class.
    """
    if not paths:
        raise InputError("No label raster is given: set `before`, `after` or `change`.")
    if legend.binary and set(paths) != {"change"}:
        raise InputError("The legend has no classes, so labels must be a change raster: set `change`, or add classes.")
    burnt = {role: np.full(tuple(grid.shape), NOT_LABELLED, dtype=np.uint8) for role in ("before", "after", "change")}
    for role, path in paths.items():
        reader = change_code if role == "change" else class_reader(legend)
        burnt[role] = codes_from_raster(path, grid, values, reader)
    nothing = np.zeros(tuple(grid.shape), dtype=bool)
    return _check(burnt, nothing, None, (), source=", ".join(str(p) for p in paths.values()))


def summary(labels: Labels, legend: Legend) -> LabelSummary:
    """Count the labelled pixels of each class, change and region."""
    both = (labels.before != NOT_LABELLED) & (labels.after != NOT_LABELLED)
    pairs = np.bincount(legend.change_lookup()[labels.before[both], labels.after[both]], minlength=256)
    known = labels.labelled
    return LabelSummary(
        labelled=int(known.sum()),
        contested=labels.contested,
        before={c.name: int((labels.before == c.code).sum()) for c in legend.classes},
        after={c.name: int((labels.after == c.code).sum()) for c in legend.classes},
        change={name: int((labels.change == code).sum()) for name, code in CHANGE_NAMES.items()},
        transitions={c.name: int(pairs[c.code]) for c in legend.changes if c.from_code and pairs[c.code]},
        notes=labels.notes,
        regions={
            name: int((known & (labels.region == k)).sum())
            for k, name in enumerate(labels.region_names)
            if labels.region is not None
        },
    )


def _check(
    burnt: Mapping[str, np.ndarray],
    disagree: np.ndarray,
    region: np.ndarray | None,
    names: tuple[str, ...],
    source: str,
) -> Labels:
    """Return labels with change derived and contested pixels taken out; refuse those that teach nothing."""
    before, after, change = (burnt[role].copy() for role in ("before", "after", "change"))
    both = (before != NOT_LABELLED) & (after != NOT_LABELLED)
    derived = np.where(both, before != after, NOT_LABELLED).astype(np.uint8)
    disagree = disagree | (both & (change != NOT_LABELLED) & (change != derived))
    change = np.where(both, derived, change).astype(np.uint8)
    for layer in (before, after, change):
        layer[disagree] = NOT_LABELLED
    contested = int(disagree.sum())
    if contested:
        warnings.warn(
            f"{source}: labels disagree on {contested} pixels, which count as not labelled; mend them to use them.",
            stacklevel=3,
        )
    labels = Labels(before, after, change, region, region_names=names, contested=contested)
    if not labels.labelled.any():
        raise InputError(
            f"{source}: no pixel of the grid is labelled"
            + (f" ({contested} are contested)." if contested else ".")
            + " Polygons smaller than a pixel, or without a class, label nothing: check the values and the pixel size."
        )
    land_use = np.setdiff1d(np.union1d(before, after), [NOT_LABELLED])
    if len(land_use) < 2 and len(np.setdiff1d(change, [NOT_LABELLED])) < 2:
        raise InputError(
            f"{source}: all {int(labels.labelled.sum())} labelled pixels have one class, which teaches nothing: "
            "label at least two classes, or both changed and unchanged places."
        )
    return labels
