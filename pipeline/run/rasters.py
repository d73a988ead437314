"""Rasters of a run as published, with everything that a GIS shows."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np

from landshift.pipeline.change.areas import MappedAreas, region_ha
from landshift.pipeline.change.decision import PROBABILITY_NODATA, PROBABILITY_SCALE
from landshift.pipeline.change.patches import MapRows, blocks_of
from landshift.pipeline.change.second_opinion import ENTRIES
from landshift.pipeline.drawing.lyrx import codes_lyrx, dates_lyrx, numbers_lyrx
from landshift.pipeline.drawing.qml import continuous_qml, dates_qml, raster_qml
from landshift.pipeline.drawing.sld import continuous_sld, dates_sld, pam_xml, raster_sld
from landshift.pipeline.drawing.symbols import land_use_entries, occurring, raster_colormap, rgb
from landshift.pipeline.grid import Grid
from landshift.pipeline.legend import NOT_OBSERVED, UNCHANGED, Change, LandUse, Legend
from landshift.pipeline.manifest import write_text
from landshift.pipeline.raster.read import read_rows
from landshift.pipeline.raster.write import Layout, write_cog, write_rows
from landshift.pipeline.run_files import CHANGE_MAP, DISAGREEMENT, DOMAIN_SHIFT, LAND_USE, LAST_OBSERVED, PROBABILITY
from landshift.pipeline.vector.columns import UNCALIBRATED
from landshift.pipeline.vector.dbase.value_table import ValueRow, write_value_table

TITLES = {
    "change": "Change map", "landuse_before": "Land use before", "landuse_after": "Land use after",
    "disagreement": "Agreement with IR-MAD",
}  # fmt: skip
"""What layer files call the rasters of codes."""
NEVER = 0
"""Number of pixels in last_observed.tif that no date observed."""

_EPOCH_DAY = np.datetime64("1970-01-01", "D")


@dataclass(frozen=True)
class MapParts:
    """The layers of a map, each whole or its rows block by block, from north to south."""

    change: MapRows
    """uint8: the legend's change codes, 0 = not observed."""
    change_probability: MapRows
    """uint8: as `probability_codes` returns them."""
    before: MapRows | None = None
    """uint8: land-use code before, 0 = not observed; None in a binary project."""
    after: MapRows | None = None
    """uint8: the same after."""


def write_rasters(
    folder: Path, layers: MapParts, legend: Legend, grid: Grid, tags: Mapping[str, str], *, calibrated: bool = False,
    areas: MappedAreas | None = None,
) -> list[Path]:  # fmt: skip
    """Write the maps as cloud-optimised GeoTIFFs, each with its colours, names, attribute table and style.

    Args:
        folder: Of the run; the file goes to its place there.
        layers: Of the whole map.
        legend: The project's legend.
        grid: Where the pixels are.
        tags: Dataset tags of each raster.
        calibrated: Whether the calibration error was measured on the very images of the map; title and tags show where not.
        areas: Hectares of the map's changes, for the table of its codes; counted from pixels of one size where None.

    Returns:
        Every file that was written.
    """
    title = "Probability of change" + ("" if calibrated else f" ({UNCALIBRATED})")
    doubted = tags if calibrated else {**tags, "CALIBRATION": UNCALIBRATED}
    changes = legend.changes
    written = _write_codes(
        folder / CHANGE_MAP, layers.change, grid, tags, entries=changes, listed=partial(occurring, changes),
        hectares=_hectares(areas),
    )  # fmt: skip
    layout = Layout(
        grid, 1, "uint8", PROBABILITY_NODATA, descriptions=("change_probability",), tags=doubted, scale=PROBABILITY_SCALE,
        offset=0.0, units=("1",), overviews="mean",
    )  # fmt: skip
    path = folder / PROBABILITY
    write_rows(path, blocks_of(layers.change_probability), layout)
    lyrx = numbers_lyrx(path.name, title, (0, round(1 / PROBABILITY_SCALE)), ("0", "1"))
    written += [path, *_write_styles(path, continuous_qml(), continuous_sld(title=title), lyrx=lyrx)]
    for name, rows in ((LAND_USE["before"], layers.before), (LAND_USE["after"], layers.after)):
        if rows is not None:
            written += _write_codes(folder / name, rows, grid, tags, entries=land_use_entries(legend))
    return written


def write_domain_shift(folder: Path, ratio: np.ndarray, grid: Grid, tags: Mapping[str, str]) -> list[Path]:
    """Write how far each block lies from the training regions, as a raster with its style.

    Args:
        folder: Of the run; the file goes to its place there.
        ratio: float32 (block row, block column), 0 or more, 1 = the edge of the training regions, NaN = not observed.
        grid: Of the blocks.
        tags: Dataset tags.

    Returns:
        Every file that was written.
    """
    path = folder / DOMAIN_SHIFT
    layout = Layout(
        grid, 1, "float32", float("nan"), descriptions=("distance from the training regions, 1 = their edge",), tags=tags,
        units=("1",), overviews="mean",
    )  # fmt: skip
    write_rows(path, [ratio], layout)
    title = "Distance from the training regions"
    sld, lyrx = continuous_sld(0.0, 2.5, title=title), numbers_lyrx(path.name, title, (0.0, 2.5), ("0", "2.5"))
    return [path, *_write_styles(path, continuous_qml(0.0, 2.5), sld, lyrx=lyrx)]


def write_disagreement(folder: Path, codes: MapRows, grid: Grid, tags: Mapping[str, str]) -> list[Path]:
    """Write where the map of a model and the IR-MAD map agree and differ, with its colours, names and style.

    Args:
        folder: Of the run; the file goes to its place there.
        codes: uint8, codes of `second_opinion.ENTRIES`, 0 = not observed.
        grid: Where the pixels are.
        tags: Dataset tags.

    Returns:
        Every file that was written.
    """
    return _write_codes(folder / DISAGREEMENT, codes, grid, tags, entries=ENTRIES)


def last_observed_layout(grid: Grid, tags: Mapping[str, str]) -> Layout:
    """Describe the file of the days on which each pixel was last seen, int32 as `calendar_dates` returns them."""
    return Layout(grid, 1, "int32", NEVER, descriptions=("last observed",), units=("yyyymmdd",), tags=tags, overviews="mode")


def write_last_observed(folder: Path, plain: Path) -> list[Path]:
    """Write on which day each pixel was last seen, by the images that the map was made from.

    Args:
        folder: Of the run; the file goes to its place there.
        plain: Of `last_observed_layout`.

    Returns:
        Every file that was written.
    """
    found: set[int] = set()
    for rows in read_rows(plain):
        flat = rows.ravel()
        # Days lie in patches: where a run of one begins is enough to look at.
        found.update([int(flat[0]), *np.unique(flat[1:][flat[1:] != flat[:-1]]).tolist()])
    days_found = sorted(found - {NEVER})
    path = write_cog(folder / LAST_OBSERVED, plain, categorical=True)
    lyrx = dates_lyrx(path.name, days_found)
    return [path, *_write_styles(path, dates_qml(days_found), dates_sld(days_found), lyrx=lyrx)]


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
    first, last = (int(days.min()), int(days.max())) if days.size else (0, 0)
    known = np.arange(first, last + 1) if last - first <= days.size else np.unique(days)
    dates = _EPOCH_DAY + np.maximum(known, 0).astype(np.int64)
    months = dates.astype("datetime64[M]")
    years = months.astype("datetime64[Y]").astype(int) + 1970
    month = months.astype(int) % 12 + 1
    day = (dates - months.astype("datetime64[D]")).astype(int) + 1
    numbers = np.where(known < 0, NEVER, years * 10_000 + month * 100 + day).astype(np.int32)
    place = days - first if len(known) == last - first + 1 else np.searchsorted(known, days)
    return np.asarray(numbers[place])


def _write_codes(
    path: Path,
    codes: MapRows,
    grid: Grid,
    tags: Mapping[str, str],
    *,
    entries: tuple[Change, ...] | tuple[LandUse, ...],
    listed: Callable[[Iterable[int]], tuple[Change, ...]] | None = None,
    hectares: Mapping[int, float] = MappingProxyType({}),
) -> list[Path]:
    """Write codes with their colours, names, tables and styles; `listed` chooses what these show by the codes that occur.

    `hectares` of codes stand in the table for ArcGIS; those of others are as many pixels of the map's mean size.
    """
    layout = Layout(
        grid, 1, "uint8", NOT_OBSERVED, descriptions=(path.stem,), tags=tags, colormap=raster_colormap(entries),
        units=("code",), overviews="mode",
    )  # fmt: skip
    counts = write_rows(path, blocks_of(codes), layout)
    shown = entries if listed is None else listed(counts)
    title = TITLES.get(path.stem, path.stem)
    styles = _write_styles(
        path, raster_qml(shown), raster_sld(shown, title=path.stem), lyrx=codes_lyrx(path.name, title, shown)
    )  # fmt: skip
    mean = region_ha(grid) / (grid.shape[0] * grid.shape[1])
    rows = [
        ValueRow(
            e.code, counts[e.code], e.name, rgb(e.colour),
            area_ha=round(hectares.get(e.code, counts[e.code] * mean), 4),
        )
        for e in shown if counts.get(e.code) and e.code != NOT_OBSERVED
    ]  # fmt: skip
    table = write_value_table(path, rows)
    return [path, *styles, write_text(path.with_name(f"{path.name}.aux.xml"), pam_xml(shown, counts)), *table]


def _hectares(areas: MappedAreas | None) -> Mapping[int, float]:
    if areas is None:
        return {}
    return {UNCHANGED: areas.unchanged_ha, **{row.code: row.area_ha for row in areas.changes}}


def _write_styles(path: Path, qml: str, sld: str, lyrx: str) -> list[Path]:
    texts = {".qml": qml, ".sld": sld, ".lyrx": lyrx}
    return [write_text(path.with_suffix(ending), text) for ending, text in texts.items()]
