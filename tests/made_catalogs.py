"""Items as known catalogs describe them, of small files with one number a band.

Fields are those of Planetary Computer, Earth Search, USGS LandsatLook, LP DAAC (HLS) and Copernicus Data Space, as their items
had them in 2022 to 2026: keys, names, common names, wavelengths, projections, offsets, alternates and storage.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from odc.geo.crs import CRS

from landshift.pipeline.grid import Grid, grid_of
from landshift.pipeline.raster.write import write_raster

EPSG = "EPSG:32651"
OPEN_DATUM = (
    'PROJCS["UTM Zone 51, Northern Hemisphere",GEOGCS["Unknown datum based upon the WGS 84 ellipsoid",'
    'DATUM["Not specified (based on WGS 84 spheroid)",SPHEROID["WGS 84",6378137,298.257223563,AUTHORITY["EPSG","7030"]]],'
    'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433,AUTHORITY["EPSG","9122"]]],PROJECTION["Transverse_Mercator"],'
    'PARAMETER["latitude_of_origin",0],PARAMETER["central_meridian",123],PARAMETER["scale_factor",0.9996],'
    'PARAMETER["false_easting",500000],PARAMETER["false_northing",0],UNIT["metre",1,AUTHORITY["EPSG","9001"]],'
    'AXIS["Easting",EAST],AXIS["Northing",NORTH]]'
)
"""As files of HLS have it."""
GRID = grid_of(Affine(30, 0, 300_015, 0, -30, 3_600_015), (32, 32), EPSG)
"""USGS puts corners on odd multiples of 15 m."""
SEEN = {"coastal": 0.04, "blue": 0.05, "green": 0.08, "red": 0.10, "nir": 0.30, "nir08": 0.31, "swir16": 0.20, "swir22": 0.15,
        "rededge071": 0.16, "rededge075": 0.24, "rededge078": 0.28, "cirrus": 0.01, "nir09": 0.29}  # fmt: skip
"""Reflectance by what a band sees, the same in every mission."""
CLOUDED = (3, 5)
"""Row and column of the one pixel that the quality band calls a cloud."""
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
GEOTIFF = "image/vnd.stac.geotiff; cloud-optimized=true"
JP2 = "image/jp2"

TM = [("1", "blue", 0.49), ("2", "green", 0.56), ("3", "red", 0.66), ("4", "nir08", 0.83), ("5", "swir16", 1.65),
      ("7", "swir22", 2.22)]  # fmt: skip
OLI = [("1", "coastal", 0.44), ("2", "blue", 0.48), ("3", "green", 0.56), ("4", "red", 0.65), ("5", "nir08", 0.86),
       ("6", "swir16", 1.6), ("7", "swir22", 2.2)]  # fmt: skip
LANDSATS = {
    "landsat-5": ("LT05", "TM", TM, ["tm"]), "landsat-7": ("LE07", "ETM", TM, ["etm"]),
    "landsat-8": ("LC08", "OLI", OLI, ["oli", "tirs"]), "landsat-9": ("LC09", "OLI", OLI, ["oli", "tirs"]),
}  # fmt: skip
"""Satellite to prefix, instrument as in names of bands, bands and instruments."""

Json = dict[str, Any]


def write_band(
    path: Path, number: int, nodata: float | None, *, kind: str = "uint16", clouded: int | None = None, grid: Grid = GRID
) -> str:
    """Write a file of one number, and another one at the clouded pixel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.full((1, *GRID.shape), number, dtype=kind)
    if clouded is not None:
        values[(0, *CLOUDED)] = clouded
    if path.suffix == ".jp2":
        profile = {"driver": "JP2OpenJPEG", "height": GRID.shape[0], "width": GRID.shape[1], "count": 1, "dtype": kind}
        with rasterio.open(path, "w", **profile, crs=EPSG, transform=GRID.transform, quality=100, reversible=True) as out:
            out.write(values)
    else:
        write_raster(path, values, grid, nodata=nodata)
    return path.name


def outline(grid: Grid = GRID) -> Json:
    """Return geometry and bbox of a grid."""
    extent = grid.geographic_extent
    return {"bbox": [float(v) for v in extent.boundingbox.bbox], "geometry": {"type": "Polygon", "coordinates": [
        [list(map(float, point[:2])) for point in extent.exterior.coords]
    ]}}  # fmt: skip


def item(name: str, collection: str, properties: Json, assets: Mapping[str, Json], grid: Grid = GRID) -> Json:
    """Return an item."""
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": collection, "links": [],
        "assets": dict(assets), "properties": properties, **outline(grid),
    }  # fmt: skip


def landsat(folder: Path, provider: str, satellite: str, day: str) -> Json:
    """Make a scene of Collection 2 Level 2 as a provider describes it, with its thermal band and its other masks."""
    prefix, instrument, bands, instruments = LANDSATS[satellite]
    compact = day.replace("-", "")
    product = f"{prefix}_L2SP_118038_{compact}_20200823_02_T1"
    short = f"{prefix}_L2SP_118038_{compact}_02_T1"
    names: dict[str, Callable[[str], str]] = {
        "planetary-computer": lambda n: f"{instrument}_B{n}",
        "earth-search": lambda n: f"SR_B{n}",
        "usgs": lambda n: f"B{n}",
    }
    usgs = provider == "usgs"
    assets: dict[str, Json] = {}
    for number, common, wavelength in bands:
        file = write_band(folder / f"{product}_SR_B{number}.TIF", round((SEEN[common] + 0.2) / 2.75e-5), 0)
        assets[common] = {
            "href": file, "type": GEOTIFF if usgs else COG, "roles": ["data", "reflectance"],
            "eo:bands": [{"name": names[provider](number), "common_name": common, "center_wavelength": wavelength}],
        }  # fmt: skip
        if not usgs:
            assets[common]["raster:bands"] = [{"nodata": 0, "data_type": "uint16", "scale": 2.75e-05, "offset": -0.2}]
    clear, cloud = 21824, 22280
    file = write_band(folder / f"{product}_QA_PIXEL.TIF", clear, 1, clouded=cloud)
    assets["qa_pixel"] = {"href": file, "type": GEOTIFF if usgs else COG, "roles": ["cloud", "cloud-shadow", "snow-ice"]}
    thermal = ("lwir11", "ST_B10", 10.9) if instrument == "OLI" else ("lwir", "ST_B6", 11.45)
    for key, suffix in (("qa", "ST_QA"), ("qa_radsat", "QA_RADSAT"), ("atmos_opacity", "SR_ATMOS_OPACITY"), thermal[:2]):
        assets[key] = {"href": f"{product}_{suffix}.TIF", "type": GEOTIFF if usgs else COG, "roles": ["data"]}
    assets[thermal[0]]["eo:bands"] = [{"name": thermal[1], "common_name": thermal[0], "center_wavelength": thermal[2]}]
    assets["mtl.json"] = {"href": f"{product}_MTL.json", "type": "application/json", "roles": ["metadata"]}
    properties = {
        "datetime": f"{day}T02:30:18.179094Z", "eo:cloud_cover": 3.0, "created": "2022-03-09T15:13:21.014734Z",
        "platform": satellite.upper().replace("-", "_") if usgs else satellite,
        "instruments": [i.upper() for i in instruments] if usgs else instruments,
        "landsat:wrs_path": "118", "landsat:wrs_row": "038", "landsat:correction": "L2SP", "proj:epsg": 32651,
        "proj:shape": list(GRID.shape), "proj:transform": list(GRID.transform)[:6],
    }  # fmt: skip
    return item(f"{product}_SR" if usgs else short, "landsat-c2l2-sr" if usgs else "landsat-c2-l2", properties, assets)


HLS = {
    "S30": ("sentinel-2a", "msi", [("B01", "coastal", 0.4439), ("B02", "blue", 0.4966), ("B03", "green", 0.56),
            ("B04", "red", 0.6645), ("B05", "", 0.7039), ("B06", "", 0.7402), ("B07", "", 0.7825), ("B08", "nir", 0.8351),
            ("B8A", "", 0.8648), ("B09", "", 0.945), ("B10", "cirrus", 1.3735), ("B11", "swir16", 1.6137),
            ("B12", "swir22", 2.22024)]),
    # The wavelengths of the first two are swapped in the real items.
    "L30": ("landsat-8", "oli", [("B01", "coastal", 0.48), ("B02", "blue", 0.44), ("B03", "green", 0.56), ("B04", "red", 0.65),
            ("B05", "nir", 0.86), ("B06", "swir16", 1.6), ("B07", "swir22", 2.2), ("B09", "cirrus", 1.37)]),
}  # fmt: skip
_HLS_SEEN = {"S30 B05": "rededge071", "S30 B06": "rededge075", "S30 B07": "rededge078", "S30 B8A": "nir08", "S30 B09": "nir09",
             "L30 B05": "nir08"}  # fmt: skip


_OPEN = Grid(GRID.shape, GRID.transform, CRS(OPEN_DATUM))


def hls(folder: Path, half: str, day: str, *, collection: str = "") -> Json:
    """Make a scene of HLS 2.0 as LP DAAC and Planetary Computer describe it: of its grid, only the EPSG code is told."""
    platform, instrument, bands = HLS[half]
    name = f"HLS.{half}.T51SUR.{day}T023018.v2.0"
    assets: dict[str, Json] = {}
    for key, common, wavelength in bands:
        seen = SEEN[_HLS_SEEN.get(f"{half} {key}", common)]
        file = write_band(folder / f"{name}.{key}.tif", round(seen * 1e4), -9999, kind="int16", grid=_OPEN)
        band = {"name": key, "center_wavelength": wavelength} | ({"common_name": common} if common else {})
        assets[key] = {"href": file, "type": COG, "roles": ["data"], "eo:bands": [band]}
    file = write_band(folder / f"{name}.Fmask.tif", 64, 255, kind="uint8", clouded=66, grid=_OPEN)
    assets["Fmask"] = {"href": file, "type": COG, "roles": ["data"], "eo:bands": [{"name": "Fmask"}]}
    for key in ("SZA", "VAA"):
        assets[key] = {"href": f"{name}.{key}.tif", "type": COG, "roles": ["data"], "eo:bands": [{"name": key}]}
    date = f"{day[:4]}-01-01"
    when = f"{np.datetime64(date) + np.timedelta64(int(day[4:]) - 1)}T02:30:18.179000Z"
    properties = {
        "datetime": when, "start_datetime": when, "end_datetime": when, "platform": platform, "instruments": [instrument],
        "eo:cloud_cover": 3.0, "proj:epsg": 32651,
    }  # fmt: skip
    return item(name, collection or f"hls2-{half.lower()}", properties, assets)


S2 = [("B01", "coastal", 0.443), ("B02", "blue", 0.49), ("B03", "green", 0.56), ("B04", "red", 0.665),
      ("B05", "rededge071", 0.704), ("B08", "nir", 0.842), ("B8A", "nir08", 0.865), ("B11", "swir16", 1.61),
      ("B12", "swir22", 2.19)]  # fmt: skip
_SCL, _CLOUD = 4, 9
_PLACE = {"proj:shape": list(GRID.shape), "proj:transform": list(GRID.transform)[:6]}
_TILE = "51SUR"


def sentinel_2(folder: Path, provider: str, day: str, baseline: str) -> Json:
    """Make a scene of Level 2A as a provider describes it; numbers have 1000 added where its files have."""
    added = 1000 if float(baseline) >= 4 and provider != "earth-search" else 0
    compact = day.replace("-", "")
    jp2 = provider == "copernicus"
    name = f"S2B_MSIL2A_{compact}T023551_N{baseline.replace('.', '')}_R089_T{_TILE}_{compact}T060000"
    assets: dict[str, Json] = {}
    for native, seen, wavelength in S2:
        number = round(SEEN[seen] * 1e4) + added
        asset: Json
        if jp2:
            key, asset = f"{native}_{'20m' if native in ('B05', 'B8A', 'B11', 'B12') else '10m'}", {
                "type": JP2, "roles": ["data", "reflectance", "sampling:original"], "nodata": 0, "data_type": "uint16",
                "bands": [{"name": native, "eo:common_name": seen.rstrip("0123456789"), "eo:center_wavelength": wavelength}],
                "raster:scale": 1e-4, "raster:offset": -0.1 if added else 0, "proj:code": EPSG,
            }  # fmt: skip
            path = folder / f"{name}.SAFE/GRANULE/L2A/IMG_DATA/R{key[4:]}/T{_TILE}_{compact}T023551_{key}.jp2"
        elif provider == "planetary-computer":
            key, path = native, folder / f"{name}.SAFE/T{_TILE}_{compact}T023551_{native}_10m.tif"
            asset = {"type": COG, "roles": ["data"], "eo:bands": [
                {"name": native, "common_name": seen if seen != "nir08" else "rededge", "center_wavelength": wavelength}
            ]}  # fmt: skip
        else:
            key = {"rededge071": "rededge1"}.get(seen, seen)
            path = folder / f"S2B_{_TILE}_{compact}_0_L2A/{native}.tif"
            asset = {
                "type": COG, "roles": ["data", "reflectance"], "eo:bands": [
                    {"name": key, "common_name": key.rstrip("1"), "center_wavelength": wavelength}
                ],
                # As the real items have it, also where the offset was taken off.
                "raster:bands": [{"nodata": 0, "scale": 1e-4, "offset": -0.1 if float(baseline) >= 4 else 0}],
            }  # fmt: skip
            assets[f"{key}-jp2"] = {"href": f"s3://sentinel-s2-l2a/{native}.jp2", "type": JP2, "roles": ["data", "reflectance"]}
        # The darkest pixel shows what was added.
        write_band(path, number, None if jp2 else 0, clouded=added + 60)
        assets[key] = {"href": str(path.relative_to(folder)), **_PLACE} | asset
    scl = {"copernicus": "SCL_20m", "planetary-computer": "SCL", "earth-search": "scl"}[provider]
    path = folder / f"{name}_SCL_20m.{'jp2' if jp2 else 'tif'}"
    write_band(path, _SCL, None if jp2 else 0, kind="uint8", clouded=_CLOUD)
    assets[scl] = {"href": path.name, "type": JP2 if jp2 else COG, "roles": ["data"], **_PLACE} | (
        {"proj:code": EPSG} if jp2 else {}
    )
    assets["visual" if not jp2 else "TCI_10m"] = {"href": "TCI.jp2", "type": JP2 if jp2 else COG, "roles": ["visual"]}
    properties: Json = {
        "datetime": f"{day}T02:35:51.024000Z", "platform": "Sentinel-2B" if provider == "planetary-computer" else "sentinel-2b",
        "instruments": ["msi"], "eo:cloud_cover": 3.0,
    }  # fmt: skip
    if jp2:
        properties |= {
            "start_datetime": f"{day}T02:35:51.024000Z", "end_datetime": f"{day}T02:35:51.024000Z",
            "grid:code": f"MGRS-{_TILE}", "processing:version": baseline, "updated": "2026-06-28T20:39:38.813921Z",
            "storage:schemes": {
                "creodias-s3": {"type": "custom-s3", "platform": "https://eodata.cloudferro.com", "requester_pays": True},
                "cdse-s3": {"type": "custom-s3", "platform": "https://eodata.dataspace.copernicus.eu", "requester_pays": False},
            },
        }  # fmt: skip
        for asset in assets.values():
            asset |= {
                "alternate:name": "S3", "storage:refs": ["creodias-s3", "cdse-s3"], "auth:refs": ["s3"],
                "alternate": {"https": {
                    "href": "https://download.dataspace.copernicus.eu/odata/v1/Products(1)/Nodes(a.jp2)/$value",
                    "alternate:name": "HTTPS", "auth:refs": ["oidc"], "storage:refs": [],
                }},
            }  # fmt: skip
        return item(name, "sentinel-2-l2a", properties, assets)
    properties |= {"proj:epsg": 32651, "s2:processing_baseline": baseline, "s2:mgrs_tile": _TILE}
    if provider == "earth-search":
        properties |= {"earthsearch:boa_offset_applied": float(baseline) >= 4, "updated": "2023-06-28T15:42:10.537Z",
                       "grid:code": f"MGRS-{_TILE}"}  # fmt: skip
        return item(f"S2B_{_TILE}_{compact}_0_L2A", "sentinel-2-l2a", properties, assets)
    return item(name.replace(f"_N{baseline.replace('.', '')}", ""), "sentinel-2-l2a", properties, assets)


def feature_collection(items: Sequence[Json]) -> Json:
    """Return a list of items, as a static catalog may be."""
    return {"type": "FeatureCollection", "features": list(items)}
