"""What a folder holds: scenes of which product, or of which files, and what may be labels."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePosixPath

from landshift.pipeline.errors import InputError
from landshift.pipeline.files.walking import require_listable
from landshift.pipeline.raster.place import ArchivedFile
from landshift.pipeline.raster.read import RasterInfo, inspect
from landshift.pipeline.scenes.dates import WRITTEN, find_day, read_day
from landshift.pipeline.scenes.folder import RASTERS
from landshift.pipeline.scenes.products.names import FoundFile, NamedFile, name_file, sensors_of
from landshift.pipeline.scenes.products.walk import require_printable, walk

VECTORS = (".gpkg", ".geojson", ".shp", ".fgb")
"""Suffixes of layers that may hold labels."""
_LABEL = re.compile(r"label|truth|mask|reference|lulc|landuse|land_use|landcover|classes", re.IGNORECASE)
_CHIPS = (
    ("a", "b"), ("before", "after"), ("im1", "im2"), ("image1", "image2"), ("t1", "t2"), ("time1", "time2"), ("pre", "post"),
)  # fmt: skip
"""Folders of both dates of a collection of chips."""
_MASK = re.compile(
    r"(?:^|_)(?:udm2?|pixel_qa|radsat_qa|sr_cloud_qa|bqa|qa60|cloud_?mask|cloudprob\w*)(?:_clip)?$", re.IGNORECASE
)
"""Ends of names of masks; SCL and QA_PIXEL beside their bands are read."""
_YEAR = re.compile(r"(?<!\d)((?:19[7-9]|20[0-4])\d)(?!\d)")


@dataclass(frozen=True)
class DatedFile:
    """A raster that belongs to no product."""

    file: FoundFile
    """The file."""
    info: RasterInfo
    """Its metadata."""
    day: date | None
    """Of the acquisition, by the name of the file or of its folder; None where neither has one."""
    year: int | None
    """In the name, where there is no day."""
    written: date | None
    """When the file was written, by its tag: of an export any later day."""


@dataclass(frozen=True)
class FolderContent:
    """What a folder holds."""

    folder: Path
    """The folder."""
    products: tuple[NamedFile, ...]
    """Files that are called as an archive calls them."""
    files: tuple[DatedFile, ...]
    """Other rasters that may be scenes: of one number of bands."""
    label_rasters: tuple[FoundFile, ...]
    """Rasters that may be labels."""
    layers: tuple[Path, ...]
    """Layers that may be labels."""
    notes: tuple[str, ...]
    """What is passed by and why; sentences."""


def read_folder(folder: Path) -> FolderContent:
    """Look through a folder, its subfolders and the archives in it; no pixel is read.

    Raises:
        InputError: No folder, or a collection of chips.
    """
    require_listable(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder. Expected one with images of at least two dates.")
    _require_territory(folder)
    notes: list[str] = []
    walked = walk(folder, lambda name, error: notes.append(str(error)), (*RASTERS, *VECTORS))
    found = [file for file in walked if _can_show(file, notes)]
    layers = [Path(str(f.place)) for f in found if f.relative.lower().endswith(VECTORS) and isinstance(f.place, Path)]
    rasters = [f for f in found if not f.relative.lower().endswith(VECTORS)]
    products, others = [], []
    for file in rasters:
        name = _find_product(file, notes)
        products.append(name) if name is not None else others.append(file)
    # Beside scenes of an archive, other rasters can only be labels; what lies deeper are its previews and masks.
    if products:
        labels = [f for f in others if isinstance(f.place, Path) and "/" not in f.relative]
        return FolderContent(
            folder, tuple(products), files=(), label_rasters=tuple(labels), layers=tuple(layers), notes=tuple(notes)
        )
    others = _leave_archived_out(others, notes)
    others = _leave_masks_out(others, notes)
    dated = [made for f in others if not _LABEL.search(PurePosixPath(f.relative).name) and (made := _date(f, notes))]
    labels = [f for f in others if _LABEL.search(PurePosixPath(f.relative).name)]
    kept = _of_one_kind(dated)
    labels += [d.file for d in dated if d not in kept and d.day is None]
    for other in [d for d in dated if d not in kept and d.day is not None]:
        notes.append(f"{other.file.relative} is left out: it has {_bands(other.info)}, others have {_bands(kept[0].info)}.")
    return FolderContent(
        folder, products=(), files=tuple(kept), label_rasters=tuple(labels), layers=tuple(layers), notes=tuple(notes)
    )


def find_chip_folders(folder: Path) -> tuple[str, str] | None:
    """Return the names, in lower case, of the folders of both dates of a collection of chips; None for any other folder."""
    folders = [p for pattern in ("*", "*/*") for p in folder.glob(pattern) if p.is_dir()]
    names = {p.name.casefold() for p in folders}
    pair = next((pair for pair in _CHIPS if set(pair) <= names), None)
    if pair is None:
        return None
    inside = (f for p in folders if p.name.casefold() == pair[0] for f in (*p.iterdir(), *p.glob("*/*")))
    is_chip = any(f.suffix.lower() in (".png", ".jpg", ".jpeg", *RASTERS) and find_day(f.name) is None for f in inside)
    return pair if is_chip else None


def _require_territory(folder: Path) -> None:
    """Refuse a collection of chips, which is no territory."""
    pair = find_chip_folders(folder)
    if pair is not None:
        raise InputError(
            f"{folder} has the folders {pair[0]} and {pair[1]}, as a collection of chips has, and no grid of its own. "
            f"Name its folders in a config with `labels: chips:` (`configs/chips.yaml` is an example), then run "
            f"`landshift check`."
        )


def _leave_archived_out(others: Sequence[FoundFile], notes: list[str]) -> list[FoundFile]:
    """Return the files that lie in no archive: of others only the name of a product shows what they are."""
    archives = Counter(str(f.place.archive.name) for f in others if isinstance(f.place, ArchivedFile))
    notes += [f"{name} holds {count} images of no known product; unpack it to use them." for name, count in archives.items()]
    return [f for f in others if not isinstance(f.place, ArchivedFile)]


def _leave_masks_out(others: Sequence[FoundFile], notes: list[str]) -> list[FoundFile]:
    """Return the files that are not called as masks and quality bands are, which would be taken for pictures."""
    masks = [f for f in others if _MASK.search(PurePosixPath(f.relative).stem)]
    notes += [f"{f.relative} is left out: by its name it is a mask or a quality band." for f in masks]
    return [f for f in others if f not in masks]


def _can_show(file: FoundFile, notes: list[str]) -> bool:
    """Return whether a config and a terminal can show a file's name; with a note where they cannot."""
    try:
        require_printable(PurePosixPath(file.relative))
    except InputError as error:
        notes.append(str(error))
        return False
    return True


def _find_product(file: FoundFile, notes: list[str]) -> NamedFile | None:
    try:
        return name_file(file)
    except InputError as error:
        notes.append(str(error))
        return None


def _date(file: FoundFile, notes: list[str]) -> DatedFile | None:
    """Return a raster with its date; None, with a note, where it cannot be used."""
    try:
        info, day = inspect(file.place), find_day(file.relative)
        written = read_day(str(file.place), info.tags.get(WRITTEN, ""))
    except InputError as error:
        notes.append(str(error))
        return None
    year = _YEAR.search(file.relative) if day is None else None
    return DatedFile(file, info, day, year=int(year[1]) if year else None, written=written)


def _of_one_kind(files: Sequence[DatedFile]) -> list[DatedFile]:
    """Return the files with the number of bands that most files have; those with days count before those without."""
    counts = Counter(f.info.count for f in files)
    dated = Counter(f.info.count for f in files if f.day is not None or f.year is not None)
    if not counts:
        return []
    best = max(counts, key=lambda count: (dated[count], counts[count], count))
    return [f for f in files if f.info.count == best]


def _bands(info: RasterInfo) -> str:
    return f"{info.count} band{'' if info.count == 1 else 's'}"


def sensor_of_products(files: Sequence[NamedFile]) -> tuple[str, list[str]]:
    """Return the sensor that reads most days of a folder, and the others that files could be of."""
    days: dict[str, set[date]] = {}
    for file in files:
        for name in sensors_of([file]):
            days.setdefault(name, set()).add(file.day)
    names = sorted(days, key=lambda name: (-len(days[name]), list(days).index(name)))
    return names[0], names[1:]
