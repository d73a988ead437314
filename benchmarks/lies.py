"""Lies in the data of the demo: which gate notices, and how many hectares are false with and without it.

    python benchmarks/lies.py [--size 384] [--only NAME ...] [--out docs/measurements/lies.json]

A small network learns from clean labels and maps the northern territory with each lie put into its images. Each lie of the
labels has a training of its own, and maps clean images. Every gate marks, so that there is always a map to count; whether a
gate stops by default stands with it. Hectares are counted on pixels that both dates observed and no label covered.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from machine import describe_machine
from scipy import ndimage

from landshift.flows.config.project import Project, find_config, load_project
from landshift.flows.detect import detect
from landshift.flows.train import train
from landshift.models.use.bundle import describe
from landshift.pipeline.demo.files import make_territory
from landshift.pipeline.demo.territories import NORTH
from landshift.pipeline.errors import InputError
from landshift.pipeline.gates import MARK, RULES, STOP
from landshift.pipeline.legend import CHANGED, NOT_OBSERVED, Legend
from landshift.pipeline.raster.read import read_raster
from landshift.pipeline.run.record import read_run

SEED = 7
WINTER = replace(NORTH, after=replace(NORTH.after, time=datetime(2023, 3, 10, 10, 20, 29, tzinfo=UTC), sun=(35.0, 160.0)))
"""The same ground, seen in March: the crops of the demo are those of that day."""


def edit(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change the digital numbers of a scene, uint16 (band, y, x) with the SCL as the last band; 0 stays 0."""
    with rasterio.open(path, "r+") as scene:
        numbers = scene.read()
        seen = numbers > 0
        scene.write(np.where(seen, np.clip(change(numbers.astype(np.float32)), 1, 65_535), 0).astype(np.uint16))


def spectral(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """Apply a change to all bands but the SCL."""
    return lambda numbers: np.concatenate([change(numbers[:-1]), numbers[-1:]])


def wavelengths(path: Path) -> np.ndarray:
    """Return those of the bands of a scene in nm, the SCL left out."""
    from landshift.pipeline.scenes.sensors import SENSORS

    known = {band.native: band.wavelength_nm for band in SENSORS[0].bands}
    with rasterio.open(path) as scene:
        return np.array([known[name] for name in scene.descriptions[:-1]], dtype=np.float32)


def cloud(path: Path) -> None:
    """Put an opaque cloud over a tenth of a scene, and leave its SCL as it is."""
    nm = wavelengths(path)
    bright = np.select([nm < 700, nm < 1000, nm < 1400], [0.5, 0.52, 0.02], 0.35) * 10_000 + 1000

    def over(bands: np.ndarray) -> np.ndarray:
        field = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal(bands.shape[1:]), 12)
        part = ndimage.gaussian_filter((field > np.quantile(field, 0.9)).astype(np.float32), 1.5)
        return np.asarray(bands * (1 - part) + bright[:, None, None] * part)

    edit(path, spectral(over))


def haze(path: Path) -> None:
    """Put haze over half of a scene: light of the air added, most in the blue, and a fifth less of the ground's."""
    nm = wavelengths(path)
    added = 1200 * (490 / nm) ** 1.5

    def over(bands: np.ndarray) -> np.ndarray:
        field = ndimage.gaussian_filter(np.random.default_rng(1).standard_normal(bands.shape[1:]), 40)
        part = ndimage.gaussian_filter((field > np.median(field)).astype(np.float32), 10)
        return np.asarray(bands * (1 - 0.2 * part) + added[:, None, None] * part)

    edit(path, spectral(over))


def stripe(path: Path) -> None:
    """Make every eighth row of a scene 15 % brighter."""

    def over(bands: np.ndarray) -> np.ndarray:
        bands[:, ::8] *= 1.15
        return bands

    edit(path, spectral(over))


def swap_bands(path: Path) -> None:
    """Let red and near infrared change places, under the names that they have."""
    nm = wavelengths(path)
    red, near = int(np.abs(nm - 665).argmin()), int(np.abs(nm - 842).argmin())

    def over(bands: np.ndarray) -> np.ndarray:
        bands[[red, near]] = bands[[near, red]]
        return bands

    edit(path, spectral(over))


def relabel_zone(path: Path) -> None:
    """State the zone beside the one in which the coordinates are."""
    with rasterio.open(path, "r+") as scene:
        scene.crs = rasterio.CRS.from_epsg(32634)


def exchange_dates(data: Path) -> None:
    """Let both scenes carry the date of the other, in name and tag; each keeps its processing baseline."""
    first, second = sorted((data / "scenes").glob("*.tif"))
    with rasterio.open(first, "r+") as one, rasterio.open(second, "r+") as other:
        days = one.tags()["TIFFTAG_DATETIME"], other.tags()["TIFFTAG_DATETIME"]
        one.update_tags(TIFFTAG_DATETIME=days[1])
        other.update_tags(TIFFTAG_DATETIME=days[0])
    aside = first.with_name("aside")
    first.rename(aside)
    second.rename(first)
    aside.rename(second)


def after_scene(change: Callable[[Path], None]) -> Callable[[Path], None]:
    """Apply a change to the later scene of a territory."""
    return lambda data: change(sorted((data / "scenes").glob("*.tif"))[1])


def both_scenes(change: Callable[[Path], None]) -> Callable[[Path], None]:
    """Apply a change to both scenes of a territory."""

    def over(data: Path) -> None:
        for path in sorted((data / "scenes").glob("*.tif")):
            change(path)

    return over


def take_winter(data: Path) -> None:
    """Take a later scene of March instead of June."""
    size = read_raster(data / "truth_before.tif")[0].shape[0]
    with tempfile.TemporaryDirectory() as folder:
        make_territory(Path(folder), WINTER, seed=SEED, size=size)
        scene = max((Path(folder) / "scenes").glob("*.tif"))
        max((data / "scenes").glob("*.tif")).unlink()
        shutil.move(scene, data / "scenes" / scene.name)


IMAGE_LIES: dict[str, Callable[[Path], None]] = {
    "nothing": lambda _: None,
    "later image 1 px to the right": after_scene(lambda p: edit(p, lambda n: np.roll(n, 1, axis=2))),
    "+1000 on the later image": after_scene(lambda p: edit(p, spectral(lambda b: b + 1000))),
    "red and near infrared exchanged, later image": after_scene(swap_bands),
    "red and near infrared exchanged, both images": both_scenes(swap_bands),
    "dates exchanged": exchange_dates,
    "haze over half of the later image": after_scene(haze),
    "unmasked cloud over a tenth of the later image": after_scene(cloud),
    "later image of March instead of June": take_winter,
    "every eighth row of the later image 15 % brighter": after_scene(stripe),
    "later image labelled with the next zone": after_scene(relabel_zone),
    "both images labelled with the next zone": both_scenes(relabel_zone),
}


def edit_labels(data: Path, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    """Change the codes of the labels, uint8 (y, x) by epoch, 0 = not labelled."""
    paths = {epoch: data / f"labels_{epoch}.tif" for epoch in ("before", "after")}
    codes = {epoch: read_raster(path)[0] for epoch, path in paths.items()}
    change(codes)
    for epoch, path in paths.items():
        with rasterio.open(path, "r+") as raster:
            raster.write(codes[epoch], 1)


def mislabel(share: float) -> Callable[[Path], None]:
    """Give a share of the squares of 8 x 8 labelled pixels another class on the later date."""

    def over(codes: dict[str, np.ndarray]) -> None:
        after, chance = codes["after"], np.random.default_rng(0)
        squares = [-(-n // 8) for n in after.shape]
        wrong = np.kron(chance.random(squares) < share, np.ones((8, 8), bool))[: after.shape[0], : after.shape[1]]
        turned = np.kron(chance.integers(1, 6, squares), np.ones((8, 8), int))[: after.shape[0], : after.shape[1]]
        changed = (after.astype(int) - 1 + turned) % 6 + 1
        after[:] = np.where(wrong & (after > 0), changed, after)

    return lambda data: edit_labels(data, over)


def shift_labels(data: Path) -> None:
    """Move the labels of both dates by two pixels, down and to the right."""

    def over(codes: dict[str, np.ndarray]) -> None:
        for epoch, found in codes.items():
            codes[epoch] = np.roll(found, (2, 2), axis=(0, 1))

    edit_labels(data, over)


LABEL_LIES: dict[str, Callable[[Path], None]] = {
    **{f"{share:.0%} of the later labels wrong".replace("%", " %"): mislabel(share) for share in (0.05, 0.1, 0.2, 0.3)},
    "labels 2 px down and to the right": shift_labels,
}


EPOCHS, CHIPS = 10, 112
SMALL: dict[str, dict[str, Any]] = {
    "model": {"decoder_channels": [32, 16, 16, 8, 8], "landuse_channels": [32, 16, 16, 8, 8]},
    "training": {"epochs": EPOCHS, "chips_per_epoch": CHIPS, "chip": 64},
}
"""What a training has otherwise than the demo's: it takes a minute instead of ten."""


def configure() -> Project:
    """Return the demo's project with a small network, and gates that only mark."""
    content = load_project(find_config("demo.yaml")).model_dump(mode="json")
    content["epochs"]["after"] |= {"start": "2023-03-01"}
    for name in RULES:
        content["gates"][name]["otherwise"] = "mark"
    for section, values in SMALL.items():
        content[section] |= values
    return Project.model_validate(content)


def count(run: Path, clean: Path) -> dict[str, float]:
    """Return hectares of a map that are false, missed and right; of another kind than in truth counts as false."""
    before, after = (read_raster(clean / f"truth_{name}.tif")[0] for name in ("before", "after"))
    labelled = read_raster(clean / "labels_before.tif")[0] > 0
    found, grid = read_raster(run / "layers/change.tif")
    truth = Legend(read_run(run).legend).change_lookup()[before, after]
    used = ~labelled & (found != NOT_OBSERVED)
    pixel_ha = abs(grid.transform.a * grid.transform.e) / 10_000
    changed, really = used & (found >= CHANGED), used & (truth >= CHANGED)
    parts = {
        "false_ha": changed & ~really, "wrong_kind_ha": changed & really & (found != truth), "missed_ha": really & ~changed,
        "right_ha": changed & (found == truth),
    }  # fmt: skip
    return {name: round(float(part.sum()) * pixel_ha, 1) for name, part in parts.items()} | {
        "observed_ha": round(float(used.sum()) * pixel_ha, 1)
    }


def try_lie(project: Project, data: Path, output: Path, *, model: Path | None, clean: Path) -> dict[str, Any]:
    """Map a territory, and return what was noticed and what is false."""
    row: dict[str, Any] = {}
    try:
        model = model or train(project, data, output).model
        scores = describe(model).facts.scores
        row["test_f1"] = None if scores is None else round(scores.test.f1, 3)
        run = detect(project, data, output, model=model).run
    except InputError as error:
        return row | {"refused": str(error).replace(str(data), "DATA")}
    described = read_run(run)
    noticed = [g for g in described.gates if g.outcome in (MARK, STOP)]
    row["gates"] = {
        g.setting or g.name: {"value": g.value, "default": RULES[g.setting].otherwise if g.setting in RULES else "mark"}
        for g in noticed
    }  # fmt: skip
    row["warnings"] = len(described.warnings)
    return row | count(run, clean)


def main() -> int:
    """Try every lie."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--only", nargs="*", default=[*IMAGE_LIES, *LABEL_LIES])
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        clean, data, output = (Path(folder) / name for name in ("clean", "spoilt", "out"))
        make_territory(clean, NORTH, seed=SEED, size=given.size)
        project = configure()
        model = train(project, clean, Path(folder) / "model").model
        for kind, lies in (("images", IMAGE_LIES), ("labels", LABEL_LIES)):
            for name, spoil in lies.items():
                if name not in given.only:
                    continue
                for old in (data, output):
                    shutil.rmtree(old, ignore_errors=True)
                shutil.copytree(clean, data)
                spoil(data)
                row = try_lie(project, data, output, model=model if kind == "images" else None, clean=clean)
                rows.append({"kind": kind, "lie": name, **row})
                print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
                content = {
                    "size": given.size, "seed": SEED, "epochs": EPOCHS, "chips": CHIPS, "machine": describe_machine(),
                    "rows": rows,
                }  # fmt: skip
                if given.out is not None:
                    given.out.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
