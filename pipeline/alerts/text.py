"""Alerts in words: a line for people, and an Atom feed for readers, web maps and GIS programs."""

import unicodedata
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid5

from landshift.pipeline.alerts.alert import Alert, utc_text

_ATOM, _GEORSS = "http://www.w3.org/2005/Atom", "http://www.georss.org/georss"
_LISTED = 50
"""Alerts that a message lists; it counts the others."""
_UNSAID = {"Cc", "Cs", "Cn", "Zl", "Zp"}
"""Categories of characters that end a line, or that XML does not allow."""
_TURNING = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
"""Characters that turn the direction of writing, and can make a line read as something else."""
_FEEDS = UUID("0b1f6c0e-53f4-5b0e-8d0c-7d5e0f1c2a94")
NOTE = "Hectares are counted pixels, biased when summed."


def plain(text: str) -> str:
    """Return a name on one line, without characters that are not shown."""
    return " ".join("".join(" " if c in _TURNING or unicodedata.category(c) in _UNSAID else c for c in text).split())


def headline(alert: Alert) -> str:
    """Return kind, hectares, areas and state of an alert, on one line."""
    area = "unknown area" if alert.area_ha is None else f"{alert.area_ha:,.2f} ha"
    where = f" in {plain(', '.join(alert.areas))}" if alert.areas else ""
    return f"{plain(alert.change)}, {area}{where}: {alert.state}"


def details(alert: Alert) -> str:
    """Return the rest of an alert, on one line."""
    before = f" (was {alert.was})" if alert.was else ""
    known = alert.change_probability
    probability = "" if known is None else f"Probability of change {known:.2f}, as the model gave it. "
    return (
        f"Change {plain(alert.change_id)} is {alert.state}{before}. First seen {alert.first_seen}, "
        f"last seen {alert.last_seen}. "
        f"{probability}Centre {alert.lat:.5f}, {alert.lon:.5f} (latitude, longitude)."
    )


def message(rule: str, alerts: Sequence[Alert]) -> tuple[str, str]:
    """Return the title and the text of a message about the alerts of a rule."""
    title = f"{len(alerts):,} alert{'' if len(alerts) == 1 else 's'}: {plain(rule)}"
    lines = [f"{headline(a)}\n  {details(a)}" for a in alerts[:_LISTED]]
    if len(alerts) > _LISTED:
        lines.append(f"... and {len(alerts) - _LISTED:,} more.")
    return title, "\n".join([*lines, "", NOTE])


def atom_feed(title: str, channel: str, alerts: Sequence[Alert], entries: int, empty: tuple[str, datetime]) -> str:
    """Return an Atom feed (RFC 4287) with places as GeoRSS-Simple, the newest alert first.

    The same alerts give the same text. Ids of the feed and its entries never change.

    Args:
        title: What readers call the feed.
        channel: Its name in the configuration; part of the feed's id.
        alerts: In any order.
        entries: How many to keep, 1 or more.
        empty: From `origin_of`, and the time to state where there is no alert.
    """
    newest = sorted(alerts, key=lambda a: (-a.number, a.rule, a.change_id))[:entries]
    origin, moment = empty
    root = ET.Element("feed", {"xmlns": _ATOM, "xmlns:georss": _GEORSS})
    _element(root, "id", f"urn:uuid:{uuid5(_FEEDS, origin + chr(10) + channel)}")
    _element(root, "title", plain(title))
    _element(root, "updated", utc_text(newest[0].time if newest else moment))
    _element(_element(root, "author"), "name", "Landshift")
    _element(root, "subtitle", NOTE)
    _element(root, "generator", "Landshift")
    for alert in newest:
        entry = _element(root, "entry")
        _element(entry, "id", alert.id.urn)
        _element(entry, "title", headline(alert))
        _element(entry, "updated", utc_text(alert.time))
        _element(entry, "published", utc_text(alert.time))
        for term in (alert.state, plain(alert.rule), plain(alert.change)):
            _element(entry, "category", term=term)
        _element(entry, "content", details(alert), type="text")
        west, south, east, north = alert.bbox
        _element(entry, "georss:point", f"{alert.lat:.6f} {alert.lon:.6f}")
        # GeoRSS has no box across the antimeridian.
        if west <= east:
            _element(entry, "georss:box", f"{south:.6f} {west:.6f} {north:.6f} {east:.6f}")
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _element(parent: ET.Element, name: str, text: str | None = None, **attributes: str) -> ET.Element:
    element = ET.SubElement(parent, name, attributes)
    element.text = text
    return element
