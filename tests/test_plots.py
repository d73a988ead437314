"""Plots are the same every time, can be read without colours, and stand any name."""

import itertools
import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest

from landshift.pipeline.drawing.plots import Dot, curve_plot, interval_plot, reliability_plot

HOSTILE = '"><script>alert(1)</script> & $x_{1$ 🛰 שלום'
ROWS = [
    Dot("all", 0.1, -0.1, 0.3, "Against chance"),
    Dot("north", 0.2, 0.1, 0.3, "Against chance", "helps"),
    Dot("south", -0.2, -0.3, -0.1, "Against chance", "hurts"),
    Dot("east", 0.0, None, None, "Against chance"),
    Dot("west", None, None, None, "Against chance"),
]


def curve(arm: str, *means: float | None) -> list[dict[str, object]]:
    shares = (0.01, 0.1, 1.0)
    return [
        {
            "arm": arm,
            "share": share,
            "f1": {"mean": m, "low": None if m is None else m - 0.1, "high": None if m is None else 1.3},
        }
        for share, m in zip(shares, means, strict=True)
    ]


def bins(*pairs: tuple[float, float]) -> list[dict[str, float]]:
    return [{"count": 5, "mean_probability": p, "observed_share": s} for p, s in pairs]


def texts(svg: str) -> list[str]:
    return [e.text or "" for e in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


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
