"""Rasters of a run as published, with everything that a GIS shows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from landshift.pipeline.change.decision import PROBABILITY_NODATA, PROBABILITY_SCALE, Decision, probability_codes
from landshift.pipeline.change.second_opinion import ENTRIES
from landshift.pipeline.columns import UNCALIBRATED
from landshift.pipeline.drawing.qml import continuous_qml, dates_qml, raster_qml
from landshift.pipeline.drawing.sld import continuous_sld, dates_sld, pam_xml, raster_sld
from landshift.pipeline.drawing.symbols import land_use_entries, occurring, raster_colormap
from landshift.pipeline.grid import Grid
from landshift.pipeline.legend import NOT_OBSERVED, Change, LandUse, Legend
from landshift.pipeline.manifest import write_text
from landshift.pipeline.raster.read import open_readers
from landshift.pipeline.raster.write import Layout, open_writer, write_cog, write_raster
from landshift.pipeline.run.record import DISAGREEMENT
from landshift.pipeline.tiles import strips

NEVER = 0
"""Number of pixels in last_observed.tif that no date observed."""

_EPOCH_DAY = np.datetime64("1970-01-01", "D")


def write_rasters(
    folder: Path, decision: Decision, legend: Legend, grid: Grid, tags: Mapping[str, str], *, calibrated: bool = False
) -> list[Path]:
    """Write the maps as cloud-optimised GeoTIFFs, each with its colours, names, attribute table and style.

    Args:
        folder: Where to.
        decision: Of the whole map.
        legend: The project's legend.
        grid: Where the pixels are.
        tags: Dataset tags of each raster.
        calibrated: Whether the calibration error was measured on the very images of the map; title and tags show where not.

    Returns:
        Every file that was written.
    """
    title = "Probability of change" + ("" if calibrated else f" ({UNCALIBRATED})")
    doubted = tags if calibrated else {**tags, "CALIBRATION": UNCALIBRATED}
    listed = occurring(legend.changes, _counts(decision.change))
    written = _write_codes(folder / "change.tif", decision.change, grid, tags, entries=legend.changes, listed=listed)
    written += _write_map(
        folder / "change_probability.tif", probability_codes(decision.change_probability), grid, continuous_qml(),
        sld=continuous_sld(title=title), categorical=False, nodata=PROBABILITY_NODATA,
        descriptions=["change_probability"], tags=doubted, scale=PROBABILITY_SCALE, offset=0.0, units=["1"],
    )  # fmt: skip
    for name, codes in (("landuse_before.tif", decision.before), ("landuse_after.tif", decision.after)):
        if codes is not None:
            entries = land_use_entries(legend)
            written += _write_codes(folder / name, codes, grid, tags, entries=entries, listed=entries)
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
    return _write_map(
        folder / "domain_shift.tif", ratio, grid, continuous_qml(0.0, 2.5),
        sld=continuous_sld(0.0, 2.5, title="Distance from the training regions"), categorical=False, nodata=float("nan"),
        descriptions=["distance from the training regions, 1 = their edge"], tags=tags, units=["1"],
    )  # fmt: skip


def write_disagreement(folder: Path, codes: np.ndarray, grid: Grid, tags: Mapping[str, str]) -> list[Path]:
    """Write where the map of a model and the IR-MAD map agree and differ, with its colours, names and style.

    Args:
        folder: Where to.
        codes: uint8 (y, x), codes of `second_opinion.ENTRIES`, 0 = not observed.
        grid: Where the pixels are.
        tags: Dataset tags.

    Returns:
        Every file that was written.
    """
    return _write_codes(folder / DISAGREEMENT, codes, grid, tags, entries=ENTRIES, listed=ENTRIES)


def write_last_observed(folder: Path, observations: tuple[Path, Path], grid: Grid, tags: Mapping[str, str]) -> list[Path]:
    """Write on which day each pixel was last seen, by the images that the map was made from.

    Args:
        folder: Where to.
        observations: Observation layers of the epochs before and after: band 2 holds the day of the pixel used, in days since
            1970-01-01, negative without one.
        grid: Where the pixels are.
        tags: Dataset tags.

    Returns:
        Every file that was written; the raster holds int32 year x 10000 + month x 100 + day, 0 = never.
    """
    plain = folder / "plain_last_observed.tif"
    layout = Layout(grid, 1, "int32", NEVER, descriptions=("last observed",), units=("yyyymmdd",), tags=tags)
    found: set[int] = set()
    try:
        with open_readers(*observations) as readers, open_writer(plain, layout) as write:
            for strip in strips(grid.shape.yx):
                days = np.fmax(*(reader.read(strip)[1] for reader in readers))
                dates = calendar_dates(np.where(np.isnan(days), -1, days))
                found |= {int(date) for date in np.unique(dates)} - {NEVER}
                write(strip, dates[np.newaxis])
        path = write_cog(folder / "last_observed.tif", plain, categorical=True)
    finally:
        plain.unlink(missing_ok=True)
    days_found = sorted(found)
    return [
        path,
        write_text(folder / "last_observed.qml", dates_qml(days_found)),
        write_text(folder / "last_observed.sld", dates_sld(days_found)),
    ]


def calendar_dates(days: np.ndarray) -> np.ndarray:
    """Write days as dates that a person can read.

    Args:
        days: Any shape: days since 1970-01-01, negative = none.

    Returns:
        int32 of the same shape: year x 10000 + month x 100 + day, 0 without one.

    Examples:
        >>> calendar_dates(np.array([0, 19528, -1])).tolist()
        [19700101, 20230620, 0]
    """
    known, index = np.unique(days.astype(np.int64), return_inverse=True)
    dates = _EPOCH_DAY + np.maximum(known, 0)
    months = dates.astype("datetime64[M]")
    years = months.astype("datetime64[Y]").astype(int) + 1970
    month = months.astype(int) % 12 + 1
    day = (dates - months.astype("datetime64[D]")).astype(int) + 1
    numbers = np.where(known < 0, NEVER, years * 10_000 + month * 100 + day).astype(np.int32)
    return np.asarray(numbers[index].reshape(days.shape))


def _write_codes(
    path: Path,
    codes: np.ndarray,
    grid: Grid,
    tags: Mapping[str, str],
    entries: tuple[Change, ...] | tuple[LandUse, ...],
    listed: tuple[Change, ...] | tuple[LandUse, ...],
) -> list[Path]:
    written = _write_map(
        path, codes, grid, raster_qml(listed), sld=raster_sld(listed, title=path.stem), categorical=True, nodata=NOT_OBSERVED,
        descriptions=[path.stem], tags=tags, colormap=raster_colormap(entries), units=["code"],
    )  # fmt: skip
    return [*written, write_text(path.with_name(f"{path.name}.aux.xml"), pam_xml(listed, _counts(codes)))]


def _write_map(
    path: Path, data: np.ndarray, grid: Grid, qml: str, sld: str, *, categorical: bool, **about: Any,  # noqa: ANN401
) -> list[Path]:  # fmt: skip
    """Write an array as a cloud-optimised GeoTIFF with its styles beside it; `about` as in `write_raster`."""
    plain = write_raster(path.with_name(f"plain_{path.name}"), data, grid, **about)
    write_cog(path, plain, categorical=categorical)
    plain.unlink()
    return [path, write_text(path.with_suffix(".qml"), qml), write_text(path.with_suffix(".sld"), sld)]


def _counts(codes: np.ndarray) -> dict[int, int]:
    return {code: int(n) for code, n in enumerate(np.bincount(codes.ravel(), minlength=1)) if n}
