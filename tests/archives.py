"""Small copies of what archives deliver: the same landscape of known classes, in the names and numbers of each product."""

import shutil
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
from affine import Affine
from shapely.geometry import box

SIDE, BLOCK, PIXEL = 128, 16, 10.0
WEST, NORTH = 500_010.0, 5_200_050.0
"""Odd multiples of half a pixel of 30 m, as those of USGS."""
BANDS = ("blue", "green", "red", "nir", "swir16", "swir22")
SPECTRA = {"Forest": (0.03, 0.05, 0.03, 0.35, 0.18, 0.08), "Field": (0.06, 0.09, 0.10, 0.28, 0.30, 0.22),
           "Built": (0.12, 0.14, 0.16, 0.22, 0.27, 0.25)}  # fmt: skip


def land(*, after: bool) -> np.ndarray:
    """Return the class of each pixel as an index into `SPECTRA`: blocks, of which every fifth changes."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] // BLOCK
    kind = (x * 7 + y * 13 + x * y * 3) % 16
    before = np.select([kind < 7, kind < 12], [0, 1], 2)
    return np.where(np.isin(kind, (1, 4)), 2, np.where(np.isin(kind, (8, 9)), 0, before)) if after else before


def reflectance(*, after: bool) -> dict[str, np.ndarray]:
    """Return band name to reflectance (y, x), with a little noise that differs between the dates."""
    rng = np.random.default_rng(int(after))
    table = np.array(list(SPECTRA.values()))
    values = table[land(after=after)] + rng.normal(0, 0.006, (SIDE, SIDE, len(BANDS)))
    return {name: np.clip(values[..., i], 0.005, 1) for i, name in enumerate(BANDS)}


def write(path: Path, data: np.ndarray, *, pixel: float = PIXEL, nodata: float | None = None, crs: str = "EPSG:32633",
          descriptions: Sequence[str] = ()) -> Path:  # fmt: skip
    """Write (y, x) or (band, y, x) as the format that the name ends in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = data[None] if data.ndim == 2 else data
    is_jp2 = path.suffix == ".jp2"
    place = Affine(pixel, 0, WEST, 0, -pixel, NORTH)
    options = {"QUALITY": "100", "REVERSIBLE": "YES"} if is_jp2 else {"compress": "deflate"}
    with rasterio.open(
        path, "w", driver="JP2OpenJPEG" if is_jp2 else "GTiff", height=data.shape[1], width=data.shape[2], count=len(data),
        dtype=data.dtype, crs=crs, transform=place, nodata=None if is_jp2 else nodata, **options,
    ) as file:  # fmt: skip
        file.write(data)
        for number, text in enumerate(descriptions, start=1):
            file.set_band_description(number, text)
    return path


def write_labels(path: Path, *, before: str = "before", after: str = "after", pixel: float = PIXEL) -> Path:
    """Write one polygon a block, with its classes on both dates."""
    names = list(SPECTRA)
    earlier, later = land(after=False), land(after=True)
    rows, polygons = [], []
    for y in range(0, SIDE, BLOCK):
        for x in range(0, SIDE, BLOCK):
            rows.append({before: names[earlier[y, x]], after: names[later[y, x]]})
            west, north = WEST + x * pixel, NORTH - y * pixel
            polygons.append(box(west + 1, north - BLOCK * pixel + 1, west + BLOCK * pixel - 1, north - 1))
    gpd.GeoDataFrame(rows, geometry=polygons, crs="EPSG:32633").to_file(path)
    return path


SAFE_BANDS = {"B02": "blue", "B03": "green", "B04": "red", "B08": "nir", "B11": "swir16", "B12": "swir22"}


def safe(folder: Path, day: str, baseline: str, *, after: bool, level: str = "L2A", stated: str | None = None,
         processed: str = "") -> Path:  # fmt: skip
    """Write a Sentinel-2 product folder; return it. `stated` is the baseline of its metadata, if not that of the name."""
    added = 1000 if int(baseline[1:]) >= 400 else 0
    stamp = f"{day}T100031"
    root = folder / f"S2A_MSI{level}_{stamp}_{baseline}_R122_T33TWN_{processed or stamp}.SAFE"
    inner = root / "GRANULE" / f"{level}_T33TWN_A0200_{stamp}" / "IMG_DATA"
    values = reflectance(after=after)
    scl = np.full((SIDE, SIDE), 4, np.uint8)
    scl[:20, :20] = 9
    resolutions = [("R10m", 1, 10), ("R20m", 2, 20), ("R60m", 4, 40)] if level == "L2A" else [("", 1, 10)]
    for name, step, pixel in resolutions:
        suffix = f"_{name[1:]}" if name else ""
        for native, band in SAFE_BANDS.items():
            if name == "R10m" and native in ("B11", "B12"):
                continue
            numbers = (values[band][::step, ::step] * 10000 + added).round().astype(np.uint16)
            write(inner / name / f"T33TWN_{stamp}_{native}{suffix}.jp2", numbers, pixel=pixel)
        if name in ("R20m", "R60m"):
            write(inner / name / f"T33TWN_{stamp}_SCL{suffix}.jp2", scl[::step, ::step], pixel=pixel)
        picture = np.full((3, SIDE // step, SIDE // step), 90, np.uint8)
        write(inner / name / f"T33TWN_{stamp}_TCI{suffix}.jp2", picture, pixel=pixel)
    number = stated or f"{baseline[1:3]}.{baseline[3:]}"
    offset = '<BOA_ADD_OFFSET band_id="0">-1000</BOA_ADD_OFFSET>' if added else ""
    (root / f"MTD_MSI{level}.xml").write_text(
        f"<n1:Level><PRODUCT_START_TIME>{day[:4]}-{day[4:6]}-{day[6:]}T10:00:31.024Z</PRODUCT_START_TIME>"
        f"<PROCESSING_BASELINE>{number}</PROCESSING_BASELINE><SPACECRAFT_NAME>Sentinel-2A</SPACECRAFT_NAME>{offset}"
        f"<Cloud_Coverage_Assessment>2.5</Cloud_Coverage_Assessment></n1:Level>"
    )
    return root


OLI = {"SR_B2": "blue", "SR_B3": "green", "SR_B4": "red", "SR_B5": "nir", "SR_B6": "swir16", "SR_B7": "swir22"}
TM = {"SR_B1": "blue", "SR_B2": "green", "SR_B3": "red", "SR_B4": "nir", "SR_B5": "swir16", "SR_B7": "swir22"}


def landsat(folder: Path, platform: str, day: str, *, after: bool, processed: str = "20230614", level: str = "L2SP",
            mtl: Mapping[str, str] | None = None) -> str:  # fmt: skip
    """Write the files of a Landsat bundle into a folder; return the scene's id."""
    scene = f"{platform}_{level}_190027_{day}_{processed}_02_T1"
    natives = OLI if platform in ("LC08", "LC09") else TM
    sun = np.sin(np.radians(60.0))
    for native, band in natives.items():
        values = reflectance(after=after)[band]
        if level.startswith("L2"):
            numbers, name = (values + 0.2) / 2.75e-5, native
        else:
            numbers, name = (values * sun + 0.1) / 2e-5, native.removeprefix("SR_")
        write(folder / f"{scene}_{name}.TIF", numbers.round().astype(np.uint16), pixel=30, nodata=0)
    quality = np.full((SIDE, SIDE), 21824, np.uint16)
    quality[:9, :9] = 22280
    write(folder / f"{scene}_QA_PIXEL.TIF", quality, pixel=30, nodata=1)
    write(folder / f"{scene}_QA_RADSAT.TIF", np.zeros((SIDE, SIDE), np.uint16), pixel=30)
    if level.startswith("L2"):
        write(folder / f"{scene}_ST_B10.TIF", np.full((SIDE, SIDE), 44000, np.uint16), pixel=30, nodata=0)
    facts = {"SPACECRAFT_ID": f"LANDSAT_{int(platform[2:])}", "DATE_ACQUIRED": f"{day[:4]}-{day[4:6]}-{day[6:]}",
             "CLOUD_COVER": "3.10", **(mtl or {})}  # fmt: skip
    lines = ["GROUP = LANDSAT_METADATA_FILE", "  GROUP = IMAGE_ATTRIBUTES"]
    lines += [f'    {key} = "{value}"' for key, value in facts.items()]
    lines += ["    SUN_ELEVATION = 60.0", "  END_GROUP = IMAGE_ATTRIBUTES", "  GROUP = LEVEL1_RADIOMETRIC_RESCALING"]
    for native in natives:
        number = native.removeprefix("SR_B")
        lines += [f"    REFLECTANCE_MULT_BAND_{number} = 2.0000E-05", f"    REFLECTANCE_ADD_BAND_{number} = -0.100000"]
    lines += ["  END_GROUP = LEVEL1_RADIOMETRIC_RESCALING", "END_GROUP = LANDSAT_METADATA_FILE", "END"]
    (folder / f"{scene}_MTL.txt").write_text("\n".join(lines))
    return scene


def hls(folder: Path, kind: str, doy: str, *, after: bool) -> str:
    """Write an HLS scene (`S30` or `L30`); return its id."""
    natives = {"S30": {"B02": "blue", "B03": "green", "B04": "red", "B8A": "nir", "B11": "swir16", "B12": "swir22"},
               "L30": {"B02": "blue", "B03": "green", "B04": "red", "B05": "nir", "B06": "swir16", "B07": "swir22"},
               }  # fmt: skip
    scene = f"HLS.{kind}.T33TWN.{doy}T100031.v2.0"
    for native, band in natives[kind].items():
        numbers = (reflectance(after=after)[band] * 10000).round().astype(np.int16)
        write(folder / f"{scene}.{native}.tif", numbers, pixel=30, nodata=-9999)
    fmask = np.full((SIDE, SIDE), 64, np.uint8)
    fmask[:12, :12] = 66
    write(folder / f"{scene}.Fmask.tif", fmask, pixel=30, nodata=255)
    for angle in ("SZA", "VAA"):
        write(folder / f"{scene}.{angle}.tif", np.full((SIDE, SIDE), 4000, np.uint16), pixel=30, nodata=40000)
    return scene


def planet(folder: Path, day: str, *, after: bool, bands: int = 8) -> str:
    """Write a PlanetScope scene with its usable data mask; return its id."""
    scene = f"{day}_100031_45_2402"
    values = reflectance(after=after)
    order = {4: ("blue", "green", "red", "nir"),
             8: ("blue", "blue", "green", "green", "red", "red", "nir", "nir")}[bands]  # fmt: skip
    numbers = np.stack([(values[name] * 10000).round().astype(np.uint16) for name in order])
    name = "AnalyticMS_SR_8b_harmonized_clip" if bands == 8 else "AnalyticMS_SR_clip"
    write(folder / f"{scene}_3B_{name}.tif", numbers, pixel=3, nodata=0)
    udm = np.zeros((8, SIDE, SIDE), np.uint8)
    udm[0], udm[0, :7, :7] = 1, 0
    write(folder / f"{scene}_3B_udm2_clip.tif", udm, pixel=3)
    return scene


@dataclass(frozen=True)
class Delivery:
    """What an archive delivers of two dates."""

    sensor: str
    """Row of the table that reads it."""
    bands: int
    """That both dates have."""
    cloud: int
    """Side of the clouded corner in pixels."""
    pixel: float
    """Metres."""


DELIVERIES = {
    "safe": Delivery("sentinel-2-l2a", 6, 20, 10), "safe-l1c": Delivery("sentinel-2-l1c", 6, 0, 10),
    "safe-zip": Delivery("sentinel-2-l2a", 6, 20, 10), "flat": Delivery("sentinel-2-l2a", 6, 20, 10),
    "landsat": Delivery("landsat-c2-l2", 6, 9, 30), "landsat-mixed": Delivery("landsat-c2-l2", 6, 9, 30),
    "landsat-tar": Delivery("landsat-c2-l2", 6, 9, 30), "landsat-folders": Delivery("landsat-c2-l2", 6, 9, 30),
    "landsat-l1": Delivery("landsat-c2-l1", 6, 9, 30), "hls": Delivery("hls", 6, 12, 30),
    "planet-4": Delivery("planetscope", 4, 7, 3), "planet-8": Delivery("planetscope", 8, 7, 3),
}  # fmt: skip


def deliver(folder: Path, kind: str) -> Path:
    """Write a delivery of two dates into a folder, without labels."""
    folder.mkdir(parents=True, exist_ok=True)
    if kind.startswith(("safe", "flat")):
        level = "L1C" if kind.endswith("l1c") else "L2A"
        roots = [safe(folder, "20190615", "N0213", after=False, level=level),
                 safe(folder, "20230620", "N0509", after=True, level=level)]  # fmt: skip
        for root in roots if kind != "safe" and level == "L2A" else []:
            if kind == "safe-zip":
                with zipfile.ZipFile(folder / f"{root.name}.zip", "w") as archive:
                    for file in sorted(root.rglob("*")):
                        archive.write(file, file.relative_to(folder))
            else:
                for file in root.rglob("*.jp2"):
                    shutil.move(file, folder / file.name)
            shutil.rmtree(root)
    elif kind.startswith("landsat"):
        level = "L1TP" if kind.endswith("l1") else "L2SP"
        first = "LT05" if kind.endswith("mixed") else "LC08"
        for platform, day, after in ((first, "20100615", False), ("LC08", "20230620", True)):
            inside = folder / day if kind != "landsat" and not kind.endswith(("mixed", "l1")) else folder
            scene = landsat(inside, platform, day, after=after, level=level)
            if kind.endswith("tar"):
                with tarfile.open(folder / f"{scene}.tar", "w") as archive:
                    for file in sorted(inside.iterdir()):
                        archive.add(file, file.name)
                shutil.rmtree(inside)
    elif kind == "hls":
        hls(folder, "L30", "2019166", after=False), hls(folder, "S30", "2023171", after=True)
    else:
        for day, after in (("20190615", False), ("20230620", True)):
            planet(folder, day, after=after, bands=int(kind[-1]))
    return folder
