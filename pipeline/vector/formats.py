"""Vector files that GDAL may open: of four formats, none of which can point to another file or to the network."""

import json
import shlex
from pathlib import Path
from typing import Any

from pyogrio.errors import CRSError, DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError
from pyproj.exceptions import ProjError
from shapely.errors import ShapelyError

from landshift.pipeline.errors import InputError
from landshift.pipeline.manifest import file_hash, value_hash

FORMATS = "GeoPackage, FlatGeobuf, Shapefile or GeoJSON"
"""What is accepted as input."""
UNREADABLE = (
    DataSourceError, DataLayerError, FeatureError, FieldError, GeometryError, CRSError, ProjError, ShapelyError, UnicodeError,
)  # fmt: skip
"""What the libraries raise on a damaged file."""

_MAGIC = {b"SQLi": "GPKG", b"fgb\x03": "FlatGeobuf", b"\0\0\x27\x0a": "ESRI Shapefile"}
_SQLITE = b"SQLite format 3\0"
_APPLICATION_ID = slice(68, 72)
_GEOPACKAGES = (b"GPKG", b"GP10", b"GP11")
"""SQLite's application ids of GeoPackage 1.2 and later, 1.0 and 1.1; other SQLite databases go to other drivers."""
_BOM = b"\xef\xbb\xbf"
_MAX_GEOJSON = 2**29
"""Bytes; the file is parsed whole, in memory."""
_SIDECARS = (".shx", ".dbf", ".prj", ".cpg", ".qpj", ".qix", ".sbn", ".sbx", ".idm", ".ind")
_CONTENT = (".dbf", ".prj", ".cpg")
"""Of the files of a Shapefile: attributes, CRS and encoding; the others are indices, which programs write anew."""
_SHAPE_HEADER, _SHAPE_WORDS = 100, slice(24, 28)
"""Bytes of a .shp's header, and those that hold its length in words of 16 bits."""
_TYPES = ("FeatureCollection", "Feature")
_CRS_TYPES = ("name", "EPSG")
"""Of GeoJSON's `crs`; the others, `link` and `url`, make GDAL fetch it from the network."""


def vector_source(path: Path) -> str:
    """Look at the first bytes of a vector file, whatever its name, and return what to hand to GDAL.

    GDAL tries a hundred drivers; some run commands, fetch addresses or read whatever file a few lines of text name.

    Raises:
        InputError: The file is missing, or is not of one of the accepted formats.
    """
    if not path.exists():
        raise InputError(f"{path} is not there; expected a vector file such as .gpkg, .shp, .geojson or .fgb.")
    # An absolute path cannot be taken for a driver's prefix such as `WFS:`.
    source = path.resolve()
    if path.is_file() and not path.stat().st_size:
        raise InputError(f"{path} is empty; expected one file, {FORMATS}. Copy or save it again.")
    driver = _driver_of(path)
    if driver is None or "!" in str(source) or source.suffix.lower() in (".zip", ".tar", ".gz", ".tgz", ".kmz"):
        raise InputError(
            f"{path} is not accepted: expected one file, {FORMATS}. Other formats, folders and archives can point to "
            f"further files; convert it once with `ogr2ogr -f GPKG NEW.gpkg {path.name}`."
        )
    if driver == "ESRI Shapefile":
        _require_own_sidecars(path, source)
        _require_whole_shapefile(path)
    if driver == "GeoJSON":
        _require_plain_geojson(path)
        return f"GeoJSON:{source}"
    return str(source)


def _driver_of(path: Path) -> str | None:
    """Return GDAL's driver for what the file begins with, None where it is not accepted."""
    if not path.is_file():
        return None
    try:
        with path.open("rb") as stream:
            head = stream.read(100)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error}); check its permissions, or copy it again.") from error
    driver = _MAGIC.get(head[:4])
    if driver == "GPKG" and not (head.startswith(_SQLITE) and head[_APPLICATION_ID] in _GEOPACKAGES):
        return None
    return "GeoJSON" if head.removeprefix(_BOM).lstrip().startswith(b"{") else driver


def new_beside(path: Path) -> str:
    """Write a new GeoPackage and the file that it is made of, as `ogr2ogr` takes them."""
    return f"{shlex.quote(str(path.with_name(f'{path.stem}_new.gpkg')))} {shlex.quote(str(path))}"


def layer_hash(path: Path) -> str:
    """Hash a vector file with all that is read from it; of a Shapefile, classes and names are in the files beside it."""
    if path.suffix.lower() != ".shp":
        return file_hash(path)
    parts = [path, *(file for file in _sidecars(path) if file.suffix.lower() in _CONTENT)]
    return value_hash({file.suffix.lower(): file_hash(file) for file in parts if file.is_file()})


def _sidecars(source: Path) -> list[Path]:
    """List the files of a Shapefile beside its first one."""
    return [file for file in source.parent.iterdir() if file.stem == source.stem and file.suffix.lower() in _SIDECARS]


def _require_own_sidecars(path: Path, source: Path) -> None:
    """Refuse a Shapefile whose further files are links to elsewhere."""
    for file in _sidecars(source):
        if file.resolve().parent != source.parent:
            raise InputError(
                f"{path}: its {file.suffix} is a link to another folder; put all files of the Shapefile into one folder."
            )


def _require_whole_shapefile(path: Path) -> None:
    """Refuse a Shapefile that is shorter than it states: GDAL reads the features behind its end as empty."""
    with path.open("rb") as stream:
        head = stream.read(_SHAPE_HEADER)
    expected, found = int.from_bytes(head[_SHAPE_WORDS], "big") * 2, path.stat().st_size
    if found < expected:
        raise InputError(f"{path} is damaged: it has {found:,} of its {expected:,} bytes. Export or copy it again.")


def _require_plain_geojson(path: Path) -> None:
    """Refuse JSON that is no GeoJSON for every reader, and a CRS that lies on the network."""
    if path.stat().st_size > _MAX_GEOJSON:
        raise InputError(
            f"{path} is larger than {_MAX_GEOJSON // 2**20} MiB, too large for GeoJSON; convert it once with "
            f"`ogr2ogr -f GPKG NEW.gpkg {path.name}`."
        )
    try:
        with path.open(encoding="utf-8-sig") as stream:
            content = json.load(stream, object_pairs_hook=_members)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (ValueError, RecursionError, MemoryError, OSError) as error:
        raise InputError(f"{path} is not readable GeoJSON ({error}); export or copy it again.") from error
    kind = content.get("type") if isinstance(content, dict) else None
    if kind not in _TYPES:
        raise InputError(
            f"{path} is JSON, but no GeoJSON: its `type` is {str(kind)[:40]!r}, expected {' or '.join(_TYPES)}. Convert it "
            f"once with `ogr2ogr -f GPKG NEW.gpkg {path.name}`."
        )


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise InputError("a member of its JSON is there twice, which programs read differently; export it again.")
    crs = members.get("crs")
    if isinstance(crs, dict) and crs.get("type") not in _CRS_TYPES:
        raise InputError(
            f"its `crs` is of type {str(crs.get('type'))[:40]!r}, which lies elsewhere; expected {' or '.join(_CRS_TYPES)}."
        )
    return members
