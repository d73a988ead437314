"""Plots of areas say their numbers, keep any name harmless, and are silent where there is nothing to draw."""

import itertools
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from landshift.pipeline.drawing.area_plots import AreaRow, area_plot, flow_plot

HOSTILE = '"><script>alert(1)</script> & $x_{1$ 🛰 שלום'
CLASSES = [{"code": i, "name": n, "colour": "#00aa00"} for i, n in enumerate(("Forest", "Cropland", "Water"), 1)]


def change(before: int, after: int, area: float) -> dict[str, Any]:
    return {"name": f"{before} to {after}", "from_code": before, "to_code": after, "colour": "#aa0000", "area_ha": area}


def texts(svg: str) -> list[str]:
    return ["".join(e.itertext()) for e in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def nodes(svg: str) -> list[float]:
    return [float(e.attrib["height"]) for e in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}rect")]


def test_an_area_plot_names_its_rows_and_what_the_marks_mean() -> None:
    rows = [AreaRow("Forest to Water", 10.0, 12.0, 8.0, 16.0), AreaRow("never mapped", None, 1.0, None, None)]
    said = texts(area_plot(rows, alt="Areas"))
    for text in ("Forest to Water", "never mapped", "estimate, 95 % interval", "pixel count, biased", "hectares"):
        assert text in said


def test_without_an_estimate_there_is_no_plot() -> None:
    assert area_plot([AreaRow("mapped", 10.0, None, None, None)], alt="Areas") == ""


def test_both_sides_of_the_flows_add_up() -> None:
    svg = flow_plot([change(1, 2, 30), change(1, 3, 10), change(2, 3, 60)], CLASSES, alt="Flows")
    assert texts(svg) == [
        "Before", "After", "Forest 40.0 ha", "Cropland 60.0 ha", "Cropland 30.0 ha", "Water 70.0 ha",
    ]  # fmt: skip
    forest, cropland, cropland_after, water = nodes(svg)
    assert cropland / forest == pytest.approx(1.5, rel=0.01)
    assert cropland_after + water == pytest.approx(forest + cropland, rel=0.01)
    assert len(re.findall("<path", svg)) == 3
    assert "1 to 3: 10.0 ha (pixel count, biased)" in svg


def test_names_are_text_in_every_plot() -> None:
    for svg in (
        area_plot([AreaRow(HOSTILE, 1.0, 1.0, 0.5, 1.5)], alt=HOSTILE),
        flow_plot([change(1, 2, 3) | {"name": HOSTILE}], [c | {"name": HOSTILE} for c in CLASSES], alt=HOSTILE),
    ):
        assert "<script" not in svg
        assert ET.fromstring(svg).attrib["aria-label"] == HOSTILE


@pytest.mark.parametrize("changes", [[], [change(1, 2, 0)], [{"from_code": None, "to_code": None, "area_ha": 3.0}]])
def test_no_flows_no_plot(changes: list[dict[str, Any]]) -> None:
    assert flow_plot(changes, CLASSES, alt="Flows") == ""


def test_tiny_flows_keep_a_visible_band_and_labels_that_do_not_touch() -> None:
    many = [{"code": i, "name": f"Class {i}", "colour": "#00aa00"} for i in range(1, 9)]
    svg = flow_plot([change(1, 2, 1000), *(change(i, 1, 0.1) for i in range(3, 9))], many, alt="Flows")
    places = [float(y) for y in re.findall(r'<text x="182" y="([\d.]+)" text-anchor="end" fill="#1d', svg)]
    assert len(places) == 7
    assert min(b - a for a, b in itertools.pairwise(places)) >= 16.9
