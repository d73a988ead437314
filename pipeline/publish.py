"""Publish: the rasters of a run as they leave the house, with everything that a GIS shows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.change import Decision
from pipeline.grid import Grid
from pipeline.legend import NOT_OBSERVED, Change, LandUse, Legend
from pipeline.manifest import write_text
from pipeline.raster import write_cog, write_raster
from pipeline.styles import continuous_qml, land_use_entries, occurring, pam_xml, raster_colormap, raster_qml

CONFIDENCE_SCALE = 0.005
"""confidence.tif holds round(confidence / 0.005) in 0..200."""
CONFIDENCE_NODATA = 255
FILES = {
    "change.tif": "Change map: one code for each change, 0 = not observed, 1 = unchanged; opens styled in QGIS and ArcGIS.",
    "confidence.tif": "Where change is mapped: the probability that the pixel changed; elsewhere: that it did not. It says "
    "nothing about which change (scale 0.005; 255 = not observed).",
    "landuse_before.tif": "Land use before, one code a class; 0 = not observed on either date.",
    "landuse_after.tif": "Land use after, one code a class; 0 = not observed on either date.",
    "domain_shift.tif": "How far each block of the territory lies from the training regions in what the network sees: above 1 "
    "it looks unlike 95 % of the labelled blocks, and the map deserves less trust.",
    "changes.gpkg": "Change polygons with from, to, hectares, confidence and dates, and their style; areas not observed.",
    "run.json": "Inputs, configuration, versions and areas for machines.",
    "report.html": "This page.",
}
"""What a run can hold, in words."""


def confidence_codes(confidence: np.ndarray) -> np.ndarray:
    """Return what `confidence.tif` holds.

    Args:
        confidence: float32 (y, x), 0..1, NaN where not observed.

    Returns:
        uint8 (y, x), 0..200, 255 where not observed.
    """
    codes = np.rint(np.nan_to_num(confidence) / CONFIDENCE_SCALE).astype(np.uint8)
    codes[np.isnan(confidence)] = CONFIDENCE_NODATA
    return np.asarray(codes)


def confidence_of(codes: np.ndarray) -> np.ndarray:
    """Return the confidence that codes stand for: float32 (y, x), 0..1, NaN where not observed."""
    return np.where(codes == CONFIDENCE_NODATA, np.nan, codes * np.float32(CONFIDENCE_SCALE)).astype(np.float32)


def write_rasters(folder: Path, decision: Decision, legend: Legend, grid: Grid, tags: Mapping[str, str]) -> list[Path]:
    """Write the maps as cloud-optimised GeoTIFFs, each with its colours, names, attribute table and style.

    Args:
        folder: Where to.
        decision: Of the whole map.
        legend: The project's legend.
        grid: Where the pixels are.
        tags: Dataset tags of each raster.

    Returns:
        Every file that was written.
    """
    listed = occurring(legend.changes, _counts(decision.change))
    written = _write_codes(folder / "change.tif", decision.change, grid, tags, legend.changes, listed)
    plain = folder / "plain_confidence.tif"
    write_raster(
        plain, confidence_codes(decision.confidence), grid, nodata=CONFIDENCE_NODATA, descriptions=["confidence"], tags=tags,
        scale=CONFIDENCE_SCALE, offset=0.0, units=["1"],
    )  # fmt: skip
    written += [
        write_cog(folder / "confidence.tif", plain, categorical=False),
        write_text(folder / "confidence.qml", continuous_qml()),
    ]
    plain.unlink()
    for name, codes in (("landuse_before.tif", decision.before), ("landuse_after.tif", decision.after)):
        if codes is not None:
            entries = land_use_entries(legend)
            written += _write_codes(folder / name, codes, grid, tags, entries, entries)
    return written


def write_domain_shift(folder: Path, ratio: np.ndarray, grid: Grid, tags: Mapping[str, str]) -> list[Path]:
    """Write how far each block lies from the training regions, as a raster with its style.

    Args:
        folder: Where to.
        ratio: float32 (block row, block column), 0 or more, 1 = the edge of the training regions, NaN = not observed.
        grid: Of the blocks.
        tags: Dataset tags.

    Returns:
        Every file that was written.
    """
    plain = folder / "plain_domain_shift.tif"
    write_raster(
        plain, ratio, grid, nodata=float("nan"), descriptions=["distance from the training regions, 1 = their edge"], tags=tags,
        units=["1"],
    )  # fmt: skip
    path = write_cog(folder / "domain_shift.tif", plain, categorical=False)
    plain.unlink()
    return [path, write_text(folder / "domain_shift.qml", continuous_qml(0.0, 2.0))]


def _write_codes(
    path: Path,
    codes: np.ndarray,
    grid: Grid,
    tags: Mapping[str, str],
    entries: tuple[Change, ...] | tuple[LandUse, ...],
    listed: tuple[Change, ...] | tuple[LandUse, ...],
) -> list[Path]:
    plain = path.with_name(f"plain_{path.name}")
    layout: dict[str, Any] = {"nodata": NOT_OBSERVED, "colormap": raster_colormap(entries)}
    write_raster(plain, codes, grid, descriptions=[path.stem], tags=tags, **layout)
    write_cog(path, plain, categorical=True)
    plain.unlink()
    style = write_text(path.with_suffix(".qml"), raster_qml(listed))
    return [path, style, write_text(path.with_name(f"{path.name}.aux.xml"), pam_xml(listed, _counts(codes)))]


def _counts(codes: np.ndarray) -> dict[int, int]:
    return {code: int(n) for code, n in enumerate(np.bincount(codes.ravel(), minlength=1)) if n}
