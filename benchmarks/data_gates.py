"""How often the gates on images are right: real pairs of dates as they are, and some with a fault put into the later one.

    python benchmarks/data_gates.py DATA DEMO

DATA holds the folders `taizhou`, `bouconne` and `slovenia` (GeoTIFFs, one a date), DEMO is a folder that `landshift demo` wrote
its territories to. Writes docs/measurements/data_gates.json: what each gate found of each pair.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
from scipy import ndimage

from landshift.pipeline.epochs.gates import image_gates
from landshift.pipeline.epochs.measure import measure_images
from landshift.pipeline.gates import MARK, STOP
from landshift.pipeline.raster.read import inspect, read_raster
from landshift.pipeline.scenes.sensors import REFLECTANCE, SENSORS, decode_quality
from landshift.pipeline.tiles import Window

ASKED = ("implausible_levels", "level_ratio", "vegetation_difference", "unmasked_clouds", "stripes", "radiometric_difference")
LANDSAT_7_NM = (485, 560, 660, 830, 1650, 2215)
SENTINEL_2_NM = {band.native: band.wavelength_nm for band in SENSORS[0].bands}


@dataclass(frozen=True)
class Shape:
    """What is asked of a raster's metadata."""

    shape: tuple[int, int]
    """Rows and columns."""


class InMemory:
    """An image that is read window by window as a file is."""

    def __init__(self, image: np.ndarray) -> None:
        """Take float32 (band, y, x)."""
        self.image, self.info = image, Shape(image.shape[1:])

    def read(self, window: Window) -> np.ndarray:
        """Return the bands of a window, NaN past the edge."""
        out = np.full((len(self.image), window.height, window.width), np.nan, dtype=np.float32)
        inside = window.clip(self.info.shape)
        out[(slice(None), *inside.within(window).slices)] = self.image[(slice(None), *inside.slices)]
        return out


@dataclass(frozen=True)
class Sample:
    """Two dates of a place."""

    place: str
    """Its name."""
    dates: str
    """Both."""
    before: np.ndarray
    """float32 (band, y, x)."""
    after: np.ndarray
    """float32 (band, y, x)."""
    wavelengths_nm: tuple[float | None, ...]
    """Of the bands."""
    units: str
    """Of the values."""
    is_spoilt: bool = True
    """Whether faults are put in too: into pairs of dates that follow one another."""


def read(path: Path) -> np.ndarray:
    """Return all bands of a file, float32 (band, y, x)."""
    return np.stack([read_raster(path, band)[0] for band in range(1, inspect(path).count + 1)]).astype(np.float32)


def samples(data: Path, demo: Path) -> Iterator[Sample]:
    """Yield all pairs of dates of each place."""
    for place, pattern in (("taizhou", "taizhou_LE07_*.tif"), ("bouconne", "S2L3A_*.tif"), ("slovenia", "S2L1C_*.tif")):
        files = sorted((data / place).glob(pattern))
        is_landsat = place == "taizhou"
        images = {f.stem[-8:]: read(f) / (1 if is_landsat else 10_000) for f in files}
        known = LANDSAT_7_NM if is_landsat else tuple(SENTINEL_2_NM[d] for d in inspect(files[0]).descriptions)
        for first, second in combinations(images, 2):
            units = "digital numbers" if is_landsat else REFLECTANCE
            follows = (first, second) in pairwise(images)
            yield Sample(place, f"{first} {second}", images[first], images[second], known, units, is_spoilt=follows)
    for territory in sorted(folder for folder in demo.iterdir() if (folder / "scenes").is_dir()):
        images = {}
        for file in sorted((territory / "scenes").glob("*.tif")):
            numbers, info = read(file), inspect(file)
            offset = -1000 if float(info.tags["PROCESSING_BASELINE"]) >= 4 else 0
            seen = (numbers[:-1] > 0).all(axis=0) & decode_quality("SCL", numbers[-1].astype(np.uint8))
            images[file.stem[-8:]] = np.where(seen, (numbers[:-1] + offset) / 10_000, np.nan).astype(np.float32)
        (first, before), (second, after) = images.items()
        known = tuple(SENTINEL_2_NM[d] for d in info.descriptions[:-1])
        yield Sample(f"demo, {territory.name}", f"{first} {second}", before, after, known, REFLECTANCE)


def covered(sample: Sample) -> np.ndarray:
    """Return the later image with a tenth of it under opaque cloud."""
    field = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal(sample.after.shape[1:]), 12)
    part = ndimage.gaussian_filter((field > np.quantile(field, 0.9)).astype(np.float32), 1.5)
    if sample.units == REFLECTANCE:
        bright = [0.5 if w < 700 else 0.52 if w < 1000 else 0.02 if w < 1400 else 0.35 for w in sample.wavelengths_nm]
    else:
        bright = [230, 220, 220, 200, 160, 120]
    return (sample.after * (1 - part) + np.array(bright, dtype=np.float32)[:, None, None] * part).astype(np.float32)


def striped(image: np.ndarray, axis: int) -> np.ndarray:
    """Return an image with every eighth row or column 15 % brighter."""
    out = np.moveaxis(image, axis, 1).copy()
    out[:, ::8] *= 1.15
    return np.moveaxis(out, 1, axis)


def faults(sample: Sample) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the later image as it is, and with each fault."""
    yield "as it is", sample.after
    if not sample.is_spoilt:
        return
    yield "ten times as bright", sample.after * 10
    yield "a tenth as bright", sample.after / 10
    yield "a tenth under cloud", covered(sample)
    yield "every eighth row x 1.15", striped(sample.after, 1)
    yield "every eighth column x 1.15", striped(sample.after, 2)
    if sample.units == REFLECTANCE:
        yield "offset of 0.1 left in", sample.after + np.float32(0.1)
        yield "offset of 0.1 taken off twice", sample.after - np.float32(0.1)
        yield "0.49 everywhere", np.where(np.isfinite(sample.after), np.float32(0.49), np.nan).astype(np.float32)


def main(data: Path, demo: Path) -> None:
    """Measure every pair with every fault, and write down what the gates said."""
    rows = []
    for sample in samples(data, demo):
        bands = [str(w) for w in sample.wavelengths_nm]
        for fault, after in faults(sample):
            before = sample.before
            seen = float((np.isfinite(before).all(axis=0) & np.isfinite(after).all(axis=0)).mean())
            measured = measure_images(
                InMemory(before),
                InMemory(after),
                seen,
                sample.wavelengths_nm,
                is_reflectance=sample.units == REFLECTANCE,  # type: ignore[arg-type]
            )
            gates = {g.setting: g for g in image_gates(measured, bands, sample.units)}
            row = {"place": sample.place, "dates": sample.dates, "fault": fault}
            row |= {name: None if (v := gates[name].value) is None else float(f"{v:.3g}") for name in ASKED}
            rows.append({**row, "missed": [n for n in ASKED if gates[n].outcome in (MARK, STOP)]})
            print(*row.values(), rows[-1]["missed"], flush=True)
    target = Path(__file__).parents[1] / "docs" / "measurements" / "data_gates.json"
    target.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
