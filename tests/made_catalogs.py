"""Items as known catalogs describe them, of small files with one number a band.

Fields are those of Planetary Computer, Earth Search, USGS LandsatLook, LP DAAC (HLS) and Copernicus Data Space, as their items
had them in 2022 to 2026: keys, names, common names, wavelengths, projections, offsets, alternates and storage.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine

from landshift.pipeline.grid import Grid, grid_of
from landshift.pipeline.raster.write import write_raster

CRS = "EPSG:32651"
GRID = grid_of(Affine(30, 0, 300_015, 0, -30, 3_600_015), (32, 32), CRS)
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


def write_band(path: Path, number: int, nodata: float | None, *, kind: str = "uint16", clouded: int | None = None) -> str:
    """Write a file of one number, and another one at the clouded pixel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.full((1, *GRID.shape), number, dtype=kind)
    if clouded is not None:
        values[(0, *CLOUDED)] = clouded
    write_raster(path, values, GRID, nodata=nodata)
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


def hls(folder: Path, half: str, day: str, *, collection: str = "") -> Json:
    """Make a scene of HLS 2.0 as LP DAAC and Planetary Computer describe it: of its grid, only the EPSG code is told."""
    platform, instrument, bands = HLS[half]
    name = f"HLS.{half}.T51SUR.{day}T023018.v2.0"
    assets: dict[str, Json] = {}
    for key, common, wavelength in bands:
        seen = SEEN[_HLS_SEEN.get(f"{half} {key}", common)]
        file = write_band(folder / f"{name}.{key}.tif", round(seen * 1e4), -9999, kind="int16")
        band = {"name": key, "center_wavelength": wavelength} | ({"common_name": common} if common else {})
        assets[key] = {"href": file, "type": COG, "roles": ["data"], "eo:bands": [band]}
    file = write_band(folder / f"{name}.Fmask.tif", 64, 255, kind="uint8", clouded=66)
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


def feature_collection(items: Sequence[Json]) -> Json:
    """Return a list of items, as a static catalog may be."""
    return {"type": "FeatureCollection", "features": list(items)}
