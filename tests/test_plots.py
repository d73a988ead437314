"""Plots are the same every time, can be read without colours, and stand any name."""

import itertools
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace

import pytest

from landshift.pipeline.drawing.area_plots import AreaRow, Flow, area_plot, flow_plot
from landshift.pipeline.drawing.plots import CurveDot, Dot, ReliabilityDot, curve_plot, interval_plot, reliability_plot
from landshift.pipeline.legend import LandUse, Legend

HOSTILE = '"><script>alert(1)</script> & $x_{1$ 🛰 שלום'
ROWS = [
    Dot("all", 0.1, -0.1, 0.3, "Against chance"),
    Dot("north", 0.2, 0.1, 0.3, "Against chance", "helps"),
    Dot("south", -0.2, -0.3, -0.1, "Against chance", "hurts"),
    Dot("east", 0.0, None, None, "Against chance"),
    Dot("west", None, None, None, "Against chance"),
]


def texts(svg: str) -> list[str]:
    return ["".join(e.itertext()) for e in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def curve(arm: str, *means: float | None) -> list[CurveDot]:
    shares = (0.01, 0.1, 1.0)
    return [
        CurveDot(arm, share, f1, None if f1 is None else f1 - 0.1, None if f1 is None else 1.3)
        for share, f1 in zip(shares, means, strict=True)
    ]


def bins(*pairs: tuple[float, float]) -> list[ReliabilityDot]:
    return [ReliabilityDot(5, *pair) for pair in pairs]


def test_an_interval_plot_names_its_rows_once_under_their_heading() -> None:
    said = texts(interval_plot(ROWS, axis="difference", alt="Differences"))
    assert said.count("Against chance") == 1
    assert [t for t in said if t in {"all", "north", "south", "east", "west"}] == ["all", "north", "south", "east", "west"]
    assert "difference" in said


def test_verdicts_differ_in_marker_as_well_as_colour() -> None:
    def marker(verdict: str) -> str:
        svg = interval_plot([Dot("a", 0.1, None, None, verdict=verdict)], axis="x", alt="y")
        paths = [e.get("d", "") for e in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}path")]
        return "".join(paths)

    assert len({marker(v) for v in ("helps", "no evidence", "hurts")}) == 3


def test_a_curve_labels_each_line_and_each_share() -> None:
    said = texts(curve_plot(curve("pretrained", 0.7, 0.8, 0.9) + curve("random", None, 0.6, 0.9), alt="Curve"))
    assert {"pretrained", "random", "1 %", "10 %", "100 %"} <= set(said)


def test_lines_that_end_together_have_labels_apart() -> None:
    svg = curve_plot([row for name in "abcde" for row in curve(name, 0.5, 0.6, 0.7)], alt="Curve")
    heights = [
        float(e.get("y", "")) for e in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text") if e.text in set("abcde")
    ]
    heights.sort()
    assert len(heights) == 5
    assert min(b - a for a, b in itertools.pairwise(heights)) > 9


def test_a_reliability_plot_has_a_diagram_for_each_table() -> None:
    svg = reliability_plot({"raw": bins((0.1, 0.2), (0.9, 0.7)), "cooled": bins((0.5, 0.5)), "empty": []}, alt="Reliability")
    assert {"raw", "cooled", "empty"} <= set(texts(svg))


@pytest.mark.parametrize(
    "drawn",
    [
        lambda: interval_plot([Dot(HOSTILE, 0.1, 0.0, 0.2, HOSTILE)], axis=HOSTILE.replace("$", ""), alt=HOSTILE),
        lambda: curve_plot(curve(HOSTILE, 0.5, 0.6, 0.7), alt=HOSTILE),
        lambda: reliability_plot({HOSTILE: bins((0.5, 0.5))}, alt=HOSTILE),
    ],
)
def test_names_are_escaped_and_plots_are_the_same_every_time(drawn: Callable[[], str]) -> None:
    svg = drawn()
    assert svg == drawn()
    assert "<script" not in svg
    root = ET.fromstring(svg)
    assert root.get("role") == "img"
    assert root.get("aria-label") == HOSTILE
    assert not {e.get("{http://www.w3.org/1999/xlink}href", "#")[0] for e in root.iter()} - {"#"}
    assert "metadata" not in svg


def test_plots_do_not_change_how_others_draw() -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    interval_plot(ROWS, axis="x", alt="y")
    assert dict(mpl.rcParams) == before


def test_nothing_known_is_no_plot() -> None:
    assert interval_plot([], axis="x", alt="y") == ""
    assert interval_plot([Dot("a", None, None, None)], axis="x", alt="y") == ""
    assert curve_plot(curve("a", None, None, None), alt="y") == ""
    assert reliability_plot({"raw": []}, alt="y") == ""
    assert reliability_plot({}, alt="y") == ""


def test_one_share_and_one_bin_are_enough() -> None:
    assert "100 %" in texts(curve_plot(curve("a", None, None, 0.5), alt="y"))
    assert "raw" in texts(reliability_plot({"raw": bins((0.5, 0.5))}, alt="y"))


CLASSES = Legend(tuple(LandUse(i, n, "#00aa00") for i, n in enumerate(("Forest", "Cropland", "Water"), 1)))


def change(before: int, after: int, area: float) -> Flow:
    return Flow(f"{before} to {after}", before, after, "#aa0000", area)


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
        flow_plot(
            [replace(change(1, 2, 3), name=HOSTILE)],
            Legend(tuple(LandUse(i, f"{HOSTILE}{i}", "#00aa00") for i in (1, 2))),
            alt=HOSTILE,
        ),
    ):
        assert "<script" not in svg
        assert ET.fromstring(svg).attrib["aria-label"] == HOSTILE


@pytest.mark.parametrize("changes", [[], [change(1, 2, 0)]])
def test_no_flows_no_plot(changes: list[Flow]) -> None:
    assert flow_plot(changes, CLASSES, alt="Flows") == ""


def test_tiny_flows_keep_a_visible_band_and_labels_that_do_not_touch() -> None:
    many = Legend(tuple(LandUse(i, f"Class {i}", "#00aa00") for i in range(1, 9)))
    svg = flow_plot([change(1, 2, 1000), *(change(i, 1, 0.1) for i in range(3, 9))], many, alt="Flows")
    places = [float(y) for y in re.findall(r'<text x="182" y="([\d.]+)" text-anchor="end" fill="#1d', svg)]
    assert len(places) == 7
    assert min(b - a for a, b in itertools.pairwise(places)) >= 16.9
