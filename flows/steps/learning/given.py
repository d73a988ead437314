"""The files of labels, and the split that they come with: columns, folders, zones and tables."""

from pathlib import Path

import numpy as np

from landshift.flows.steps.project.plan import legend_of
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid
from landshift.pipeline.labels.given import (
    UNUSED,
    GivenRoles,
    read_role_table,
    read_zones,
    role_folders,
    role_reader,
    roles_of_polygons,
)
from landshift.pipeline.labels.polygons import LabelColumns, LabelPolygons, read_label_polygons
from landshift.pipeline.labels.rasters import codes_from_raster
from landshift.pipeline.labels.search import NO_ROLE
from landshift.pipeline.legend import NOT_LABELLED
from landshift.pipeline.manifest import file_hash, value_hash
from landshift.pipeline.raster.beside import mask_file
from landshift.pipeline.vector.formats import layer_hash
from landshift.pipeline.vector.read import StatedLayer

_VECTORS, _RASTERS, _TABLES = (
    (".gpkg", ".fgb", ".shp", ".geojson", ".json"),
    (".tif", ".tiff", ".jp2"),
    (".csv", ".txt", ".tsv"),
)


def label_files(ws: Workspace) -> dict[str, dict[Path, int]]:
    """Return the files that hold labels, each with the number of its role (255 = none), of `polygons`, or of `before`, ..."""
    labels = ws.project.labels
    if labels is None:
        return {}
    if labels.polygons is not None:
        return {"polygons": _files(ws, labels.polygons.path, "labels: polygons: path", _VECTORS)}
    paths = {role: getattr(labels.rasters, role, None) for role in ("before", "after", "change")}
    return {role: _files(ws, path, f"labels: rasters: {role}", _RASTERS) for role, path in paths.items() if path is not None}


def _files(ws: Workspace, path: Path, key: str, suffixes: tuple[str, ...]) -> dict[Path, int]:
    place = ws.input(path, key)
    if ws.project.split.by == "folder":
        return role_folders(place, suffixes)
    if place.is_dir():
        raise InputError(
            f"{key}: {place} is a folder; expected one file. If train, val and test folders with labels are in it, set "
            f"`split: by: folder`."
        )
    return {place: NO_ROLE}


def label_hashes(ws: Workspace) -> dict[str, str]:
    """Return the hash of each file that holds labels or their split."""
    files = {(kind, path): path for kind, parts in label_files(ws).items() for path in parts}
    split = ws.project.split
    if split.file is not None:
        place = ws.input(split.file, "split: file")
        files["split", place] = place
    several = len({kind for kind, _ in files}) < len(files)
    names = {key: f"{key[0]} {key[1].parent.name}/{key[1].name}" if several else key[0] for key in files}
    return {names[key]: _hash(path) for key, path in files.items() if path.is_file()}


def _hash(path: Path) -> str:
    """Hash a file with what is read beside it."""
    mask = mask_file(path)
    return layer_hash(path) if mask is None else value_hash([layer_hash(path), file_hash(mask)])


def read_polygons_of(ws: Workspace, grid: Grid) -> LabelPolygons:
    """Read the project's polygons, with the roles that they or a table give."""
    config, split = ws.project.labels, ws.project.split
    if config is None or config.polygons is None:
        raise InputError(f"`split: by: {split.by}` is about polygons, and `labels:` has none; use `by: file` with a raster.")
    polygons, reader, role = config.polygons, role_reader(split.roles), None
    if split.by == "column":
        role = split.column
    elif split.file is not None and split.file.suffix.lower() in _TABLES:
        role, table = read_role_table(ws.input(split.file, "split: file"), split.column, reader)

        def reader(value: str | int) -> int:
            return table.get(value, NO_ROLE)

    return read_label_polygons(
        label_files(ws)["polygons"], grid, legend_of(ws.project),
        LabelColumns(
            polygons.before_column, polygons.after_column, polygons.change_column, polygons.region_column,
            role=role, meanings=polygons.values,
        ),
        stated=StatedLayer(polygons.layer, polygons.encoding, polygons.crs, "labels: polygons"), read_role=reader,
    )  # fmt: skip


def give_roles(ws: Workspace, grid: Grid) -> GivenRoles:
    """Return the role of each pixel, from where the config states that a given split is.

    Raises:
        InputError: It cannot be read, or holds other words than roles.
    """
    split, labels = ws.project.split, ws.project.labels
    of_polygons = labels is not None and labels.polygons is not None
    if split.by == "column" or (split.by == "folder" and of_polygons) or _is_table(split.file):
        return roles_of_polygons(read_polygons_of(ws, grid).frame, grid, split.buffer_px)
    if split.by == "folder":
        return _roles_of_rasters(ws, grid)
    if split.file is None:
        raise InputError("`split: by: file` needs `file:`.")
    place, reader = ws.input(split.file, "split: file"), role_reader(split.roles)
    if place.suffix.lower() in _RASTERS:
        values = {key: "not labelled" if role == UNUSED else role for key, role in split.roles.items()}
        return GivenRoles(codes_from_raster(place, grid, values, role_reader({}), key="roles"))
    zones, notes = read_zones(place, grid, split.column, stated=StatedLayer(split.layer), read=reader)
    found = roles_of_polygons(zones, grid, 0, what="zones")
    return GivenRoles(found.role, (*notes, *found.notes))


def _is_table(file: Path | None) -> bool:
    return file is not None and file.suffix.lower() in _TABLES


def _roles_of_rasters(ws: Workspace, grid: Grid) -> GivenRoles:
    """Return the role of each pixel that a raster in a folder of that role labels; of several, the later one."""
    labels = ws.project.labels
    values = {} if labels is None or labels.rasters is None else labels.rasters.values
    out = np.full(tuple(grid.shape), NO_ROLE, dtype=np.uint8)
    shared = 0
    for parts in label_files(ws).values():
        for path, role in sorted(parts.items(), key=lambda entry: entry[1]):
            known = codes_from_raster(path, grid, values, lambda value: 0) != NOT_LABELLED
            shared += int((known & (out != NO_ROLE) & (out != role)).sum())
            out[known & ((out == NO_ROLE) | (out < role))] = role
    notes = (f"Labels of two roles overlap on {shared:,} pixels, which count for the later role only.",) if shared else ()
    return GivenRoles(out, notes)
