"""The page of a run, made from its folder."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import geopandas as gpd
from markupsafe import Markup

from landshift.pipeline.change.second_opinion import ENTRIES, list_shares
from landshift.pipeline.drawing.area_plots import AreaRow, Flow, area_plot, flow_plot
from landshift.pipeline.drawing.chips import ACROSS, chip_sheet
from landshift.pipeline.drawing.pictures import change_picture, data_uri, display_picture
from landshift.pipeline.drawing.rendering import template_environment
from landshift.pipeline.legend import Legend
from landshift.pipeline.pages.assessment_view import ADAPTATIONS, assessment_view
from landshift.pipeline.records import read_record
from landshift.pipeline.run.page.map_data import MapData, json_for_page, largest, map_data, on_pixels
from landshift.pipeline.run.page.tables import (
    AreaFigures,
    PlaceFigures,
    area_rows,
    estimate_of_unchanged,
    kind_text,
    matrix,
    place_notes,
    place_rows,
)
from landshift.pipeline.run.record import CLASSICAL_SCORE, RunRecord
from landshift.pipeline.run_files import CHANGE_MAP, CHANGES, DISAGREEMENT, ESTIMATES, IMAGES, RUN
from landshift.pipeline.sample.design import WILSON
from landshift.pipeline.sample.record import Estimates
from landshift.pipeline.scores.assessment import Assessment
from landshift.pipeline.vector.columns import AREAS_LAYER, CHANGES_LAYER, NOT_OBSERVED_LAYER
from landshift.pipeline.vector.read import read_layer

MOST_CHIPS = 200
"""Patches that are shown as they looked on both dates, the largest."""
_SIDE = 1400
"""Longest side of the images on the page, in pixels."""
_MAP_SIDE = 900
_TEMPLATES = Path(__file__).parents[2] / "templates"
_SCRIPTS = ("vendor/leaflet.js", "run.js")


def page_of(folder: Path) -> str:
    """Write the page of a run: one file that needs no network, and no other file of the run.

    It is made from nothing but the folder, so that it can be made again when estimates were added, or the folder was moved.

    Args:
        folder: Of the run, with `run.json`, the images, `change.tif`, `changes.gpkg`, and `estimates.json` where there is one.

    Raises:
        InputError: A file of the run is missing or damaged.
    """
    run = read_record(folder / RUN, RunRecord)
    path = folder / ESTIMATES
    estimates = read_record(path, Estimates) if path.is_file() else None
    layers = folder / CHANGES
    patches = largest(read_layer(layers, CHANGES_LAYER))
    areas = read_layer(layers, AREAS_LAYER) if run.areas_of_interest else None
    with_chips = patches.iloc[:MOST_CHIPS]
    data = map_data(run, patches, read_layer(layers, NOT_OBSERVED_LAYER), areas, chips=len(with_chips))
    return run_page(
        run, estimates, _pictures(folder, run), _chips(folder, run, with_chips), data=data, places=place_rows(areas, estimates)
    )


def run_page(
    run: RunRecord,
    estimates: Estimates | None,
    pictures: Mapping[str, str],
    chips: Mapping[str, str],
    data: MapData,
    places: Sequence[PlaceFigures],
) -> str:
    """Fill in the page of a run.

    Args:
        run: What describes it.
        estimates: Of the run, None before there is a judged sample.
        pictures: `before`, `after`, `change` and, where there is a second opinion, `disagreement` as data URIs.
        chips: `before` and `after`, sheets of chips as data URIs.
        data: What the page's script reads, from `map_data`.
        places: Areas of interest, from `place_rows`.
    """
    scripts = [_script(name) for name in _SCRIPTS]
    rows, opinion = area_rows(run, estimates), run.second_opinion
    return template_environment(html=True).get_template("run.html.j2").render(
        run=run, estimates=estimates, pictures=pictures, chips=chips, across=ACROSS, most_chips=MOST_CHIPS, wilson=WILSON,
        kind_text=kind_text,
        shown=data, data=json_for_page(data), places=places, place_notes=place_notes(places), rows=rows,
        matrix=matrix(run, estimates), unchanged=estimate_of_unchanged(estimates), plots=_plots(run, estimates, rows),
        assessed=assessment_view(run.assessment) if run.assessment != Assessment() else None, adaptations=ADAPTATIONS,
        agreement=list_shares(opinion) if opinion is not None and "disagreement" in pictures else (),
        classical_note=CLASSICAL_SCORE, scripts=scripts, hashes=[_hash(script) for script in scripts],
        leaflet_css=_leaflet_css(),
    )  # fmt: skip


def _pictures(folder: Path, run: RunRecord) -> dict[str, str]:
    legend = Legend(run.legend)
    under = display_picture(folder / IMAGES["after"], _MAP_SIDE)
    shown = {date: display_picture(folder / file, _SIDE) for date, file in IMAGES.items()}
    large = max(under.shape) > 600
    maps = {"change": (CHANGE_MAP, legend.changes)}
    if (folder / DISAGREEMENT).is_file():
        maps["disagreement"] = (DISAGREEMENT, ENTRIES)
    return {
        **{date: data_uri(picture, photo=True) for date, picture in shown.items()},
        **{n: data_uri(change_picture(folder / file, e, under, _MAP_SIDE), photo=large) for n, (file, e) in maps.items()},
    }


def _chips(folder: Path, run: RunRecord, patches: gpd.GeoDataFrame) -> dict[str, str]:
    if patches.empty:
        return {}
    where = on_pixels(patches, run)
    return {date: data_uri(chip_sheet(folder / file, where, _SIDE), photo=True) for date, file in IMAGES.items()}


def _plots(run: RunRecord, estimates: Estimates | None, rows: Sequence[AreaFigures]) -> dict[str, str]:
    place = f"{run.name}, {run.before_date} to {run.after_date}"
    dots = [
        AreaRow(row.name, row.mapped_ha, found.area_ha.estimate, found.area_ha.low, high=found.area_ha.high)
        for row in rows if (found := row.estimated)
    ]  # fmt: skip
    if estimates:
        every = estimates.changed.area_ha
        whole = AreaRow("All changes", estimates.changed.mapped_ha, every.estimate, every.low, high=every.high)
        dots = [whole, *dots] if len(dots) > 1 else dots or [whole]
    where = f"in {place}; the table has the numbers."
    flows = [
        Flow(row.name, row.from_code, row.to_code, row.colour, area_ha=row.area_ha)
        for row in run.areas.changes if row.from_code is not None and row.to_code is not None
    ]  # fmt: skip
    return {
        "areas": area_plot(dots, alt=f"Estimated hectares of each change {where}") if dots else "",
        "flows": flow_plot(flows, Legend(run.legend), alt=f"Which land use turned into which {where}"),
    }


def _script(name: str) -> Markup:
    """Read a script for the page, without the one address in Leaflet that a reader of the page might follow."""
    text = (_TEMPLATES / name).read_text(encoding="utf-8")
    return Markup(re.sub(r'href="https?://[^"]*"', 'href="#"', text))  # noqa: S704 (our own files)


def _hash(script: str) -> str:
    """Return what a content security policy calls a script that stands in the page."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _leaflet_css() -> Markup:
    """Read Leaflet's style without its pictures, which the page neither has nor needs."""
    text = (_TEMPLATES / "vendor/leaflet.css").read_text(encoding="utf-8")
    return Markup(re.sub(r"url\([^)]*\)", "none", text))  # noqa: S704 (our own files)
