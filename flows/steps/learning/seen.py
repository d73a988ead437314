"""Where the labels lay that a model learnt from and was tested on, kept beside the model."""

from pathlib import Path

import numpy as np
from scipy.ndimage import maximum_filter

from landshift.flows.steps.learning.labelling import read_masks
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid, differences
from landshift.pipeline.labels.search import TEST, TRAIN, VALIDATION
from landshift.pipeline.labels.values import read_values
from landshift.pipeline.manifest import file_hash
from landshift.pipeline.raster.read import inspect, read_raster
from landshift.pipeline.raster.write import write_raster
from landshift.pipeline.releases import read_journal
from landshift.pipeline.vector.columns import LEARNT, TESTED

_DESCRIPTION = "model.json"
SEEN = "seen.tif"
"""Beside a model: `LEARNT` where it was trained or validated, `TESTED` where it was tested, 0 elsewhere."""


def write_seen(ws: Workspace, grid: Grid, folder: Path) -> Path:
    """Write down, beside a model that was just trained, on which pixels it was trained, validated or tested."""
    role = read_masks(ws).role
    seen = np.where(np.isin(role, (TRAIN, VALIDATION)), LEARNT, np.where(role == TEST, TESTED, 0)).astype(np.uint8)
    return write_raster(folder / SEEN, seen, grid)


def read_seen(folder: Path, grid: Grid) -> np.ndarray | None:
    """Return bool (y, x): where a model was trained or validated; None where its folder does not hold that."""
    path = folder / SEEN
    if not path.is_file():
        return None
    if not differences(inspect(path).grid, grid):
        return np.asarray(read_raster(path)[0] == LEARNT)
    try:
        moved = read_values(path, grid)
    except InputError:  # the territories do not meet
        return np.zeros(tuple(grid.shape), dtype=bool)
    # Another grid may lie half a pixel beside it.
    return near(moved.filled(0) == LEARNT, 1)


def read_uses(folder: Path, grid: Grid) -> np.ndarray | None:
    """Return uint8 (y, x), `LEARNT` or `TESTED` where labels lay; None where a model's folder holds none of this very grid."""
    path = folder / SEEN
    if not path.is_file() or differences(inspect(path).grid, grid):
        return None
    return np.asarray(read_raster(path)[0])


def folder_of_uses(ws: Workspace) -> Path:
    """Return the folder beside whose weights the labels of the model in use are kept: its release, else its own."""
    model = ws.model_in_use
    description = model / _DESCRIPTION
    if (model / SEEN).is_file() or not description.is_file():
        return model
    release = read_journal(ws.releases).release_of(file_hash(description))
    return model if release is None else ws.releases / str(release.folder)


def near(mask: np.ndarray, distance: int) -> np.ndarray:
    """Return bool (y, x): where a mask is true, and so many pixels around."""
    return np.asarray(maximum_filter(mask.astype(np.uint8), size=2 * distance + 1, mode="constant") == 1)
