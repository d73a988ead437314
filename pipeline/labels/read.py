"""Labels of the land use of pixels, from polygons or rasters, checked before training."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid
from landshift.pipeline.labels.polygons import CODES, LabelColumns, LabelPolygons, read_label_polygons
from landshift.pipeline.labels.rasters import Values, codes_from_raster
from landshift.pipeline.labels.values import CHANGE_NAMES, burn_codes, burn_regions, change_code, class_reader
from landshift.pipeline.legend import NOT_LABELLED, Legend
from landshift.pipeline.vector.read import StatedLayer


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
    columns = LabelColumns(before_column, after_column, change_column, region_column)
    return burn_polygons(read_label_polygons({path: NOT_LABELLED}, grid, legend, columns, stated=stated), grid)


def burn_polygons(polygons: LabelPolygons, grid: Grid) -> Labels:
    """Burn polygons with codes onto a grid.

    Raises:
        InputError: No pixel is labelled, or all have one class.
    """
    frame, disagree = polygons.frame, np.zeros(tuple(grid.shape), dtype=bool)
    burnt: dict[str, np.ndarray] = {}
    for role in CODES:
        burnt[role], clash = burn_codes(frame, frame[role].tolist(), grid)
        disagree |= clash
    region, names = burn_regions(frame, "region" if polygons.has_regions else None, grid)
    return replace(_check(burnt, disagree, region, names, source=polygons.source), notes=polygons.notes)


def labels_from_rasters(grid: Grid, legend: Legend, values: Values, paths: Mapping[str, Path | Sequence[Path]]) -> Labels:
    """Read labels from rasters of classes: one band of whole numbers, or colours in a palette or in three bands.

    Args:
        grid: Where the labels are needed; the rasters have the same pixels, and may cover a part of it or more.
        legend: The classes.
        values: Number in the raster, or colour `#rrggbb`, to a class (name or code), to `unchanged` / `changed` (or 0 / 1
            for the change raster), or to `not labelled` (or 255). The file's declared nodata, NaN, its mask and alpha 0 are
            not labelled anyway.
        paths: `before` and `after` (land use) and `change` (changed or unchanged), at least one; each a file, or several that
            lie side by side. Where they overlap and disagree, nothing is labelled.

    Raises:
        InputError: No raster is given, one cannot be read (as in `codes_from_raster`), no pixel is labelled or all have one
            class.
    """
    if not paths:
        raise InputError("No label raster is given: set `before`, `after` or `change`.")
    if legend.binary and set(paths) != {"change"}:
        raise InputError("The legend has no classes, so labels must be a change raster: set `change`, or add classes.")
    burnt = {role: np.full(tuple(grid.shape), NOT_LABELLED, dtype=np.uint8) for role in CODES}
    disagree = np.zeros(tuple(grid.shape), dtype=bool)
    files = {role: (path,) if isinstance(path, Path) else tuple(path) for role, path in paths.items()}
    for role, parts in files.items():
        reader = change_code if role == "change" else class_reader(legend)
        for path in parts:
            found = codes_from_raster(path, grid, values, reader)
            here, known = found != NOT_LABELLED, burnt[role] != NOT_LABELLED
            disagree |= here & known & (found != burnt[role])
            burnt[role][here] = found[here]
    return _check(burnt, disagree, None, (), source=", ".join(str(p) for parts in files.values() for p in parts))


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


def require_both_kinds(labels: Labels) -> None:
    """Refuse labels to learn from whose pixels that are known to be changed or unchanged are all of one kind.

    Labels of one date alone have no such pixels, and pass.

    Raises:
        InputError: None of these pixels changed, or all did.
    """
    unchanged, changed = (int((labels.change == code).sum()) for code in CHANGE_NAMES.values())
    if bool(unchanged) == bool(changed):
        return
    kind, other = ("changed", "unchanged") if changed else ("unchanged", "changed")
    both = int(((labels.before != NOT_LABELLED) & (labels.after != NOT_LABELLED)).sum())
    raise InputError(
        f"Labels: of {unchanged + changed:,} pixels whose change is known ({both:,} by their classes at both dates), "
        f"{changed:,} changed and {unchanged:,} did not, so all are {kind} and what changes cannot be learnt. If the classes "
        f"of both dates come from one column or file, name that of each date (`before_column` and `after_column`, or `before` "
        f"and `after`); where only one date is known, leave the other one out; else label {other} places too."
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
