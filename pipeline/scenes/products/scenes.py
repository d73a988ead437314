"""Scenes made of a product's files."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import groupby

from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid
from landshift.pipeline.raster.read import RasterInfo, inspect
from landshift.pipeline.scenes.dates import acquisition_date
from landshift.pipeline.scenes.declared import cloud_cover_in, require_factors, require_nodata, require_one_crs
from landshift.pipeline.scenes.products.metadata import SceneFacts, sine_of_sun
from landshift.pipeline.scenes.products.names import NamedFile, fits, matches
from landshift.pipeline.scenes.products.offsets import find_offset
from landshift.pipeline.scenes.scene import Scene, Source
from landshift.pipeline.scenes.sensors import Sensor, number_offset


@dataclass(frozen=True)
class Declared:
    """What the config has about single scenes."""

    dates: Mapping[str, date] = field(default_factory=dict)
    """File name, or path below the folder, to day."""
    offset: float | Mapping[str, float] | None = None
    """What to add to every number: of all scenes, or by id or day of the scene; None: as names, metadata and pixels have it."""


@dataclass(frozen=True)
class SceneFiles:
    """Files of one scene."""

    files: tuple[NamedFile, ...]
    """At least one, of one key."""
    facts: SceneFacts | None = None
    """Of its metadata; None without a metadata file."""

    @property
    def first(self) -> NamedFile:
        """One that stands for all."""
        return self.files[0]


def group_files(files: Sequence[NamedFile]) -> list[SceneFiles]:
    """Group files into scenes, by key."""
    groups: dict[str, list[NamedFile]] = defaultdict(list)
    for file in files:
        groups[file.key].append(file)
    return [SceneFiles(tuple(groups[key])) for key in sorted(groups)]


def set_aside(scenes: Sequence[SceneFiles], sensor: Sensor) -> tuple[list[SceneFiles], list[tuple[SceneFiles, str]]]:
    """Keep of each acquisition what the sensor reads, in its newest processing; of copies, the one whose path is shortest.

    Returns:
        The kept ones, and the others with the reason, which continues "it ".
    """
    fitting = [s for s in scenes if fits(s.first, sensor)]
    others = [(s, f"is {s.first.product.name} {s.first.level}, and the config reads {sensor.name}".replace("  ", " "))
              for s in scenes if not fits(s.first, sensor)]  # fmt: skip
    kept = []
    ordered = sorted(fitting, key=lambda s: s.first.acquisition)
    for _, group in groupby(ordered, key=lambda s: s.first.acquisition):
        processings = list(group)
        rank = max(s.first.rank for s in processings)
        newest = min((s for s in processings if s.first.rank == rank), key=lambda s: (len(s.first.key), s.first.key))
        kept.append(newest)
        others += [(s, _why_older(s.first, newest.first)) for s in processings if s is not newest]
    return kept, others


def _why_older(older: NamedFile, newest: NamedFile) -> str:
    if older.rank == newest.rank and older.scene.casefold() == newest.scene.casefold():
        return f"is there twice: {older.key} is a copy of {newest.key}, which is used"
    newer = "newer and " if older.rank != newest.rank else ""
    return f"is another processing of the same acquisition; {newest.key} is {newer}used"


def scene_of_files(found: SceneFiles, sensor: Sensor, declared: Declared) -> Scene:
    """Make a scene of its files; those that hold no band of the sensor are left out without a word.

    Args:
        found: The files.
        sensor: Of the config.
        declared: What the config has about single scenes.

    Raises:
        InputError: The satellite carries another sensor; name and metadata contradict each other; no file holds a band, two
            hold the same, one cannot be read; or it is not known what its numbers mean.
    """
    first = found.first
    facts = found.facts or SceneFacts("")
    _require_agreement(first, facts)
    row = sensor.of_platform(first.platform or facts.platform, first.scene)
    row, quality_file = _quality(found.files, row)
    chosen = _bands(found.files, row)
    if not chosen:
        _refuse_unread(found.files)
        raise InputError(
            f"{first.scene}: none of its {len(found.files)} files holds a band of {row.name} "
            f"({', '.join(b.native for b in row.bands)}); there are {', '.join(sorted({f.band for f in found.files}))}. "
            f"Download the missing ones, or leave the scene out with `scenes: faulty: skip`."
        )
    if row.name.startswith("landsat-c2-l1"):
        _require_sun(first.scene, found.facts, [_native(row, name) for name in chosen])
    infos = {place: inspect(place) for place in dict.fromkeys(file.file.place for file, _ in chosen.values())}
    for info in infos.values():
        require_nodata(info, row)
    quality = None
    group = list(infos.values())
    if quality_file is not None:
        # A file that is there and cannot be read is a fault: clouds would count as ground.
        group.append(inspect(quality_file.file.place))
        quality = Source(quality_file.file.place, 1)
    require_one_crs(group)
    bands = {
        name: Source(file.file.place, number, grid=infos[file.file.place].grid, factors=facts.factors.get(_native(row, name)))
        for name, (file, number) in chosen.items()
    }
    day = acquisition_date(group, declared.dates, first.day)
    clouds = cloud_cover_in(group)
    scene = Scene(
        first.scene, day, row, bands, quality=quality, grid=_finest(list(infos.values())),
        number_offset=_offset(first, facts, row, day, bands=bands, declared=declared),
        cloud_cover=facts.cloud_cover if facts.cloud_cover is not None else clouds,
        acquired=first.acquired if day == first.day else None, platform=first.platform or facts.platform,
    )  # fmt: skip
    require_factors(scene, infos.values())
    return scene


def _refuse_unread(files: Sequence[NamedFile]) -> None:
    for file in files:
        for pattern, why in file.product.unread.items():
            if matches(pattern, file.band):
                raise InputError(f"{file.file.relative} holds {why}.")


def _require_sun(scene: str, facts: SceneFacts | None, natives: Sequence[str]) -> None:
    """Refuse a scene of Level 1 whose metadata do not turn its numbers into reflectance."""
    if facts is None:
        raise InputError(
            f"{scene}: without its metadata ({scene}_MTL.txt or _MTL.xml) the numbers of Level 1 cannot be turned into "
            f"reflectance: the height of the sun is in there. Download that file too, or use Level 2."
        )
    missing = [native.removeprefix("B") for native in natives if native not in facts.factors]
    if not facts.sun_elevation:
        fault = "has no SUN_ELEVATION"
    elif not sine_of_sun(facts.sun_elevation):
        fault = f"has SUN_ELEVATION = {facts.sun_elevation:.40}; expected degrees above 0, up to 90"
    elif missing:
        fault = f"has no REFLECTANCE_MULT_BAND_{missing[0]} and REFLECTANCE_ADD_BAND_{missing[0]}"
    else:
        return
    raise InputError(
        f"{scene}: {facts.name} {fault}. Without it the numbers of Level 1 cannot be turned into reflectance: download that "
        f"file again, or use Level 2."
    )


def _finest(infos: Sequence[RasterInfo]) -> Grid:
    return min((i.grid for i in infos), key=lambda g: float(g.transform.a))


def _native(row: Sensor, name: str) -> str:
    return next(b.native for b in row.bands if b.name == name)


def _bands(files: Sequence[NamedFile], row: Sensor) -> dict[str, tuple[NamedFile, int]]:
    """Return common band name to the finest file that holds it, and the number of the band in it; in the sensor's order."""
    natives = {b.native.casefold(): b.name for b in row.bands}
    held: dict[str, list[tuple[NamedFile, int]]] = defaultdict(list)
    for file in files:
        if file.band.casefold() in natives:
            held[natives[file.band.casefold()]].append((file, 1))
        for pattern, names in file.product.stacks.items():
            if matches(pattern, file.band):
                for number, native in enumerate(names, start=1):
                    held[natives[native.casefold()]].append((file, number))
    chosen = {}
    for band in row.bands:
        if band.name not in held:
            continue
        finest = min(file.resolution for file, _ in held[band.name])
        best = [place for place in held[band.name] if place[0].resolution == finest]
        if len(best) > 1:
            raise InputError(
                f"{best[0][0].scene}: band {band.name} is in {best[0][0].file.relative} and in {best[1][0].file.relative}. "
                f"Expected one; remove the other, or name the right ones with `scenes: pattern:`."
            )
        chosen[band.name] = best[0]
    return chosen


def _quality(files: Sequence[NamedFile], row: Sensor) -> tuple[Sensor, NamedFile | None]:
    """Return the file of the better quality band, the finest one, and the sensor that reads it so."""
    for pattern, rule in files[0].product.quality.items():
        found = sorted((f for f in files if matches(pattern, f.band)), key=lambda f: f.resolution)
        if found and row.quality is not None:
            return replace(row, quality=rule), found[0]
    return row, None


def _require_agreement(first: NamedFile, facts: SceneFacts) -> None:
    """Refuse a scene whose name and metadata contradict each other."""
    pairs: list[tuple[str, object, object, Callable[[str], str]]] = [
        ("the processing baseline", first.baseline, facts.baseline, _digits),
        ("the day", first.day, facts.day, str),
        ("the satellite", first.platform, facts.platform, _satellite),
    ]
    for what, named, stated, alike in pairs:
        if named and stated and alike(str(named)) != alike(str(stated)):
            raise InputError(
                f"{first.scene}: {what} is {named} by its name and {stated} by {facts.name}. Which is right is not guessed: "
                f"download the scene again, or leave it out with `scenes: faulty: skip`."
            )


def _digits(text: str) -> str:
    return "".join(c for c in text if c.isdigit()).zfill(4)


def _satellite(text: str) -> str:
    # S2A and Sentinel-2A, LC08 and LANDSAT_8.
    return text.upper()[-1]


def _offset(
    first: NamedFile, facts: SceneFacts, row: Sensor, day: date, *, bands: Mapping[str, Source], declared: Declared
) -> float:
    """Return what has to be added to a scene's numbers."""
    known = first.baseline or facts.baseline
    if row.baseline_offset and known and facts.number_offset is not None and not isinstance(declared.offset, Mapping):
        by_baseline = number_offset(row, known, None, first.scene)
        if by_baseline != facts.number_offset:
            raise InputError(
                f"{first.scene}: baseline {known} means that {by_baseline:g} has to be added to every number, {facts.name} has "
                f"{facts.number_offset:g}. Look at the pixels, and set `sensor: number_offset: {{{first.scene}: -1000}}` or 0."
            )
    return find_offset(row, first.scene, day, bands=bands, baseline=known, declared=declared.offset)
