"""Items of STAC catalogs: of APIs page by page, of static ones file by file (https://github.com/radiantearth/stac-spec)."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import islice, product
from pathlib import Path
from typing import Any

import pystac
import requests
from pystac.stac_io import DefaultStacIO
from pystac_client import Client
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from pystac_client.warnings import strict

from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid
from landshift.pipeline.raster.place import failure_of, is_remote, resolve, retries, session

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


def search_api(url: str, query: Query, timeout: float = 30) -> list[Item]:
    """Search a STAC API, page by page.

    Args:
        url: Of the API.
        query: Criteria of the search.
        timeout: Seconds to connect, and between two bytes of an answer.

    Raises:
        InputError: It cannot be reached or searched, refuses the query, or has too many items.
    """
    io = StacApiIO(timeout=timeout, max_retries=retries())
    items: dict[str, Item] = {}
    try:
        # What the client only warns of, a server that cannot search or query, would give wrong answers.
        with strict():
            client = Client.open(url, stac_io=io, timeout=timeout)
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
                    # The same item may come with two epochs or two pages; another version of it is another item.
                    items[json.dumps(content, sort_keys=True)] = Item(content, _self(content))
    except APIError as error:
        status = getattr(error, "status_code", None)
        why = f"answers HTTP {status}: {error!s:.200}" if status else failure_of(str(error))
        raise InputError(f"The catalog {url} {why}. Check `scenes: stac:`, or try again later.") from error
    except (pystac.errors.STACError, Warning, ValueError, KeyError, TypeError, AttributeError, NotImplementedError) as error:
        raise InputError(
            f"{url} is not a searchable STAC API ({type(error).__name__}: {error!s:.200}). A static catalog goes to "
            f"`scenes: stac: catalog:`."
        ) from error
    return list(items.values())


def _self(content: Json) -> str:
    for link in content.get("links") or ():
        if isinstance(link, Mapping) and link.get("rel") == "self" and is_remote(str(link.get("href", ""))):
            return str(link["href"])
    return ""


def _require_few(number: int, query: Query, place: str) -> None:
    if number > query.most:
        raise InputError(
            f"{place} has more than {query.most} items for the region and an epoch. Narrow the epochs, or raise "
            f"`scenes: stac: max_items:`."
        )


class _Reader(DefaultStacIO):
    """Reads JSON from here or from a server, and nothing outside the folders that are allowed."""

    def __init__(self, allowed: Callable[[Path], Path], timeout: float) -> None:
        super().__init__()
        self._allowed, self._timeout = allowed, timeout
        self._session = session()

    def read_text_from_href(self, href: str) -> str:
        """Return the text.

        Raises:
            InputError: It cannot be read, or lies outside.
        """
        if not is_remote(href):
            path = self._allowed(Path(resolve(href, "/")))
            try:
                return path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                why = getattr(error, "strerror", None) or error
                raise InputError(f"{path} cannot be read ({why}). Expected a STAC catalog.") from error
        shown = href.partition("?")[0]
        try:
            answer = self._session.get(href, timeout=self._timeout)
        except requests.RequestException as error:
            raise InputError(f"The catalog {shown} {failure_of(str(error))}. Check the network, or try again later.") from None
        if answer.status_code != requests.codes.ok:
            raise InputError(f"The catalog {shown} answers HTTP {answer.status_code}. Check `scenes: stac: catalog:`.")
        return answer.content.decode("utf-8", errors="replace")


def read_catalog(place: str, query: Query, allowed: Callable[[Path], Path], timeout: float = 30) -> list[Item]:
    """Read a static catalog: a catalog or collection with all below it, a list of items, or one item.

    Args:
        place: A path, or an address.
        query: Criteria for items to keep; dates are left to the caller.
        allowed: Returns where a path may be read, or refuses it.
        timeout: Seconds to connect, and between two bytes.

    Raises:
        InputError: The catalog or one below it cannot be read. An item that cannot be read is in the answer, with its fault.
    """
    reader = _Reader(allowed, timeout)
    items = []
    for item in _below(place, reader, query.collections):
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


def _below(place: str, reader: _Reader, collections: Sequence[str]) -> Iterator[Item]:
    waiting, seen = [place], set()
    while waiting:
        href = waiting.pop(0)
        if href in seen:
            continue
        seen.add(href)
        shown = href.partition("?")[0]
        content = _json(reader.read_text_from_href(href), shown)
        if content.get("type") == "FeatureCollection":
            yield from (Item(c, _self(c) or href) for c in content.get("features") or () if isinstance(c, Mapping))
        elif content.get("type") == "Feature":
            yield Item(content, href)
        else:
            try:
                catalog = pystac.read_dict(content, href=href, stac_io=reader)
            except Exception as error:
                # Whatever is missing or of another type in it: pystac raises errors of every kind.
                raise InputError(f"{shown} is no STAC catalog ({type(error).__name__}: {error!s:.200}).") from error
            other = bool(collections) and isinstance(catalog, pystac.Collection) and catalog.id not in collections
            waiting += [resolve(li.href, href) for li in catalog.get_links("child") if isinstance(li.href, str)]
            links = [] if other else [resolve(li.href, href) for li in catalog.get_links("item") if isinstance(li.href, str)]
            yield from (_item(link, reader) for link in links)


def _item(href: str, reader: _Reader) -> Item:
    try:
        return Item(_json(reader.read_text_from_href(href), href.partition("?")[0]), href)
    except InputError as error:
        return Item({}, href.partition("?")[0], str(error))


def _json(text: str, name: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is no JSON ({error}). Expected a STAC catalog or item.") from error
    if not isinstance(content, dict):
        raise InputError(f"{name} holds no JSON object. Expected a STAC catalog or item.")
    return content
