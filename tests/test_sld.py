"""Styles for other programs list exactly what they are given, and no name can break them."""

import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landshift.pipeline.colours.palette import PATTERNS
from landshift.pipeline.drawing.sld import continuous_sld, dates_sld, outline_sld, raster_sld, samples_sld, vector_sld
from landshift.pipeline.legend import Change, LandUse, Legend

SLD, OGC = "{http://www.opengis.net/sld}", "{http://www.opengis.net/ogc}"
LEGEND = Legend((LandUse(1, 'Forest "old" & <wild>', "#1b7837"), LandUse(4, "عمران 🏙", "#c0392b")))


def entries(sld: str) -> list[tuple[str, str, str, str]]:
    found = ET.fromstring(sld.encode()).iter(f"{SLD}ColorMapEntry")
    return [(e.attrib["quantity"], e.attrib["color"], e.attrib["opacity"], e.attrib["label"]) for e in found]


def rules(sld: str) -> list[tuple[str | None, str | None]]:
    """Titles of the rules, and the value that each filters."""
    found = ET.fromstring(sld.encode()).iter(f"{SLD}Rule")
    return [(rule.findtext(f"{SLD}Title"), rule.findtext(f".//{OGC}Literal")) for rule in found]


def parameters(sld: str, name: str) -> list[str | None]:
    return [p.text for p in ET.fromstring(sld.encode()).iter(f"{SLD}CssParameter") if p.attrib["name"] == name]


def test_a_raster_style_lists_exactly_the_codes() -> None:
    sld = raster_sld(LEGEND.changes, title="Changes")
    assert entries(sld) == [(str(c.code), c.colour, "1" if c.code else "0", c.name) for c in LEGEND.changes]
    assert [c.attrib["type"] for c in ET.fromstring(sld.encode()).iter(f"{SLD}ColorMap")] == ["values"]
    assert entries(raster_sld([])) == []


def test_numbers_are_painted_over_their_range() -> None:
    found = entries(continuous_sld(0.0, 2.0))
    assert [float(e[0]) for e in found] == pytest.approx([0, 0.4, 0.8, 1.2, 1.6, 2])
    assert (found[0][1], found[-1][1]) == ("#440154", "#fde725")


def test_dates_are_read_as_dates() -> None:
    found = entries(dates_sld([20220615, 0, 20200601]))
    assert found == [("20200601", "#440154", "1", "2020-06-01"), ("20220615", "#fde725", "1", "2022-06-15")]


def test_a_vector_style_has_a_rule_for_each_category() -> None:
    sld = vector_sld(LEGEND.changes, title="Changes <2022>")
    assert rules(sld) == [(c.name, str(c.code)) for c in LEGEND.changes]
    assert parameters(sld, "fill") == [c.colour for c in LEGEND.changes[1:]]
    root = ET.fromstring(sld.encode())
    # What was not observed is hatched, and lines stand for the land use before.
    lines = sum(len(PATTERNS[c.pattern].angles) for c in LEGEND.changes)
    assert [n.text for n in root.iter(f"{SLD}WellKnownName")] == ["shape://slash"] * (1 + lines)
    assert lines == 1
    assert {n.text for n in root.iter(f"{OGC}PropertyName")} == {"change_code"}
    assert root.findtext(f".//{SLD}UserStyle/{SLD}Title") == "Changes <2022>"


def test_samples_differ_in_colour_and_shape() -> None:
    sld = samples_sld()
    assert [value for _, value in rules(sld)] == ["1", "0"]
    shapes = [n.text for n in ET.fromstring(sld.encode()).iter(f"{SLD}WellKnownName")]
    fills = parameters(sld, "fill")
    assert len(set(shapes)) == len(set(fills)) == 2


def test_areas_of_interest_show_their_names() -> None:
    root = ET.fromstring(outline_sld().encode())
    assert root.findtext(f".//{SLD}Label/{OGC}PropertyName") == "name"
    assert not list(root.iter(f"{SLD}PolygonSymbolizer"))


@pytest.mark.parametrize("make", [vector_sld, raster_sld])
@given(name=st.text(min_size=1), title=st.text())
@settings(deadline=None)
def test_no_name_breaks_a_style(make: Callable[..., str], name: str, title: str) -> None:
    sld = make([Change(2, name, "#102030", None, name, None, name)], title=title)
    ET.fromstring(sld.encode("utf-8"))
    if name.isprintable():
        assert name in {*(title for title, _ in rules(sld)), *(e[3] for e in entries(sld))}
