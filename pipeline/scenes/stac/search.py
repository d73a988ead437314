"""Items of STAC catalogs: of APIs page by page, of static ones file by file (https://github.com/radiantearth/stac-spec)."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import islice, product
from typing import Any

from pystac_client import Client
from pystac_client.exceptions import APIError
from pystac_client.warnings import strict

from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid
from landshift.pipeline.raster.place import is_remote, resolve
from landshift.pipeline.scenes.stac.documents import ApiDocuments, Documents, EndlessCatalogError

Json = Mapping[str, Any]
"""An object of JSON as a catalog sends it: an item, its properties, an asset."""

Box = tuple[float, float, float, float]
"""West, south, east, north in degrees (WGS 84); west is above east where the antimeridian is inside."""

_PAGE = 100
"""Items asked for at once."""
_STEPS = 16
"""Parts of each side of a region: its straight sides are bent in degrees."""


@dataclass(frozen=True)
class Item:
    """One item of a catalog, as it was read."""

    content: Json
    """Its JSON; empty where it could not be read."""
    href: str = ""
    """Where it was read: an address or a path, empty where it is not known."""
    fault: str = ""
    """Why it could not be read; empty where it could."""

    @property
    def id(self) -> str:
        """Its id, or where it should be where it could not be read."""
        return str(self.content.get("id") or self.href.rpartition("/")[2] or "item without id")

    @property
    def properties(self) -> Json:
        """Its properties, empty where it has none."""
        found = self.content.get("properties")
        return found if isinstance(found, Mapping) else {}

    @property
    def assets(self) -> dict[str, Json]:
        """Its assets that have an href, by key."""
        found = self.content.get("assets")
        pairs = found.items() if isinstance(found, Mapping) else ()
        return {str(k): a for k, a in pairs if isinstance(a, Mapping) and isinstance(a.get("href"), str) and a["href"]}


@dataclass(frozen=True)
class Query:
    """Criteria of a search."""

    box: Box
    """Of the region."""
    ranges: Sequence[tuple[date, date]]
    """First and last day (UTC, included) of each epoch."""
    collections: Sequence[str] = ()
    """Ids of the collections; none: any, in a static catalog."""
    conditions: Json = field(default_factory=dict)
    """For the API's query extension."""
    most: int = 500
    """More items than this are an error."""


def box_of(grid: Grid) -> Box:
    """Return the region in degrees."""
    ring = grid.extent.to_crs("EPSG:4326", resolution=max(grid.extent.boundingbox.span_x, 1) / _STEPS).exterior.coords
    longitudes, latitudes = zip(*[(x, y) for x, y, *_ in ring], strict=True)
    west, east = min(longitudes), max(longitudes)
    if east - west > 180:
        west, east = min(x for x in longitudes if x > 0), max(x for x in longitudes if x <= 0)
    return west, min(latitudes), east, max(latitudes)


def boxes_meet(first: Box, second: Box) -> bool:
    """Whether two boxes share a point."""

    def spans(box: Box) -> list[tuple[float, float]]:
        return [(box[0], box[2])] if box[0] <= box[2] else [(box[0], 180.0), (-180.0, box[2])]

    if first[1] > second[3] or second[1] > first[3]:
        return False
    return any(a[0] <= b[1] and b[0] <= a[1] for a in spans(first) for b in spans(second))


def search_api(url: str, query: Query, documents: Documents) -> list[Item]:
    """Search a STAC API, page by page.

    Args:
        url: Of the API.
        query: Criteria of the search.
        documents: Reads what the API answers, within its limits.

    Raises:
        InputError: It cannot be reached or searched, refuses the query, or has too many items.
    """
    io = ApiDocuments(documents)
    items: dict[str, Item] = {}
    try:
        # What the client only warns of, a server that cannot search or query, would give wrong answers.
        with strict():
            client = Client.open(url, stac_io=io)
            methods = {str(li.extra_fields.get("method", "")) for li in client.get_links("search")}
            # Some APIs take one collection at once.
            for (start, end), collection in product(query.ranges, query.collections):
                search = client.search(
                    method="GET" if methods == {"GET"} else "POST", collections=collection,
                    bbox=list(query.box), datetime=f"{start}T00:00:00Z/{end}T23:59:59.999999Z",
                    query=dict(query.conditions) or None, limit=min(_PAGE, query.most),
                )  # fmt: skip
                for number, content in enumerate(islice(search.items_as_dicts(), query.most + 1), start=1):
                    _require_few(number, query, url)
                    if not isinstance(content, Mapping):
                        raise InputError(f"{url} sends {content!a:.60} as an item. Report it to the catalog's keeper.")
                    # The same item may come with two epochs or two pages; another version of it is another item.
                    items[json.dumps(content, sort_keys=True)] = Item(content, _self(content))
    except InputError:
        raise
    except APIError as error:
        why = f"answers HTTP {error.status_code}: {error!s:.200}"
        raise InputError(f"The catalog {url} {why}. Check `scenes: stac:`, or try again later.") from error
    except Exception as error:
        # Whatever is missing or of another type in its answers: the client raises errors of every kind.
        raise InputError(
            f"{url} is not a searchable STAC API ({type(error).__name__}: {error!s:.200}). A static catalog goes to "
            f"`scenes: stac: catalog:`."
        ) from error
    return list(items.values())


def _self(content: Json) -> str:
    return next((href for href in _hrefs(content, "self") if is_remote(href)), "")


def _hrefs(content: Json, relation: str) -> list[str]:
    """Return the hrefs of a document's links of one relation; what is no link is passed over."""
    links = content.get("links")
    named = [li for li in links if isinstance(li, Mapping)] if isinstance(links, list) else []
    return [li["href"] for li in named if li.get("rel") == relation and isinstance(li.get("href"), str) and li["href"]]


def _require_few(number: int, query: Query, place: str) -> None:
    if number > query.most:
        raise InputError(
            f"{place} has more than {query.most} items for the region and an epoch. Narrow the epochs, or raise "
            f"`scenes: stac: max_items:`."
        )


def read_catalog(place: str, query: Query, documents: Documents) -> list[Item]:
    """Read a static catalog: a catalog or collection with all below it, a list of items, or one item.

    Args:
        place: A path, or an address.
        query: Criteria for items to keep; dates are left to the caller.
        documents: Reads what belongs to the catalog, within its limits.

    Raises:
        InputError: The catalog or one below it cannot be read. An item that cannot be read is in the answer, with its fault.
    """
    items = []
    for item in _below(place, documents, query.collections):
        box = item_box(item)
        if not item.fault and query.collections and item.content.get("collection") not in query.collections:
            continue
        if box is None or boxes_meet(box, query.box):
            items.append(item)
            _require_few(len(items), query, place.partition("?")[0])
    return items


def item_box(item: Item) -> Box | None:
    """Return the `bbox` of an item, None where it has none that can be used."""
    found = item.content.get("bbox")
    if not isinstance(found, list) or len(found) not in (4, 6) or not all(isinstance(v, int | float) for v in found):
        return None
    half = len(found) // 2
    return found[0], found[1], found[half], found[half + 1]


def _below(place: str, documents: Documents, collections: Sequence[str]) -> Iterator[Item]:
    waiting, seen = [place], set()
    while waiting:
        href = waiting.pop(0)
        if href in seen:
            continue
        seen.add(href)
        shown = href.partition("?")[0]
        content = documents.read(href)
        kind = content.get("type")
        if kind == "FeatureCollection":
            features = content.get("features")
            if not isinstance(features, list):
                raise InputError(f"{shown}: its `features` are {features!a:.60}. Expected a list of items.")
            yield from (_take_listed(feature, shown, href) for feature in features)
        elif kind == "Feature":
            yield Item(content, href)
        else:
            _require_catalog(content, shown)
            other = bool(collections) and kind == "Collection" and content["id"] not in collections
            waiting += [resolve(link, href) for link in _hrefs(content, "child")]
            yield from (_item(link, href, documents) for link in ([] if other else _hrefs(content, "item")))


def _take_listed(feature: object, shown: str, href: str) -> Item:
    if not isinstance(feature, Mapping):
        return Item({}, shown, f"{shown} has {feature!a:.60} in its list of items. Expected an item.")
    return Item(feature, _self(feature) or href)


def _require_catalog(content: Json, shown: str) -> None:
    """Refuse a document that is neither a catalog nor a collection; those before STAC 1.0 have no type."""
    expected = {"id": str, "stac_version": str, "links": list}
    wrong = [f"{key} is {content.get(key)!a:.60}" for key, kind in expected.items() if not isinstance(content.get(key), kind)]
    if content.get("type") not in ("Catalog", "Collection", None):
        wrong.append(f"type is {content['type']!a:.60}")
    if wrong:
        raise InputError(f"{shown} is no STAC catalog ({', '.join(wrong)}). Expected a catalog, a collection or items.")


def _item(link: str, base: str, documents: Documents) -> Item:
    shown = link.partition("?")[0]
    try:
        href = resolve(link, base)
        shown = href.partition("?")[0]
        return Item(documents.read(href), href)
    except EndlessCatalogError:
        raise
    except InputError as error:
        return Item({}, shown, str(error))
