"""Facts of a STAC item: date, clouds, processing, and the grids of its assets."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import product
from typing import Any

from affine import Affine
from odc.geo import CRSError
from odc.geo.crs import CRS

from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid, grid_of
from landshift.pipeline.scenes.scene import DeclaredGrid
from landshift.pipeline.scenes.sensors import REFLECTANCE, Sensor, is_satellite, number_offset
from landshift.pipeline.scenes.stac.search import Item, Json

_TILES = ("grid:code", "s2:mgrs_tile", "s2:tile_id")
_PROCESSED = ("s2:generation_time", "processing:datetime", "updated", "created")
_BASELINES = ("s2:processing_baseline", "processing:version")
_LONGEST_SIDE = 10**7
"""Pixels; more than any raster has."""
_NUMBERS = re.compile(r"\d{2}")
"""Of a baseline such as 05.09 or N0509."""
_APPLIED = "earthsearch:boa_offset_applied"
_NAMED = re.compile(
    r"HLS[^/]*?([LS]30)|(?<![a-z0-9])(L[COTE]0?[4-9](?=[_\d])|landsat[-_ ]?[4-9](?!\d)|S2[A-D](?=_)|sentinel-?2)", re.IGNORECASE
)  # fmt: skip
"""A satellite in the id of an item or a collection: LT05_L2SP_..., HLS.L30.T18..., landsat-8-c2-l2."""
_LEVEL = re.compile(r"(?:MSIL?|(?:^|_)L)([12])(?:[AC]|[A-Z]{2})(?:_|$)")
"""Of a product: S2MSI2A, S2B_MSIL1C_..., L2SP, LC08_L1TP_..., ..._0_L2A."""
_LEVEL_OF_SENSOR = re.compile(r"-l([12])")
_CARRIERS = {"tm": "landsat-5", "etm": "landsat-7", "etm+": "landsat-7", "oli": "landsat-8", "msi": "sentinel-2"}
"""Instrument to one of its satellites."""

_FAULTY_ITEM = "Leave the item out with `scenes: stac: leave_out:`, and report it to the catalog's keeper."


def moment(item: Item) -> datetime:
    """Return when an item was acquired, in UTC; a time without zone is taken as UTC, as STAC demands.

    Raises:
        InputError: It has no datetime, or spans more than a day.
    """
    texts = [item.properties.get(k) for k in ("datetime", "start_datetime", "end_datetime")]
    times = [_time(item, str(t)) for t in texts if t]
    if texts[0]:
        return times[0]
    if len(times) == 2 and times[0].date() == times[1].date():
        return times[0]
    if len(times) == 2:
        raise InputError(
            f"Item {item.id} spans {times[0].date()} to {times[1].date()}: it is no single acquisition. Leave it out with "
            f"`scenes: stac: leave_out:`."
        )
    raise InputError(f"Item {item.id} has no datetime. Leave it out with `scenes: stac: leave_out:`.")


def _time(item: Item, text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InputError(f"Item {item.id}: {text!a:.60} is no datetime. Expected one such as 2020-06-15T10:30:00Z.") from error


def day(item: Item) -> date:
    """Return the day of an item in UTC.

    Raises:
        InputError: As `moment`.
    """
    return moment(item).date()


def cloud_cover(item: Item) -> float | None:
    """Return `eo:cloud_cover` in percent; None without it."""
    found = item.properties.get("eo:cloud_cover")
    return float(found) if isinstance(found, int | float) and 0 <= found <= 100 else None


def platform_of(item: Item) -> str:
    """Return the satellite of an item: its `platform`, else by its id, its collection or its instruments; or empty."""
    instruments = item.properties.get("instruments")
    named = [m for text in (item.id, item.content.get("collection")) if (m := _NAMED.search(str(text or "")))]
    told = [
        str(item.properties.get("platform") or ""),
        *(m[1] or m[2] for m in named),
        *(_CARRIERS.get(str(i).casefold(), "") for i in (instruments if isinstance(instruments, list) else ())),
    ]
    # A platform may be no more than LANDSAT.
    precise = (t for t in told if is_satellite(t) and any(map(str.isdigit, t)))
    return next(precise, next(filter(None, told), ""))


def require_level(item: Item, sensor: Sensor) -> None:
    """Refuse an item of another processing level than the sensor reads: assets of Level 1 and 2 have the same keys.

    Raises:
        InputError: Both levels are known, and differ.
    """
    told = [item.properties.get(k) for k in ("landsat:correction", "s2:product_type", "product:type")]
    level = next((m[1] for text in (*told, item.id) if (m := _LEVEL.search(str(text or "")))), None)
    own = _LEVEL_OF_SENSOR.search(sensor.name)
    if level and own and level != own[1]:
        raise InputError(
            f"Item {item.id} is of Level {level}, sensor {sensor.name} reads Level {own[1]}. Correct `sensor: name:` or "
            f"`scenes: stac: collection:`."
        )


def newest(items: Sequence[Item]) -> tuple[list[Item], list[tuple[Item, str]]]:
    """Keep one item of each acquisition: the one of the newest processing.

    Items are of one acquisition if they share the id, or the second, the platform and the tile. The highest processing
    baseline is kept, then the latest processing time, then the last id; the order of the items does not matter.

    Returns:
        The kept ones, and the others with the reason.
    """
    kept: dict[object, Item] = {}
    dropped: list[tuple[Item, str]] = []
    for item in sorted(items, key=_rank, reverse=True):
        keys = [("id", item.id), *([("acquisition", *seen)] if (seen := _acquisition(item)) else [])]
        winner = next((kept[k] for k in keys if k in kept), None)
        if winner is None:
            kept |= dict.fromkeys(keys, item)
        else:
            dropped.append((item, f"duplicate of {winner.id}, which is kept ({_processing(winner)})"))
    return list({id(i): i for i in kept.values()}.values()), dropped


def _acquisition(item: Item) -> tuple[str, ...] | None:
    tile = next((str(item.properties[k]) for k in _TILES if item.properties.get(k)), "")
    if not tile and item.properties.get("landsat:wrs_path"):
        tile = f"{item.properties['landsat:wrs_path']}/{item.properties.get('landsat:wrs_row')}"
    if not tile:
        return None
    return str(moment(item).replace(microsecond=0)), str(item.properties.get("platform", "")).casefold(), tile


def _rank(item: Item) -> tuple[Any, ...]:
    numbers = tuple(int(n) for n in _NUMBERS.findall(baseline(item) or ""))
    times = [t for k in _PROCESSED if (t := _time_or_none(item, k)) is not None]
    # The content decides between two with the same properties: any choice, but always the same.
    return numbers, times[0].timestamp() if times else 0.0, item.id, repr(item.content)


def _time_or_none(item: Item, key: str) -> datetime | None:
    try:
        return _time(item, str(item.properties.get(key)))
    except InputError:
        return None


def _processing(item: Item) -> str:
    facts = [f"{k} {item.properties[k]}" for k in (*_BASELINES, *_PROCESSED) if item.properties.get(k)]
    return facts[0] if facts else "its id comes last"


def baseline(item: Item) -> str | None:
    """Return the processing baseline of a Sentinel-2 item; None without it."""
    return next((str(item.properties[k]) for k in _BASELINES if item.properties.get(k)), None)


def item_offset(item: Item, sensor: Sensor, keys: Sequence[str], declared: float | None) -> float:
    """Return what to add to an item's numbers before scaling; `declared` is from the config, `keys` are the assets read.

    Sentinel-2 since baseline 04.00 has 1000 added to every number, which some catalogs took off again. In this order: the
    config; `earthsearch:boa_offset_applied`; the baseline and the offset of the assets' bands, which must agree where
    both are given. The result is checked against the pixels later (`look.require_offset_fits`).

    Raises:
        InputError: None of them has an offset, or two disagree.
    """
    if declared is not None or not sensor.baseline_offset:
        return number_offset(sensor, None, declared, item.id)
    applied = item.properties.get(_APPLIED)
    if applied is True or str(applied).casefold() == "true":
        # Some items of that catalog still carry the offset in raster:bands; it would be taken off twice.
        return 0.0
    stated = {round(o / sensor.scale, 6) for k in keys if (o := _factor(item.assets[k], 1, "offset")) is not None}
    known = baseline(item)
    if len(stated) > 1:
        raise InputError(
            f"Item {item.id}: its assets state different offsets ({sorted(stated)}). Set `sensor: number_offset:`."
        )
    if known is None and stated:
        return stated.pop()
    offset = number_offset(sensor, known, None, f"Item {item.id}")
    if applied is None and stated and stated != {offset}:
        raise InputError(
            f"Item {item.id}: processing baseline {known} means that {offset:g} has to be added to the numbers, its assets "
            f"declare {stated.pop():g}. Look at the pixels, and set `sensor: number_offset:` to 0 or -1000."
        )
    return offset


def bands_of(asset: Json) -> list[Json]:
    """Return the bands of an asset, as STAC 1.1 or the extensions before it describe them."""
    for key in ("bands", "eo:bands"):
        found = asset.get(key)
        if isinstance(found, list) and found and all(isinstance(b, Mapping) for b in found):
            return found
    return []


def _factor(asset: Json, number: int, name: str) -> float | None:
    """Return the `scale` or the `offset` of a band of an asset, from 1, as STAC 1.1 or the raster extension state it."""
    rasters, bands = asset.get("raster:bands"), bands_of(asset)
    old = rasters[number - 1] if isinstance(rasters, list) and len(rasters) >= number else {}
    new = bands[number - 1] if len(bands) >= number else {}
    for found in (old.get(name) if isinstance(old, Mapping) else None, new.get(f"raster:{name}"), asset.get(f"raster:{name}")):
        if isinstance(found, int | float) and not isinstance(found, bool):
            return float(found)
    return None


def require_factors(item: Item, sensor: Sensor, places: Iterable[tuple[str, int]]) -> None:
    """Refuse assets of which the catalog states another way from numbers to reflectance than the sensor has.

    The offset of Sentinel-2 is another matter, of `item_offset`.

    Args:
        item: The item.
        sensor: Of its satellite.
        places: Asset and band number of each spectral band that is read.

    Raises:
        InputError: A scale or an offset that differs; or Level 1 of Landsat, of which catalogs do not have the factors.
    """
    if sensor.name.startswith("landsat-c2-l1"):
        raise InputError(
            f"Item {item.id}: the numbers of Level 1 become reflectance by the height of the sun, which is in the MTL file of "
            f"the scene and not in the catalog. Use Level 2, or download the scene with that file and use `scenes: folder:`."
        )
    if sensor.units != REFLECTANCE:
        return
    names = ("scale",) if sensor.baseline_offset else ("scale", "offset")
    for (key, number), name in product(places, names):
        stated, own = _factor(item.assets[key], number, name), getattr(sensor, name)
        if stated is not None and not math.isclose(stated, own, rel_tol=1e-6, abs_tol=1e-12):
            raise InputError(
                f"Item {item.id}, asset {key}: by the catalog the {name} of its numbers is {stated:g}, by sensor {sensor.name} "
                f"{own:g}. Correct `sensor:`, or leave the item out with `scenes: stac: leave_out:`."
            )


def read_declared(item: Item, key: str) -> DeclaredGrid:
    """Return where a catalog declares the pixels of an asset to be: by the asset's own fields, else by the item's.

    Raises:
        InputError: The declaration is neither a grid nor a part of one.
    """

    def field(name: str) -> Any:  # noqa: ANN401 (JSON)
        return item.assets[key].get(name, item.properties.get(name))

    epsg = field("proj:epsg")
    crs = field("proj:code") or (f"EPSG:{epsg}" if epsg else None) or field("proj:wkt2")
    transform, shape = field("proj:transform"), field("proj:shape")
    name = f"Item {item.id}, asset {key} (by the catalog)"
    try:
        matrix = Affine(*(float(v) for v in transform[:6])) if transform else None
        rows, columns = (int(v) for v in shape) if shape else (1, 1)
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise InputError(
            f"{name}: proj:transform {transform!a:.100} and proj:shape {shape!a:.60} are no grid. {_FAULTY_ITEM}"
        ) from error
    if matrix is not None and not (all(map(math.isfinite, matrix)) and matrix.determinant):
        raise InputError(f"{name}: proj:transform {transform!a:.100} is no grid. {_FAULTY_ITEM}")
    if not (0 < rows < _LONGEST_SIDE and 0 < columns < _LONGEST_SIDE):
        raise InputError(f"{name}: proj:shape {shape!a:.60} is no size. {_FAULTY_ITEM}")
    return DeclaredGrid(_require_crs(crs, name) if crs else "", matrix, (rows, columns) if shape else None)


def _require_crs(crs: object, name: str) -> str:
    try:
        return CRS(str(crs)).crs_str
    except CRSError as error:
        raise InputError(f"{name} has the CRS {crs!a:.200}, which is not known ({error}). {_FAULTY_ITEM}") from error


def grid_by_catalog(declared: DeclaredGrid) -> Grid | None:
    """Return a grid that a catalog declares in full and that maps can be made on; None where the file has to be opened."""
    if not declared.crs or declared.transform is None or declared.shape is None:
        return None
    try:
        return grid_of(declared.transform, declared.shape, declared.crs)
    except InputError:
        # Degrees, or not north-up: whether the file is what the catalog declares is seen when it is opened.
        return None
