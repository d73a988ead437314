"""Scenes and findings made of the items of a catalog."""

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from pathlib import Path

from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid, crs_name, overlap_share
from landshift.pipeline.raster.place import RasterPlace, RemoteFile, is_remote, remote_file, resolve
from landshift.pipeline.raster.read import inspect
from landshift.pipeline.raster.servers.access import Access
from landshift.pipeline.scenes.declared import require_declared_place
from landshift.pipeline.scenes.look import AT_ONCE
from landshift.pipeline.scenes.products.offsets import choose_declared
from landshift.pipeline.scenes.scene import DeclaredGrid, Scene, Source
from landshift.pipeline.scenes.season import Season, outside
from landshift.pipeline.scenes.sensors import Sensor
from landshift.pipeline.scenes.stac.access import advise, choose_address
from landshift.pipeline.scenes.stac.assets import QUALITY, assets_of, require_colour
from landshift.pipeline.scenes.stac.items import (
    cloud_cover,
    day,
    grid_by_catalog,
    item_offset,
    moment,
    newest,
    platform_of,
    read_declared,
    require_factors,
    require_level,
)
from landshift.pipeline.scenes.stac.search import Item, box_of, boxes_meet, item_box
from landshift.pipeline.scenes.survey import Finding, finding_of, finding_of_fault


@dataclass(frozen=True)
class Reading:
    """How items are read and chosen."""

    sensor: Sensor
    """What the files hold."""
    grid: Grid
    """Of the region."""
    ranges: Sequence[tuple[date, date]]
    """First and last day of each epoch."""
    local: Callable[[Path, str], Path]
    """Returns where a path that an asset names may be read, or refuses it; the text names the asset."""
    bands: tuple[str, ...] = ()
    """Wanted; empty: all."""
    assets: Mapping[str, str] = field(default_factory=dict)
    """Band name to asset key, where the catalog does not decide it."""
    max_cloud_cover: float | None = None
    """Percent, included."""
    leave_out: Collection[str] = ()
    """Ids of items not to use."""
    declared_offset: float | Mapping[str, float] | None = None
    """What the config adds to every number: of all items, or by id or day of the item."""
    sign: Callable[[str], str] = str
    """Signs the address of a file."""
    alternate: str | None = None
    """Which address of a file is read, where it has several; None: its own."""
    access: Access = field(default_factory=Access)
    """Hosts that may be asked for files, and credentials that may be used."""
    season: Season | None = None
    """The part of the year that is wanted; None: all of it."""


def signer(name: str) -> Callable[[str], str]:
    """Return what signs addresses.

    Raises:
        InputError: The package for it is not installed.
    """
    if name == "none":
        return str
    try:
        from planetary_computer import sign_url
    except ImportError as error:
        raise InputError(
            "`scenes: stac: sign: planetary-computer` needs the package planetary-computer: "
            "`pip install landshift[planetary-computer]`."
        ) from error

    return partial(_sign, sign_url)


def _sign(sign_url: Callable[[str], str], address: str) -> str:
    try:
        return str(sign_url(address))
    except Exception as error:
        # Whatever stops it, the network mostly; its message may hold a key.
        raise InputError(f"the address cannot be signed ({type(error).__name__}). Check the network, or try again.") from None


def findings_of(items: Sequence[Item], how: Reading) -> list[Finding]:
    """Make a finding of each item: a scene, why it is left out, or what is wrong with it.

    Items outside all epochs are left out silently, as an API would not have sent them.

    Returns:
        In no particular order; the order of the items does not matter.
    """
    findings = [Finding(i.id, fault=i.fault) for i in items if i.fault and i.id not in how.leave_out]
    dated: list[Item] = []
    for item in items:
        try:
            if not item.fault and (item.id in how.leave_out or any(a <= day(item) <= b for a, b in how.ranges)):
                dated.append(item)
        except InputError as error:
            findings.append(finding_of_fault(item.id, error))
    unwanted = [i for i in dated if i.id in how.leave_out]
    findings += [Finding(i.id, left_out="named in `scenes: stac: leave_out:`") for i in unwanted]
    kept, doubles = newest([i for i in dated if i.id not in how.leave_out])
    findings += [Finding(i.id, left_out=why, day=day(i), cloud_cover=cloud_cover(i)) for i, why in doubles]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        # Where a catalog declares no grid, a file is opened, which is waiting for a server.
        return findings + list(pool.map(lambda item: _finding(item, how), kept))


def _finding(item: Item, how: Reading) -> Finding:
    clouds = cloud_cover(item)
    left_out = outside(how.season, day(item))
    if not left_out and how.max_cloud_cover is not None and clouds is None:
        left_out = "has no cloud cover (eo:cloud_cover), and `scenes: stac: max_cloud_cover:` is set"
    elif not left_out and how.max_cloud_cover is not None and clouds is not None and clouds > how.max_cloud_cover:
        left_out = f"too cloudy: {clouds:.3g} %, at most {how.max_cloud_cover:g} % are wanted"
    if left_out:
        return Finding(item.id, left_out=left_out, day=day(item), cloud_cover=clouds)
    try:
        scene = scene_of(item, how)
        if overlap_share(how.grid, scene.grid) == 0:
            _require_one_place(item, scene.grid)
            return Finding(item.id, left_out="does not overlap the region", day=scene.date, cloud_cover=clouds)
    except InputError as error:
        return finding_of_fault(item.id, error, day=day(item), cloud_cover=clouds)
    return finding_of(scene)


def _require_one_place(item: Item, grid: Grid) -> None:
    """Refuse an item with two places: it would be left out as lying elsewhere, though its files may lie here."""
    box = item_box(item)
    if box is not None and not boxes_meet(box, box_of(grid)):
        raise InputError(
            f"Item {item.id}: its bbox {[round(v, 3) for v in box]} and its proj: fields ({crs_name(grid.crs)}, in degrees "
            f"{[round(v, 3) for v in box_of(grid)]}) do not agree. Leave it out with `scenes: stac: leave_out:`, and report "
            f"it to the catalog's keeper."
        )


def scene_of(item: Item, how: Reading) -> Scene:
    """Turn an item into a scene, from the catalog; a file is opened only where the catalog has no grid of it.

    Raises:
        InputError: A satellite, a band, an address, a grid or an offset that is missing or not accepted.
    """
    platform = platform_of(item)
    sensor = how.sensor.of_platform(platform, f"Item {item.id}")
    require_level(item, sensor)
    # A config may name assets of bands that only other satellites of the family have.
    foreign = {b.name for m in how.sensor.members for b in m.bands} - {b.name for b in sensor.bands}
    places = assets_of(item, sensor, {n: key for n, key in how.assets.items() if n not in foreign})
    if not set(places) - {QUALITY}:
        raise InputError(
            f"Item {item.id}: none of its assets ({', '.join(item.assets) or 'it has none'}) holds a band of sensor "
            f"{sensor.name}. Check `sensor:`, or name them in `scenes: stac: assets:`."
        )
    # A wanted band that is missing is reported where the bands are chosen.
    wanted = {n: p for n, p in places.items() if not how.bands or n in how.bands or n == QUALITY}
    for band in sensor.bands:
        if band.name in (wanted or places) and band.name not in how.assets:
            require_colour(item, band, places[band.name])
    require_factors(item, sensor, [place for name, place in (wanted or places).items() if name != QUALITY])
    sources = {name: _source(item, key, number, how) for name, (key, number) in (wanted or places).items()}
    _require_apart(item, sources)
    quality = sources.pop(QUALITY, None)
    if not sources:
        raise InputError(f"Item {item.id} lacks the band {how.bands[0]}; it has {', '.join(places)}. Correct `bands:`.")
    declared = choose_declared(item.id, day(item), how.declared_offset)
    offset = item_offset(item, sensor, [s.asset for s in sources.values()], declared)
    finest = _finest(item, sensor, list(sources.values()))
    return Scene(
        item.id, day(item), sensor, sources, quality=quality, grid=finest, number_offset=offset,
        cloud_cover=cloud_cover(item), acquired=moment(item), platform=platform,
    )  # fmt: skip


def _finest(item: Item, sensor: Sensor, sources: Sequence[Source]) -> Grid:
    """Return the finest grid of files, as the catalog declares them; of the files themselves where it does not."""
    grids = [grid_by_catalog(source.declared or DeclaredGrid()) for source in sources]
    unknown = [source for source, grid in zip(sources, grids, strict=True) if grid is None]
    # All bands of Landsat and of HLS are on one grid; the other files are opened when the scene is used.
    to_open = unknown[:1] if sensor.platforms else unknown
    return min([*filter(None, grids), *(_grid_of_file(item, source) for source in to_open)], key=lambda g: float(g.transform.a))


def _grid_of_file(item: Item, source: Source) -> Grid:
    try:
        info = inspect(source.path)
        require_declared_place(info, source.declared or DeclaredGrid())
        return info.grid
    except InputError as error:
        raise type(error)(f"Item {item.id}, asset {source.asset}: {error}") from None


def _source(item: Item, key: str, number: int, how: Reading) -> Source:
    try:
        return Source(_place(item, key, how), number, key, read_declared(item, key))
    except InputError as error:
        prefix = f"Item {item.id}, asset {key}"
        raise error if str(error).startswith(prefix) else type(error)(f"{prefix}: {error}") from None


def _place(item: Item, key: str, how: Reading) -> RasterPlace:
    chosen = choose_address(item, key, how.alternate)
    address = resolve(str(chosen["href"]), item.href)
    if not is_remote(address):
        return how.local(Path(address), f"item {item.id}, asset {key}")
    checksum = chosen.get("file:checksum") or item.assets[key].get("file:checksum")
    updated = item.properties.get("updated")
    version = str(checksum or updated) if checksum or updated else None
    advice = advise(item, key, chosen, address, signed=how.sign is not str, access=how.access)
    # Refused before it is signed: a token is not given to any address.
    file = remote_file(address, version, is_checksum=bool(checksum), advice=advice, access=how.access)
    return file if how.sign is str else replace(file, sign=how.sign)


def _require_apart(item: Item, sources: Mapping[str, Source]) -> None:
    """Refuse addresses that differ in their query alone: it is never shown or recorded, so they could not be distinguished."""
    seen: dict[str, Source] = {}
    for source in sources.values():
        other = seen.setdefault(str(source.path), source)
        if isinstance(source.path, RemoteFile) and isinstance(other.path, RemoteFile) and other.asset != source.asset:
            raise InputError(
                f"Item {item.id}: the assets {other.asset} and {source.asset} have addresses that differ in their query "
                f"alone, {source.path}. Expected one path a file; download them, and use `scenes: folder:`."
            )
