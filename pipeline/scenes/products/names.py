"""Facts in the names of an archive's files: product, scene, day, satellite, level, band."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path, PurePosixPath

from landshift.pipeline.errors import InputError
from landshift.pipeline.raster.place import ArchivedFile, RasterPlace
from landshift.pipeline.scenes.products.table import PRODUCTS, Product
from landshift.pipeline.scenes.sensors import Sensor


@dataclass(frozen=True)
class FoundFile:
    """A file of a folder or of an archive in it."""

    place: RasterPlace
    """Where it lies."""
    relative: str
    """POSIX path relative to the folder, through an archive where it is inside one."""


@dataclass(frozen=True)
class NamedFile:
    """A raster whose name belongs to a product."""

    file: FoundFile
    """The file."""
    product: Product
    """Row of the table."""
    key: str
    """What the files of a scene share: folder and scene; it ends with the scene's id."""
    scene: str
    """Id of the scene."""
    band: str
    """The provider's name, or what a stack of bands is called."""
    day: date
    """Of the acquisition (UTC)."""
    acquired: datetime | None
    """When (UTC); None where the name has the day alone."""
    platform: str
    """Satellite, empty where the name has none."""
    level: str
    """Key of the product's sensors; empty where the name has none."""
    tile: str
    """Tile, path and row; empty where the name has none."""
    resolution: int
    """Metres; 0 where the name has none."""
    baseline: str | None
    """Of the processing; None where the name has none."""
    processed: str
    """When, as text that sorts; empty where the name has none."""
    by_folder: str
    """Path of the folder that holds the one scene, relative; empty where files are told apart by their own names."""

    @property
    def acquisition(self) -> tuple[str, ...]:
        """What two processings of one acquisition share."""
        # Without tiles (PlanetScope) the scene is one acquisition, and a satellite takes several within a second.
        return self.product.name, self.platform.upper(), (self.tile or self.scene).upper(), str(self.acquired or self.day)

    @property
    def rank(self) -> tuple[str, str]:
        """Greater for the newer processing."""
        return self.baseline or "", self.processed


def name_file(file: FoundFile) -> NamedFile | None:
    """Return the facts in a file's name; None where it belongs to no product.

    Raises:
        InputError: It looks like a product's name, and its date is not in the calendar.
    """
    path = PurePosixPath(file.relative)
    for product in PRODUCTS:
        own = product.file.fullmatch(path.name)
        if own is None:
            continue
        folder, facts = _folder_of(product, path)
        facts = {**own.groupdict(default=""), **facts}
        scene = facts.get("scene") or f"T{facts['tile']}_{facts['day']}T{facts['time']}"
        day, acquired = _moment(file, facts)
        level = product.level_of(facts.get("level", ""))
        if not level and facts.get("resolution"):
            # Only Level-2A of Sentinel-2 names the resolution of a band.
            level = product.level_of("L2A")
        return NamedFile(
            file, product, key=folder or str(path.parent / scene), scene=scene, band=facts["band"], day=day, acquired=acquired,
            platform=facts.get("platform", ""), level=level, tile=facts.get("tile", ""),
            resolution=int(facts.get("resolution") or 0), baseline=facts.get("baseline") or None,
            processed=facts.get("processed", ""), by_folder=folder,
        )  # fmt: skip
    return None


def metadata_key(file: FoundFile) -> str | None:
    """Return the key of the scene that a metadata file belongs to; None where it is something else.

    Landsat's `_MTL.xml` has what its `_MTL.txt` has, and is passed by where that one lies beside it.
    """
    path = PurePosixPath(file.relative)
    for product in PRODUCTS:
        own = product.metadata.fullmatch(path.name) if product.metadata else None
        if own is None:
            continue
        if path.name.lower().endswith("_mtl.xml") and _has_text(file):
            return None
        folder, _ = _folder_of(product, path)
        return folder or str(path.parent / own.groupdict().get("scene", path.parent.name))
    return None


def _has_text(file: FoundFile) -> bool:
    """Return whether the same name with `.txt` lies beside a file."""
    if isinstance(file.place, ArchivedFile):
        try:
            replace(file.place, member=str(PurePosixPath(file.place.member).with_suffix(".txt"))).read(1)
        except InputError:
            return False
        return True
    return isinstance(file.place, Path) and file.place.with_suffix(".txt").is_file()


def _folder_of(product: Product, path: PurePosixPath) -> tuple[str, Mapping[str, str]]:
    """Return the folder of a scene that a path lies in, and the facts in its name; empty where it lies in no such folder."""
    if product.folder is not None:
        for parent in path.parents:
            found = product.folder.fullmatch(parent.name)
            if found:
                return str(parent), found.groupdict(default="")
    return "", {}


def _moment(file: FoundFile, facts: Mapping[str, str]) -> tuple[date, datetime | None]:
    try:
        if facts.get("doy"):
            start = datetime(int(facts["year"]), 1, 1, tzinfo=UTC) + timedelta(int(facts["doy"]) - 1)
            if start.year != int(facts["year"]):
                raise ValueError(f"day {facts['doy']} of {facts['year']}")
        else:
            start = datetime.strptime(facts["day"], "%Y%m%d").replace(tzinfo=UTC)
        time = facts.get("time")
        when = datetime.strptime(time, "%H%M%S").replace(tzinfo=UTC) if time else None
    except ValueError as error:
        raise InputError(
            f"{file.relative}: its name holds no date of the calendar ({error}). Rename it as delivered."
        ) from error
    return start.date(), None if when is None else datetime.combine(start.date(), when.timetz())


def sensors_of(files: list[NamedFile]) -> list[str]:
    """Return the sensors that the levels of files belong to, each once; without a level in the name, all of the product."""
    names: dict[str, None] = {}
    for file in files:
        levels = [file.level] if file.level or "" in file.product.sensors else list(file.product.sensors)
        names |= dict.fromkeys(file.product.sensors[level] for level in levels)
    return list(names)


def fits(file: NamedFile, sensor: Sensor) -> bool:
    """Return whether a sensor of the config can be the one of a file, by product and level."""
    families = sensors_of([file])
    return any(sensor.name == family or sensor.name.startswith(f"{family}-") for family in families)


def matches(pattern: str, band: str) -> bool:
    """Return whether a band is called like a pattern of the table."""
    return re.fullmatch(pattern, band, re.IGNORECASE) is not None
