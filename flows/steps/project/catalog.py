"""Scenes from the STAC catalog that a config names."""

from pathlib import Path

from landshift.flows.config.scenes import StacConfig
from landshift.flows.steps.project.masks import mask_bands
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import grid_from_bounds
from landshift.pipeline.raster.place import is_remote
from landshift.pipeline.raster.servers.access import Access
from landshift.pipeline.scenes.sensors import Sensor
from landshift.pipeline.scenes.stac.documents import CatalogLimits, Documents
from landshift.pipeline.scenes.stac.scenes import Reading, findings_of, signer
from landshift.pipeline.scenes.stac.search import Query, box_of, read_catalog, search_api
from landshift.pipeline.scenes.survey import Finding


def find_in_catalog(ws: Workspace, config: StacConfig, sensor: Sensor) -> list[Finding]:
    """Search the catalog for the project's region and epochs.

    Returns:
        A finding for each item, with what is wrong with it.

    Raises:
        InputError: The catalog cannot be read at all.
    """
    project = ws.project
    if project.grid is None:
        raise InputError("`scenes: stac:` needs `grid:`, the region to search.")
    grid = grid_from_bounds(project.grid.bounds, project.grid.crs, project.grid.pixel_size)
    # A cloud model may want bands that the images do not; where all are read, it finds them among those.
    bands = (*project.bands, *(b for b in mask_bands(project) if b not in project.bands)) if project.bands else ()
    ranges = [(epoch.start, epoch.end) for _, epoch in project.dates.ranges]
    access = Access(config.hosts, config.credentials)
    how = Reading(
        sensor, grid, ranges, lambda path, name: ws.input(path, name), bands=bands, assets=config.assets,
        max_cloud_cover=config.max_cloud_cover,
        leave_out=config.leave_out, declared_offset=project.sensor.number_offset, sign=signer(config.sign),
        alternate=config.alternate, season=project.dates.part_of_year, access=access,
    )  # fmt: skip
    query = Query(box_of(grid), ranges, config.collections, config.query, most=config.max_items)
    place = str(config.url or config.catalog)
    if config.url is None and not is_remote(place):
        place = str(ws.input(Path(place), "scenes: stac: catalog"))
    limits = CatalogLimits(config.max_documents, config.timeout_s)
    with Documents(place, lambda path: ws.input(path, "scenes: stac: catalog"), access, limits) as documents:
        items = (read_catalog if config.url is None else search_api)(place, query, documents)
    return findings_of(items, how)
