"""Targets: documents of STAC catalogs, as a folder holds them."""

import json
from pathlib import Path

from tests.fuzz.harness import Target
from tests.fuzz.mutators import JSON


def _write(folder: Path) -> list[Path]:
    from tests.made_catalogs import hls, landsat, sentinel_2

    items = [
        sentinel_2(folder, "planetary-computer", "2019-06-15", "05.09"),
        sentinel_2(folder, "earth-search", "2019-06-16", "05.09"),
        sentinel_2(folder, "copernicus", "2019-06-17", "05.09"),
        landsat(folder, "usgs", "landsat-8", "2019-06-18"),
        hls(folder, "S30", "2019169"),
    ]  # fmt: skip
    links = []
    for number, item in enumerate(items):
        (folder / f"item-{number}.json").write_text(json.dumps(item))
        links.append({"rel": "item", "href": f"item-{number}.json"})
    catalog = {"type": "Catalog", "id": "c", "stac_version": "1.0.0", "description": "d", "links": links}
    (folder / "catalog.json").write_text(json.dumps(catalog))
    (folder / "list.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return [folder / "catalog.json", folder / "list.json", *(folder / f"item-{n}.json" for n in range(len(items)))]


def _read(path: Path, seeds: Path) -> None:
    from datetime import date

    from landshift.pipeline.raster.servers.access import Access
    from landshift.pipeline.scenes.sensors import SENSORS
    from landshift.pipeline.scenes.stac.documents import CatalogLimits, Documents
    from landshift.pipeline.scenes.stac.scenes import Reading, findings_of
    from landshift.pipeline.scenes.stac.search import Query, box_of, read_catalog
    from tests.made_catalogs import GRID

    ranges = [(date(2019, 6, 1), date(2019, 6, 30))]
    with Documents(
        str(path), lambda asked: seeds / asked.name if asked.name != path.name else path, Access(), CatalogLimits()
    ) as documents:
        items = read_catalog(str(path), Query(box_of(GRID), ranges, most=50), documents)
    for sensor in (s for s in SENSORS if s.name in ("sentinel-2-l2a", "landsat-c2-l2", "hls")):
        how = Reading(sensor, GRID, ranges, lambda asked, _: seeds / asked.name, max_cloud_cover=50)
        for finding in findings_of(items, how):
            repr((finding, str(finding.day)))
            json.dumps(finding.name).encode()


TARGETS = (Target("stac", _write, _read, JSON, imports=("landshift.pipeline.scenes.stac.scenes", "tests.made_catalogs")),)
