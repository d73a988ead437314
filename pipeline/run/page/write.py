"""The page of a run, made from its folder."""

import base64
import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from markupsafe import Markup

from landshift.pipeline.change.second_opinion import list_shares
from landshift.pipeline.drawing.area_plots import AreaRow, Flow, area_plot, flow_plot
from landshift.pipeline.drawing.chips import ACROSS
from landshift.pipeline.drawing.rendering import template_environment
from landshift.pipeline.legend import Legend
from landshift.pipeline.pages.assessment_view import ADAPTATIONS, assessment_view
from landshift.pipeline.records import read_record
from landshift.pipeline.run.page.answer import list_doubts, measure_quality, note_dependence
from landshift.pipeline.run.page.map_data import DrawnLayers, choose_areas, json_for_page, largest, list_patches, map_data
from landshift.pipeline.run.page.pictures import (
    PROBABILITY_STEPS,
    RIGHT_STEPS,
    UNLIKE_STEPS,
    Pictures,
    count_chips,
    draw_chips,
    draw_pictures,
)
from landshift.pipeline.run.page.tables import (
    AreaFigures,
    area_rows,
    estimate_of_unchanged,
    matrix,
    place_notes,
    place_rows,
)
from landshift.pipeline.run.record import CLASSICAL_SCORE, RunRecord
from landshift.pipeline.run_files import CHANGES, ESTIMATES, RUN
from landshift.pipeline.sample.design import WILSON
from landshift.pipeline.sample.grouping import OTHER_CHANGES, SMALL_KIND
from landshift.pipeline.sample.record import Estimates
from landshift.pipeline.scores.assessment import Assessment
from landshift.pipeline.vector.catalog import vector_layers
from landshift.pipeline.vector.columns import AREAS_LAYER, CHANGES_LAYER, LABELS_LAYER, NOT_OBSERVED_LAYER
from landshift.pipeline.vector.read import read_layer

MOST_LISTED = 48
"""Patches in the list for paper, the largest: they fill a page."""
_TEMPLATES = Path(__file__).parents[2] / "templates"
_SCRIPTS = ("vendor/leaflet.js", "patches.js", "run.js")


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
    drawn = DrawnLayers(
        patches, read_layer(layers, NOT_OBSERVED_LAYER), None if areas is None else choose_areas(areas),
        read_layer(layers, LABELS_LAYER) if LABELS_LAYER in vector_layers(layers) else None,
        all_areas=0 if areas is None else len(areas),
    )  # fmt: skip
    chips = count_chips(len(patches))
    return run_page(
        run, estimates, draw_pictures(folder, run, len(patches)), draw_chips(folder, run, patches.iloc[:chips], len(patches)),
        layers=drawn,
    )  # fmt: skip


def run_page(
    run: RunRecord, estimates: Estimates | None, pictures: Pictures, chips: Mapping[str, str], layers: DrawnLayers
) -> str:  # fmt: skip
    """Fill in the page of a run.

    Args:
        run: What describes it.
        estimates: Of the run, None before there is a judged sample.
        pictures: From `draw_pictures`.
        chips: From `draw_chips`.
        layers: The polygons of the run.
    """
    scripts = [_script(name) for name in _SCRIPTS]
    rows, opinion = area_rows(run, estimates), run.second_opinion
    places = place_rows(layers.areas_of_interest, estimates)
    data = map_data(run, layers, rows, count_chips(len(layers.patches)))
    return template_environment(html=True).get_template("run.html.j2").render(
        run=run, estimates=estimates, pictures=pictures, chips=chips, across=ACROSS, wilson=WILSON, small_kind=SMALL_KIND,
        quality=measure_quality(run, estimates), doubts=list_doubts(run, rows),
        listed=list_patches(run, layers.patches.iloc[:MOST_LISTED]),
        probability_steps=PROBABILITY_STEPS, right_steps=RIGHT_STEPS, unlike_steps=UNLIKE_STEPS,
        shown=data, data=json_for_page(data), rows=rows,
        places=places, all_places=layers.all_areas, place_notes=place_notes(places),
        matrix=matrix(run, estimates), unchanged=estimate_of_unchanged(estimates), plots=_plots(run, estimates, rows),
        assessed=assessment_view(run.assessment) if run.assessment != Assessment() else None, adaptations=ADAPTATIONS,
        agreement=list_shares(opinion) if opinion is not None and pictures.disagreement else (),
        dependence=note_dependence(run),
        classical_note=CLASSICAL_SCORE, scripts=scripts, hashes=[_hash(script) for script in scripts],
        leaflet_css=_leaflet_css(),
        scale_m=round_length(run.grid.columns * run.grid.pixel_size_m / 3),
    )  # fmt: skip


def round_length(most: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is at most so many metres, for a scale bar."""
    power = 10.0 ** math.floor(math.log10(most))
    return max(step * power for step in (1, 2, 5) if step * power <= most)


def _plots(run: RunRecord, estimates: Estimates | None, rows: Sequence[AreaFigures]) -> dict[str, str]:
    place = f"{run.name}, {run.before_date} to {run.after_date}"
    small = estimates.other_changes if estimates else None
    dots = [
        AreaRow(row.name, row.mapped_ha, found.area_ha.estimate, found.area_ha.low, high=found.area_ha.high)
        for row in rows if (found := row.estimated) and not (small and found.code in small.codes)
    ]  # fmt: skip
    if small:
        dots.append(AreaRow(OTHER_CHANGES, small.mapped_ha, small.area_ha.estimate, small.area_ha.low, high=small.area_ha.high))
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
