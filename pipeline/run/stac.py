"""STAC: a run as an item in a collection, for catalogs. https://github.com/radiantearth/stac-spec (1.1.0)."""

import mimetypes
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path

import numpy as np
import pystac
import shapely.affinity
from affine import Affine
from pyproj import CRS, Transformer

from landshift.pipeline.change.second_opinion import ENTRIES
from landshift.pipeline.drawing.symbols import land_use_entries, occurring
from landshift.pipeline.legend import NOT_OBSERVED, UNCHANGED, Change, LandUse, Legend
from landshift.pipeline.manifest import file_hash, write_json
from landshift.pipeline.raster.read import RasterInfo, inspect
from landshift.pipeline.records import Json
from landshift.pipeline.run.record import RunRecord
from landshift.pipeline.run_files import CHANGE_MAP, COLLECTION, DISAGREEMENT, IMAGES, ITEM, LAND_USE, RUN_MANIFEST, list_files
from landshift.pipeline.vector.columns import UNCALIBRATED

CLASSIFICATION = "https://stac-extensions.github.io/classification/v1.1.0/schema.json"
FILE = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
PROCESSING = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"
PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
RASTER = "https://stac-extensions.github.io/raster/v2.0.0/schema.json"

_COG = "image/tiff; application=geotiff; profile=cloud-optimized"
_MEDIA_TYPES = {
    ".tif": _COG, ".gpkg": "application/geopackage+sqlite3", ".fgb": "application/vnd.flatgeobuf",
    ".parquet": "application/vnd.apache.parquet", ".qgz": "application/x-qgis-project+zip", ".qml": "application/x-qgis+xml",
    ".sld": "application/vnd.ogc.sld+xml", ".lyrx": "application/json", ".xml": "application/xml", ".json": "application/json",
    ".html": "text/html", ".shp": "application/vnd.shp", ".shx": "application/vnd.shx", ".dbf": "application/vnd.dbf",
    ".prj": "text/plain", ".cpg": "text/plain",
    ".csv": "text/csv", ".md": "text/markdown", ".safetensors": "application/vnd.safetensors",
}  # fmt: skip
_ROLES = {
    ".tif": "data",
    ".gpkg": "data",
    ".fgb": "data",
    ".parquet": "data",
    ".shp": "data",
    ".csv": "data",
    ".html": "overview",
}
_SHA256 = "1220"
"""Multihash prefix: SHA-256, of 32 bytes. https://multiformats.io/multihash/"""
_STEPS = 32
"""Parts of each side of a footprint: its straight sides are bent in geographic coordinates."""
_DECIMALS = 7
_BIASED = (
    "Hectares are counted from mapped pixels, which is biased; where a sample was judged, estimates.json has the estimates."
)


def write_stac(folder: Path, run: RunRecord, known: Mapping[str, str] | None = None) -> list[Path]:
    """Write `item.json` and `collection.json` of a run; all links and assets in them are relative.

    Args:
        folder: Of the run, with all its other files.
        run: What describes it.
        known: Hashes of some of the files, by name, as `file_hash` returned them.

    Returns:
        Both files.
    """
    info = inspect(folder / CHANGE_MAP)
    ring = footprint(info.transform, info.shape, info.crs)
    start, end = days_between(run.before_date, run.after_date)
    title = f"Land-use change in {run.name}, {run.before_date} to {run.after_date}"
    item = pystac.Item(
        id=f"{run.name}-{run.key}", geometry=shapely.geometry.mapping(ring), bbox=bounding_box(ring), datetime=None,
        start_datetime=start, end_datetime=end, collection=run.name,
        stac_extensions=[CLASSIFICATION, FILE, PROCESSING, PROJECTION, RASTER],
        properties={
            "title": title, "description": f"{run.notice} {title}. {_BIASED}".strip(),
            "created": _utc(run.created),
            **_projection(info), **_properties(run),
        },
    )  # fmt: skip
    entries = _entries(run)
    for path in filter(_is_published, list_files(folder)):
        name = path.relative_to(folder).as_posix()
        if name in (ITEM, COLLECTION, RUN_MANIFEST):
            continue
        fields = file_fields(path, (known or {}).get(name))
        item.add_asset(_asset_key(path.name), _asset(path, name, run, entries, fields=fields))
    item.links = [_link(rel, COLLECTION) for rel in (pystac.RelType.ROOT, pystac.RelType.COLLECTION, pystac.RelType.PARENT)]
    extent = pystac.Extent(pystac.SpatialExtent([bounding_box(ring)]), pystac.TemporalExtent([[start, end]]))
    collection = pystac.Collection(
        id=run.name, title=f"Land-use change in {run.name}", extent=extent, license="other",
        description=f"Change maps of {run.name}, made by Landshift. {_BIASED} The licence is that of the images and labels "
        f"that they were made from.",
        keywords=["land use", "change detection"], stac_extensions=[CLASSIFICATION, RASTER],
        summaries=pystac.Summaries({"landshift:run": [run.key]}),
    )  # fmt: skip
    collection.item_assets = {
        name: pystac.ItemAssetDefinition(_drop_own(asset.to_dict())) for name, asset in sorted(item.assets.items())
    }
    collection.links = [_link(pystac.RelType.ROOT, COLLECTION), _link(pystac.RelType.ITEM, ITEM, "application/geo+json")]
    return [
        write_json(folder / ITEM, item.to_dict(include_self_link=False, transform_hrefs=False)),
        write_json(folder / COLLECTION, collection.to_dict(include_self_link=False, transform_hrefs=False)),
    ]


def footprint(transform: Affine, shape: tuple[int, int], crs: str | None) -> shapely.Polygon | shapely.MultiPolygon:
    """Return the outline of a raster in geographic coordinates.

    Args:
        transform: Pixel (column, row) to CRS coordinates, north-up.
        shape: Rows and columns.
        crs: As well-known text.

    Returns:
        WGS 84, longitude first, degrees; in two parts where it crosses the antimeridian (RFC 7946, section 3.1.9).
    """
    height, width = shape
    t = transform
    box = shapely.box(t.c, t.f + height * t.e, t.c + width * t.a, t.f)
    ring = shapely.get_coordinates(shapely.segmentize(box, max(height * abs(t.e), width * t.a) / _STEPS))
    longitude, latitude = Transformer.from_crs(CRS.from_user_input(crs), 4326, always_xy=True).transform(*ring.T)
    # Without jumps from 180 to -180 first, or the outline would go around the Earth the other way.
    whole = shapely.Polygon(np.round(np.column_stack([np.unwrap(longitude, period=360), latitude]), _DECIMALS))
    turns = range(int((whole.bounds[0] + 180) // 360), int(-((180 - whole.bounds[2]) // 360)) + 1)
    parts = [
        shapely.affinity.translate(whole & shapely.box(360 * turn - 180, -90, 360 * turn + 180, 90), -360 * turn)
        for turn in turns
    ]
    found = [shapely.orient_polygons(part) for part in parts if part.area > 0]
    return found[0] if len(found) == 1 else shapely.MultiPolygon(found)


def bounding_box(outline: shapely.Polygon | shapely.MultiPolygon) -> list[float]:
    """Return west, south, east, north of a footprint; west is the larger number where it crosses the antimeridian."""
    west, south, east, north = outline.bounds
    if outline.geom_type == "MultiPolygon":
        west = max(part.bounds[0] for part in outline.geoms)
        east = min(part.bounds[2] for part in outline.geoms)
    return [west, south, east, north]


def days_between(before: date, after: date) -> tuple[datetime, datetime]:
    """Return the first moment of the day before and the last second of the day after, UTC."""
    return datetime.combine(before, time(), UTC), datetime.combine(after, time(23, 59, 59), UTC)


def file_fields(path: Path, digest: str | None = None) -> Json:
    """Return size and checksum of a file as the file extension wants them; `digest` is its hash where that is known."""
    return {"file:size": path.stat().st_size, "file:checksum": _SHA256 + (digest or file_hash(path)).removeprefix("sha256:")}


def media_type(path: Path) -> str:
    """Return the media type of a file that we write."""
    return _MEDIA_TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"


def slug(name: str, code: int) -> str:
    """Return a name as the classification extension allows it: letters, digits, dashes and underscores of ASCII.

    Examples:
        >>> slug("Forest to Cropland", 2), slug("غابة", 7)
        ('forest-to-cropland-2', 'class-7')
    """
    plain = re.sub(r"[^0-9a-z]+", "-", name.casefold()).strip("-")
    return f"{plain or 'class'}-{code}"


def _is_published(path: Path) -> bool:
    # Programs that look at the folder leave journals and backups there, and people their notes.
    return path.suffix in _MEDIA_TYPES


def _asset_key(name: str) -> str:
    """Name an asset after its file: `change` for change.tif, `change_qml` for what lies beside it."""
    stem, _, suffix = name.partition(".")
    return stem if suffix in ("tif", "gpkg", "html", "qgz") else f"{stem}_{suffix.replace('.', '_')}"


def _asset(
    path: Path, name: str, run: RunRecord, entries: Mapping[str, Sequence[Change | LandUse]], *, fields: Json
) -> pystac.Asset:  # fmt: skip
    if path.suffix == ".tif":
        info = inspect(path)
        fields |= {"bands": _bands(info)}
        if info.shape != (run.grid.rows, run.grid.columns):
            fields |= {k: v for k, v in _projection(info).items() if k in ("proj:shape", "proj:transform")}
    if name in entries:
        fields["classification:classes"] = [_class(entry) for entry in entries[name]]
    role = "style" if path.suffix in (".qml", ".sld", ".lyrx") else _ROLES.get(path.suffix, "metadata")
    roles = ["visual"] if name in IMAGES.values() else [role]
    text = run.files.get(name)
    return pystac.Asset(_href(name), title=path.name, description=text, media_type=media_type(path), roles=roles,
                        extra_fields=fields)  # fmt: skip


def _drop_own(asset: Json) -> Json:
    """Leave out of an asset what belongs to one run."""
    own = ("href", "file:size", "file:checksum", "proj:shape", "proj:transform")
    kept = {key: value for key, value in asset.items() if key not in own}
    if "bands" in kept:
        kept["bands"] = [{k: v for k, v in band.items() if k != "statistics"} for band in kept["bands"]]
    return kept


def _bands(info: RasterInfo) -> list[Json]:
    bands = []
    columns = (info.descriptions, info.dtypes, info.units, info.scales, info.offsets, info.statistics)
    for number, (name, dtype, unit, scale, offset, statistics) in enumerate(zip(*columns, strict=True), start=1):
        band: Json = {"name": name or f"band {number}", "data_type": dtype}
        if info.nodata is not None:
            band["nodata"] = "nan" if np.isnan(info.nodata) else info.nodata
        if unit:
            band["unit"] = unit
        if statistics:
            band["statistics"] = statistics
        if (scale, offset) != (1.0, 0.0):
            band |= {"raster:scale": scale, "raster:offset": offset}
        bands.append(band)
    return bands


def _entries(run: RunRecord) -> dict[str, Sequence[Change | LandUse]]:
    """Return the values that each map of codes can show."""
    legend = Legend(run.legend)
    changes = occurring(legend.changes, [NOT_OBSERVED, UNCHANGED, *(row.code for row in run.areas.changes)])
    found: dict[str, Sequence[Change | LandUse]] = {CHANGE_MAP: changes, DISAGREEMENT: ENTRIES}
    if not legend.binary:
        found |= {file: land_use_entries(legend) for file in LAND_USE.values()}
    return found


def _class(entry: Change | LandUse) -> Json:
    return {
        "value": entry.code, "name": slug(entry.name, entry.code), "title": entry.name, "description": entry.name,
        "color_hint": entry.colour.removeprefix("#").upper(), **({"nodata": True} if entry.code == NOT_OBSERVED else {}),
    }  # fmt: skip


def _projection(info: RasterInfo) -> Json:
    crs = CRS.from_user_input(info.crs)
    authority = crs.to_authority()
    return {
        "proj:code": ":".join(authority) if authority else None,
        # PROJJSON would need a further schema to be validated.
        **({} if authority else {"proj:wkt2": crs.to_wkt()}),
        "proj:shape": list(info.shape),
        "proj:transform": list(info.transform[:6]),
    }  # fmt: skip


def _properties(run: RunRecord) -> Json:
    names = ("total_ha", "changed_ha", "unchanged_ha", "not_observed_ha")
    return {
        "processing:software": run.versions,
        "processing:lineage": f"Mapped by {_mapper(run)} from images of {run.before_date} and {run.after_date}; inputs with "
        f"hashes are in run.json.",
        "processing:datetime": _utc(run.created),
        "landshift:run": run.key,
        "landshift:areas_method": run.areas.method,
        "landshift:calibration_error": run.calibration.here,
        "landshift:probabilities": "calibrated" if run.calibration.is_known else UNCALIBRATED,
        **{f"landshift:{n}": getattr(run.areas, n) for n in names},
    }  # fmt: skip


def _mapper(run: RunRecord) -> str:
    """Return what mapped the changes, in words."""
    if run.model is None:
        return f"{run.mapper}, without a model or labels,"
    return f"model {run.model.name} (encoder {run.model.encoder}, weights {run.model.weights})"


def _utc(text: str) -> str:
    return pystac.utils.datetime_to_str(datetime.fromisoformat(text).astimezone(UTC))


def _href(name: str) -> str:
    """Return the way from the documents to a file of the run, which is named relative to its folder."""
    beside = Path(ITEM).parent.as_posix()
    return f"./{Path(name).name}" if name.startswith(f"{beside}/") else f"../{name}"


def _link(relation: str, target: str, kind: str = "application/json") -> pystac.Link:
    return pystac.Link(relation, _href(target), media_type=kind)
