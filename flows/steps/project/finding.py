"""Find the scenes of a project, in its folder or its catalog, and look into those that are used."""

from collections.abc import Sequence

import numpy as np

from landshift.flows.config.project import Project
from landshift.flows.steps.project.masks import mask_bands
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid, grid_from_bounds, snap
from landshift.pipeline.raster.open import keeping_open
from landshift.pipeline.scenes.folder import FolderReading, scenes_in
from landshift.pipeline.scenes.look import require_as_declared, require_offset_fits, require_plausible
from landshift.pipeline.scenes.products.offsets import choose_declared
from landshift.pipeline.scenes.products.scenes import Declared
from landshift.pipeline.scenes.scene import Scene
from landshift.pipeline.scenes.sensors import Sensor
from landshift.pipeline.scenes.survey import Finding, finding_of, finding_of_fault, sum_up


def source_of(project: Project, left_out: int) -> str:
    """Return where the scenes come from, for errors."""
    place = "the folder" if project.scenes.stac is None else "the catalog"
    return place + (f", without {left_out} left out or faulty (`landshift scenes` lists why)," if left_out else "")


def region_of(project: Project, scenes: Sequence[Scene] = ()) -> Grid | None:
    """Return the grid that the config names, None where it names none.

    Args:
        project: The configuration.
        scenes: On whose pixels its edges are put, as far as they are known: a catalog is searched before they are.

    Raises:
        InputError: The CRS is not known or not projected, or the bounds hold nothing.
    """
    named = project.grid
    if named is None:
        return None
    grid = grid_from_bounds(named.bounds, named.crs, named.pixel_size)
    return snap(grid, named.bounds, [scene.grid for scene in scenes]) if named.snap else grid


def find_scenes(ws: Workspace, sensor: Sensor, *, tolerant: bool = False) -> list[Finding]:
    """Find the scenes in the folder or the catalog that the config names.

    Args:
        ws: The project.
        sensor: What the files hold.
        tolerant: Whether a fault of a scene becomes its finding, instead of an error.

    Returns:
        By date, then by name; without a date first.

    Raises:
        InputError: The folder cannot be read, or a scene not, unless tolerant.
    """
    section = ws.project.scenes
    if section.stac is not None:
        # A folder needs no client of catalogs, which takes a while to load.
        from landshift.flows.steps.project.catalog import find_in_catalog

        findings = find_in_catalog(ws, section.stac, sensor)
    else:
        findings = _find_in_folder(ws, sensor)
    findings.sort(key=lambda f: (str(f.day or ""), f.name))
    faults = [(f.name, f.fault) for f in findings if f.fault]
    if faults and not tolerant:
        raise InputError(sum_up(faults))
    return findings


def _find_in_folder(ws: Workspace, sensor: Sensor) -> list[Finding]:
    section = ws.project.scenes
    findings: list[Finding] = []
    reading = FolderReading(
        sensor, section.pattern, Declared(section.dates, ws.project.sensor.number_offset),
        allowed=lambda path: ws.input(path, "scenes: pattern"),
        refused=lambda name, error: findings.append(finding_of_fault(name, error)),
        left_out=lambda name, day, why: findings.append(Finding(name, left_out=why, day=day)),
    )  # fmt: skip
    scenes = scenes_in(ws.input(section.folder, "scenes: folder"), reading)
    return findings + [finding_of(scene) for scene in scenes]


def look_at(ws: Workspace, scene: Scene, bands: Sequence[str], grid: Grid) -> np.ndarray:
    """Look into the files of a scene that an epoch uses.

    Returns:
        float32 (band, pixel): what a few windows of it show.

    Raises:
        InputError: They are not what the config or the catalog declares.
    """
    if ws.project.scenes.stac is None:
        return require_plausible(scene, bands, grid)
    require_as_declared(scene, [*bands, *(b for b in mask_bands(ws.project) if b not in bands and b in scene.bands)])
    with keeping_open():
        values = require_plausible(scene, bands, grid)
        if choose_declared(scene.id, scene.date, ws.project.sensor.number_offset) is None:
            require_offset_fits(scene, bands, grid)
    return values
