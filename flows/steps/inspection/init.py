"""First config of a project, from the rasters in a folder, with what has to be decided."""

import re
from collections.abc import Sequence
from pathlib import Path

import yaml

from landshift.pipeline.errors import InputError
from landshift.pipeline.manifest import write_text
from landshift.pipeline.raster.read import RasterInfo, inspect
from landshift.pipeline.scenes.dates import DATE
from landshift.pipeline.scenes.folder import require_printable
from landshift.pipeline.scenes.sensors import SENSORS, Sensor

_LABEL = re.compile(r"label|truth|mask|reference|lulc", re.IGNORECASE)
_RASTERS = (".tif", ".tiff", ".jp2")
_VECTORS = (".gpkg", ".geojson", ".shp", ".fgb")


def write_config(folder: Path, path: Path) -> tuple[Path, list[str]]:
    """Write a commented config for the rasters in a folder.

    Nothing is guessed: what the files do not show is written as a question.

    Args:
        folder: Where the rasters are, in it or one level below.
        path: The config to write; an existing one is not touched.

    Returns:
        The path, and what the user has to decide.

    Raises:
        InputError: No folder, fewer than two dates, a file name that cannot be shown, or a config is there already.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder. Expected one with GeoTIFFs of at least two dates.")
    if path.exists():
        raise InputError(f"{path} is there already, and is not overwritten. Name another with --config, or remove it.")
    files = sorted(f for pattern in ("*", "*/*") for f in folder.glob(pattern) if f.suffix.lower() in _RASTERS)
    vectors = sorted(f for f in folder.iterdir() if f.suffix in _VECTORS)
    for file in (*files, *vectors):
        require_printable(file.relative_to(folder))
    scenes = [f for f in files if DATE.search(f.name) and not _LABEL.search(f.name)]
    dates = sorted({"-".join(DATE.search(f.name).groups()) for f in scenes})  # type: ignore[union-attr]
    if len(dates) < 2:
        raise InputError(
            f"{folder} has scenes of {len(dates)} dates ({', '.join(dates) or 'no file name holds a date'}); expected two or "
            f"more, with the date in the name (YYYYMMDD), as GeoTIFF."
        )
    folders = {f.parent for f in scenes}
    if len(folders) > 1:
        raise InputError(f"Scenes lie in several folders: {', '.join(str(f) for f in sorted(folders))}. Give the one to use.")
    info = inspect(scenes[0])
    labels = [f for f in files if f not in scenes] + vectors
    text, questions = _config(folder, scenes, info, dates, labels=labels)
    return write_text(path, text), questions


def _config(
    folder: Path, scenes: Sequence[Path], info: RasterInfo, dates: Sequence[str], labels: Sequence[Path]
) -> tuple[str, list[str]]:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("-._")[:60] or "project"
    sensor, questions = _sensor(info)
    inner = scenes[0].parent.relative_to(folder).as_posix()
    lines = [
        f"# {len(scenes)} rasters of {len(dates)} dates: {', '.join(dates)}",
        f"# {scenes[0].name}: {info.shape[1]} x {info.shape[0]} pixels (width x height), {info.count} bands, {info.dtype}, "
        f"nodata {_nodata(info)}",
        "# Decide the lines marked DECIDE, then run `landshift check`. configs/schema.json explains every key.",
        f"name: {_quote(name)}", "", *sensor, "", "scenes:", f"  folder: {_quote(inner)} # relative to the data folder",
        f"  pattern: {_quote(_pattern(scenes, folder, labels))}", "", "epochs: # earlier and later dates to compare",
        f"  before: {{start: {dates[0]}, end: {dates[0]}}}" + (" # DECIDE" if len(dates) > 2 else ""),
        f"  after: {{start: {dates[-1]}, end: {dates[-1]}}}", "",
    ]  # fmt: skip
    if len(dates) > 2:
        questions.append(f"epochs: the first and the last of {len(dates)} dates were taken; choose the two to compare")
    lines += [
        "# Land-use classes; without them the map has changed and unchanged only.", "# legend:",
        '#   - {code: 1, name: Forest, colour: "#2f6b3c"}', '#   - {code: 2, name: Cropland, colour: "#ead27a"}', "",
    ]  # fmt: skip
    lines += _labels(folder, labels, questions)
    lines += ["", "model:", "  encoder: imagenet-efficientnet-lite0 # `landshift encoders` lists them", "",
              "training: # fewer epochs and chips are faster; `landshift check` shows how long it takes at most",
              "  epochs: 12", "  chips_per_epoch: 160", "  chip: 64 # side in pixels, a multiple of 32",
              "  seeds: [0] # [0, 1, 2] shows the spread, and takes three times as long", "",
              "detect:", "  min_area_ha: 0.5 # minimum mapping unit in hectares"]  # fmt: skip
    return "\n".join(lines) + "\n", questions


def _sensor(info: RasterInfo) -> tuple[list[str], list[str]]:
    """Write the sensor section: a row of the table where the band names show it, else `custom` with questions."""
    text = " ".join((info.path.stem, *info.descriptions)).upper()
    for sensor in SENSORS:
        natives = [b.native for b in sensor.bands if re.search(rf"(^|[\s_]){b.native}($|[\s_])", text)]
        if len(natives) < min(info.count, 3):
            continue
        if sensor.quality is None or sensor.quality in text:
            return _describe_sensor(sensor, natives)
    common = Sensor("custom", SENSORS[0].bands)
    found = [common.band_in(d) for d in info.descriptions]
    bands = [b.name if b else f"band{i}" for i, b in enumerate(found, start=1)]
    questions = [
        "sensor: scale, offset and units: what turns the numbers into reflectance 0..1, or `units: digital numbers`",
    ]
    if not all(found):
        questions.insert(0, "sensor: bands: name them in the order of the file (blue, green, red, nir, swir16, swir22, ...)")
    if info.nodata is None:
        questions.append("sensor: nodata: the files declare none; `none` means that every number is a measurement")
    lines = [
        "sensor: # or one of " + ", ".join(s.name for s in SENSORS), "  name: custom",
        f"  bands: [{', '.join(bands)}]" + ("" if all(found) else " # DECIDE: name them in the order of the file"),
        "  scale: 1 # DECIDE: value = number x scale + offset", "  offset: 0",
        f"  nodata: {_nodata(info)}" + (" # DECIDE: the files declare none" if info.nodata is None else ""),
        "  units: digital numbers # DECIDE: `reflectance` once scale and offset give 0..1",
    ]  # fmt: skip
    return lines, questions


def _describe_sensor(sensor: Sensor, natives: Sequence[str]) -> tuple[list[str], list[str]]:
    lines = ["sensor:", f"  name: {sensor.name} # DECIDE: band names {', '.join(natives[:4])}, ... do not show the level"]
    questions = [f"sensor: name: {sensor.name} or another product with these bands; syntheses (L3A and such) are `custom`"]
    if sensor.baseline_offset:
        lines.append("  # number_offset: 0 # DECIDE, where neither file names (_N0509_) nor tags hold the baseline: 0 or -1000")
    return lines, questions


def _labels(folder: Path, labels: Sequence[Path], questions: list[str]) -> list[str]:
    if not labels:
        questions.append("labels: none were found; training needs polygons or rasters")
        return [
            "# labels:", "#   polygons: {path: labels.gpkg, before_column: before, after_column: after}",
        ]  # fmt: skip
    first = labels[0].relative_to(folder).as_posix()
    if labels[0].suffix in _VECTORS:
        questions.append(f"labels: which columns of {first} hold the classes before and after")
        return ["labels:", f"  polygons: {{path: {_quote(first)}, before_column: before, after_column: after}}"]
    questions.append(f"labels: what the values of {first} mean")
    return [
        "labels:", "  rasters:", f"    change: {_quote(first)} # or `before:` and `after:` with classes",
        "    values: {0: not labelled, 1: unchanged, 2: changed} # DECIDE",
    ]  # fmt: skip


def _pattern(scenes: Sequence[Path], folder: Path, labels: Sequence[Path]) -> str:
    """Return a pattern that takes the scenes and leaves the label rasters beside them out."""
    suffix = scenes[0].suffix
    inside = {f for f in labels if f.parent == scenes[0].parent and f.suffix == suffix}
    if not inside:
        return f"*{suffix}"
    prefix = scenes[0].name
    for scene in scenes[1:]:
        while not scene.name.startswith(prefix):
            prefix = prefix[:-1]
    prefix = prefix.rstrip("0123456789")
    if prefix and not any(f.name.startswith(prefix) for f in inside):
        return f"{prefix}*{suffix}"
    return f"*[12][0-9][0-9][0-9]*{suffix}"


def _nodata(info: RasterInfo) -> str:
    return "none" if info.nodata is None else f"{info.nodata:.17g}"


def _quote(text: str) -> str:
    return yaml.safe_dump(text, default_style='"', width=1000, allow_unicode=True).strip()
