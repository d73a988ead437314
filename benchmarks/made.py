"""Two dates of a made landscape, as large as wanted, written strip by strip; and a model that costs next to nothing.

    python benchmarks/made.py FOLDER [--size 2560] [--bands 10] [--codec deflate]

FOLDER then has `data/` with two GeoTIFFs (uint16, blocks of 512 pixels, 0 = not observed) and `config.yaml`, and `model/`:

    python benchmarks/free_model.py detect FOLDER/config.yaml --data FOLDER/data --model FOLDER/model --output FOLDER/runs
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window

BANDS = {
    4: ("blue", "green", "red", "nir"),
    10: ("blue", "green", "red", "rededge071", "rededge075", "rededge078", "nir", "nir08", "swir16", "swir22"),
}
CLASSES = ("Forest", "Cropland", "Grassland", "Built-up", "Water", "Bare")
COLOURS = ("#2f6b3c", "#ead27a", "#a9cc7a", "#b5434a", "#4a86b8", "#b59b76")
SPECTRA = np.array(
    [
        (0.022, 0.043, 0.022, 0.070, 0.220, 0.280, 0.300, 0.315, 0.150, 0.075),
        (0.030, 0.065, 0.032, 0.095, 0.330, 0.425, 0.455, 0.470, 0.215, 0.105),
        (0.037, 0.072, 0.050, 0.110, 0.265, 0.325, 0.375, 0.385, 0.250, 0.145),
        (0.120, 0.145, 0.170, 0.185, 0.200, 0.215, 0.225, 0.235, 0.280, 0.260),
        (0.040, 0.050, 0.035, 0.030, 0.024, 0.022, 0.020, 0.020, 0.012, 0.008),
        (0.050, 0.070, 0.110, 0.118, 0.135, 0.150, 0.168, 0.183, 0.255, 0.225),
    ],
    dtype=np.float32,
)
"""Reflectance of each class in each of the ten bands."""
DATES = ("20200615", "20220620")
SCALE = 1e-4
PARCEL, STRIP = 40, 512
"""Pixels: side of a parcel, and rows that are made at once."""
CHANGED = 0.04
"""Share of the parcels that become another class."""
NOISE = 0.0017
"""Deviation of a pixel's noise, reflectance: DEFLATE then makes the numbers 1.5 to 1.7 times smaller."""


@dataclass(frozen=True)
class Recipe:
    """A pair to make."""

    size: int = 2560
    """Pixels on each side."""
    bands: int = 10
    """4 or 10."""
    codec: str = "deflate"
    """`deflate` or `zstd`, each at GDAL's own level, without a predictor."""

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.size}-{self.bands}-{self.codec}"

    @property
    def columns(self) -> list[int]:
        """Of `SPECTRA`, for its bands."""
        return [BANDS[10].index(name) for name in BANDS[self.bands]]


class _Ground:
    """Parcels with a class on each date; their edges wind, and what they are follows the height of the land."""

    def __init__(self, size: int) -> None:
        rng, count = np.random.default_rng(5), size // PARCEL + 4
        self._hills = rng.random((size // 96 + 3, size // 96 + 3), dtype=np.float32)
        self._winding = rng.normal(0, 8, (2, size // 24 + 3, size // 24 + 3)).astype(np.float32)
        height = _stretch(rng.random((count // 8 + 3, count // 8 + 3), dtype=np.float32), np.arange(count), count, 8)
        mixed = 0.6 * height + 0.4 * rng.random((count, count), dtype=np.float32)
        before = np.digitize(mixed, np.quantile(mixed, (0.1, 0.4, 0.65, 0.85, 0.95))).astype(np.uint8)
        changed = rng.random((count, count)) < CHANGED
        step = rng.integers(1, len(CLASSES), (count, count))
        self._classes = before, np.where(changed, (before + step) % len(CLASSES), before).astype(np.uint8)
        self.size = size

    def strip(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the classes of both dates, uint8 (y, x), and the light of the hills, float32 (y, x) around 1."""
        down, right = (_stretch(part, rows, self.size, 24) for part in self._winding)
        y, x = rows[:, np.newaxis] + down + PARCEL, np.arange(self.size)[np.newaxis] + right + PARCEL
        cell = tuple((v / PARCEL).clip(0, len(self._classes[0]) - 1).astype(np.intp) for v in (y, x))
        return self._classes[0][cell], self._classes[1][cell], 0.9 + 0.2 * _stretch(self._hills, rows, self.size, 96)


def _stretch(coarse: np.ndarray, rows: np.ndarray, width: int, step: int) -> np.ndarray:
    """Return float32 (row, column) of a coarse field, bilinear; its values lie `step` pixels apart."""
    y, x = rows / step, np.arange(width) / step
    top, left = y.astype(int), x.astype(int)
    down, right = (y - top).astype(np.float32)[:, np.newaxis], (x - left).astype(np.float32)
    lines = coarse[top] * (1 - down) + coarse[top + 1] * down
    return np.asarray(lines[:, left] * (1 - right) + lines[:, left + 1] * right)


def make_pair(folder: Path, recipe: Recipe) -> Path:
    """Write both scenes, the config and the model, unless they are there; returns the folder of the pair."""
    home = folder / recipe.name
    if (home / "config.yaml").exists():
        return home
    (home / "data").mkdir(parents=True, exist_ok=True)
    ground, rng = _Ground(recipe.size), np.random.default_rng(6)
    grain = rng.normal(0, NOISE / SCALE, (1024, 2048)).astype(np.float32)
    layout = {
        "driver": "GTiff", "height": recipe.size, "width": recipe.size, "count": recipe.bands, "dtype": "uint16",
        "nodata": 0, "crs": "EPSG:32633", "transform": Affine(10, 0, 499_980, 0, -10, 5_200_020), "tiled": True,
        "blockxsize": STRIP, "blockysize": STRIP, "compress": recipe.codec, "interleave": "band", "num_threads": "ALL_CPUS",
    }  # fmt: skip
    paths = [home / "data" / f"scene_{day}.tif" for day in DATES]
    with rasterio.open(paths[0], "w", **layout) as first, rasterio.open(paths[1], "w", **layout) as second:
        for file in (first, second):
            file.descriptions = BANDS[recipe.bands]
        for top in range(0, recipe.size, STRIP):
            rows = np.arange(top, min(top + STRIP, recipe.size))
            *kinds, light = ground.strip(rows)
            # The orbit's edge leaves a corner of the date after unseen.
            unseen = rows[:, np.newaxis] + np.arange(recipe.size)[np.newaxis] < recipe.size // 12
            for when, file in enumerate((first, second)):
                for index, column in enumerate(recipe.columns, start=1):
                    # The second date is a little brighter, and hazier in the blue.
                    spectrum = SPECTRA[:, column] * (1 + 0.04 * when) + 0.006 * when * (column == 0)
                    number = (spectrum / SCALE).astype(np.float32)[kinds[when]] * light
                    turn = rng.integers(0, grain.shape[1], 2)
                    rolled = np.roll(grain, tuple(turn % grain.shape), (0, 1))[: len(rows)]
                    number += np.tile(rolled, (1, -(-recipe.size // grain.shape[1])))[:, : recipe.size]
                    number = number.clip(1, 65_535).astype(np.uint16)
                    if when:
                        number[unseen] = 0
                    file.write(number, index, window=Window(0, top, recipe.size, len(rows)))
    from free_model import save_free_model

    save_free_model(home / "model", BANDS[recipe.bands])
    (home / "config.yaml").write_text(write_config(recipe), encoding="utf-8")
    return home


def write_config(recipe: Recipe) -> str:
    """Return the config that `landshift detect` takes for a pair."""
    legend = "\n".join(
        f'  - {{code: {i}, name: {name}, colour: "{colour}"}}'
        for i, (name, colour) in enumerate(zip(CLASSES, COLOURS, strict=True), 1)
    )
    return f"""name: made
sensor:
  name: custom
  bands: [{", ".join(BANDS[recipe.bands])}]
  scale: {SCALE}
  nodata: 0
scenes:
  pattern: scene_*.tif
  clouds: {{mask: none}}
epochs:
  before: {{start: 2020-06-01, end: 2020-06-30}}
  after: {{start: 2022-06-01, end: 2022-06-30}}
legend:
{legend}
detect:
  min_area_ha: 0.2
  device: cpu
"""


def main() -> None:
    """Make one pair."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=2560)
    parser.add_argument("--bands", type=int, choices=sorted(BANDS), default=10)
    parser.add_argument("--codec", choices=("deflate", "zstd"), default="deflate")
    options = parser.parse_args()
    print(make_pair(options.folder, Recipe(options.size, options.bands, options.codec)))


if __name__ == "__main__":
    main()
