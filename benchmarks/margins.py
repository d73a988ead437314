"""How many pixels of a map the margin of its tiles changes, for several encoders, and what a margin costs.

    python benchmarks/margins.py taizhou DATA ROWS.jsonl [--encoders ...]
    python benchmarks/margins.py demo FOLDER ROWS.jsonl
    python benchmarks/margins.py table OUT.json ROWS.jsonl ...

DATA holds the Taizhou pair of `configs/taizhou.yaml`, which is mirrored until it has 1,024 pixels a side; FOLDER keeps the
demo's north with as many, which is made where it is missing. A network is trained with a small budget, and maps the scene in
one piece, in tiles with several cores and margins, and in tiles that begin half a core elsewhere. A pixel flips where the
change or the land use of a date is another one than in the one piece. ROWS is a file of JSON lines; what it holds already is
not measured again. `table` adds what a tile of the default network with both heads costs with each margin.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from decoders import BANDS, VARIANTS, build, least_seconds
from machine import describe_machine
from networks_by_labels import merge, prepare
from torch.utils.flop_counter import FlopCounterMode

from landshift.flows.config.project import Project, find_config, load_project
from landshift.flows.steps.images.epochs import Pair
from landshift.flows.steps.learning.fitting import Recipe, encoder_of, fit_network
from landshift.models.network.siamese import Siamese
from landshift.models.use.bundle import Bundle
from landshift.models.use.ready import make_ready
from landshift.models.use.streaming import stream
from landshift.pipeline.demo.files import make_territory
from landshift.pipeline.demo.territories import NORTH
from landshift.pipeline.epochs.matching import PairSource
from landshift.pipeline.grid import Grid
from landshift.pipeline.raster.images import open_readers
from landshift.pipeline.raster.write import write_raster
from landshift.pipeline.tiles import STRIDE, Tile, Window, tiles

SIDE = 1024
ENCODERS = (
    "imagenet-efficientnet-lite0",
    "random:resnet18",
    "random:resnet50",
    "random:swin_v2_t",
    "random:tu-vit_small_patch16_224",
)
SMALLER = {"random:tu-vit_small_patch16_224": 2}
"""What cannot see so large a scene in one piece, since each place looks at every other one: its sides are divided."""
CORES, MARGINS, AROUND = (256, 1024), (0, 32, 64, 96, 128, 192, 256), 384
"""Of the tiles, and what the one piece sees around the scene."""
MOVED = 64
"""The margin of the tiles that begin elsewhere."""


@dataclass(frozen=True)
class Scene:
    """A pair, and a network that is not changed any more."""

    network: Siamese
    source: PairSource
    side: int
    bundle: Bundle

    def map(self, work: Sequence[Tile]) -> np.ndarray:
        """Return (date or change, y, x), what each pixel is."""
        made: np.ndarray | None = None
        for done in stream(self.network, self.source, work, self.bundle.temperatures):
            found = done.probabilities
            layers = [p.argmax(axis=0) for p in (found.before, found.after) if p is not None]
            layers += [] if found.change is None else [found.change >= self.bundle.threshold]
            made = np.zeros((len(layers), self.side, self.side), dtype=np.uint8) if made is None else made
            made[(slice(None), *done.tile.core.slices)] = np.stack(layers)
        assert made is not None  # noqa: S101
        return made

    def map_whole(self) -> np.ndarray:
        """Map all in one piece."""
        read = self.side + 2 * AROUND
        return self.map([Tile(0, 0, Window(0, 0, self.side, self.side), Window(-AROUND, -AROUND, read, read))])


def move(work: Sequence[Tile], shape: tuple[int, int], by: int) -> list[Tile]:
    """Return the tiles of a scene that begins `by` pixels further up and left, cut to the scene, with the margins they have."""
    moved = []
    for tile in work:
        core = Window(tile.core.y - by, tile.core.x - by, tile.core.height, tile.core.width).clip(shape)
        margin = tile.core.y - tile.read.y
        if core.height > 0 and core.width > 0:
            height, width = (-(-n // STRIDE) * STRIDE + 2 * margin for n in (core.height, core.width))
            moved.append(replace(tile, core=core, read=Window(core.y - margin, core.x - margin, height, width)))
    return moved


def measure(scene: Scene) -> dict[str, Any]:
    """Count the flips of every tiling."""
    shape, whole = (scene.side, scene.side), scene.map_whole()
    row: dict[str, Any] = {
        "side": scene.side,
        "around": AROUND,
        "changed": round(float((whole[-1] > 0).mean()), 4),
        "cores": {},
    }
    for core in CORES:
        side = core * scene.side // SIDE if core > CORES[0] else core
        found: dict[str, Any] = {}
        for margin in MARGINS:
            made = scene.map(tiles(shape, side, margin))
            found[str(margin)] = {"flips_ppm": count_flips(made, whole), "pixels_read": round((1 + 2 * margin / side) ** 2, 3)}
            if margin == MOVED:
                wide = (scene.side + side, scene.side + side)
                other = scene.map(move(tiles(wide, side, margin), shape, side // 2 // STRIDE * STRIDE))
                found[str(margin)]["moved_flips_ppm"] = count_flips(other, made)
        row["cores"][str(side)] = found
    return row


def count_flips(one: np.ndarray, other: np.ndarray) -> float:
    """Return the pixels that differ in any layer, in parts per million."""
    return round(float((one != other).any(axis=0).mean() * 1e6), 1)


def enlarge(images: Pair, folder: Path, side: int) -> PairSource:
    """Write both dates mirrored until they have so many pixels a side."""
    source, grid = images.source, images.plan.grid
    height, width = grid.shape
    paths = []
    with open_readers(*source.images) as readers:
        for name, reader in zip(("before", "after"), readers, strict=True):
            found = reader.read(Window(0, 0, height, width))
            wide = np.pad(found, ((0, 0), (0, side - height), (0, side - width)), mode="symmetric")
            wider = Grid(shape=(side, side), affine=grid.affine, crs=grid.crs)
            paths.append(write_raster(folder / f"{name}.tif", wide.astype(np.float32), wider, nodata=float("nan")))
    return replace(source, before=paths[0], after=paths[1])


def weigh() -> dict[str, Any]:
    """Compare the work of a tile of the default network with several margins with that of one without."""
    network = build(list(VARIANTS)[-1]).eval()
    fused = make_ready(network, "fused")
    rows: dict[str, Any] = {}
    with torch.inference_mode():
        for margin in MARGINS:
            image = torch.rand(1, len(BANDS), CORES[-1] + 2 * margin, CORES[-1] + 2 * margin)
            with FlopCounterMode(display=False) as counted:
                run(network, image, margin)
            rows[str(margin)] = {
                "flop": counted.get_total_flops(),
                "cpu_s": least_seconds(partial(run, fused, image, margin), 2),
            }
    return {m: {name: round(row[name] / rows["0"][name], 3) for name in row} for m, row in rows.items()}


def run(network: Siamese, image: torch.Tensor, trim: int) -> None:
    """Map an image as both dates."""
    network.decode(network.encode(image), network.encode(image), trim=trim)


def learn(given: argparse.Namespace) -> None:
    """Train and measure what is not there yet."""
    lines = given.rows.read_text(encoding="utf-8").splitlines() if given.rows.exists() else []
    known = {row["encoder"] for row in map(json.loads, lines)}
    data = given.folder
    if given.command == "demo":
        data = given.folder / NORTH.name
        if not data.is_dir():
            make_territory(data, NORTH, size=SIDE)
    base = load_project(find_config(f"{given.command}.yaml")).model_dump(mode="json")
    for encoder in (e for e in given.encoders if e not in known):
        content = merge(base, {"name": "margins", "model": {"encoder": encoder}})
        with tempfile.TemporaryDirectory() as folder, given.rows.open("a", encoding="utf-8") as file:
            ws, images, masks = prepare(Project.model_validate(content), data, Path(folder))
            recipe = Recipe(encoder_of(ws), "full", 0, given.epochs, chips_per_epoch=given.chips)
            bundle, network = fit_network(ws, images, recipe, masks, checkpoints=Path(folder) / "fit", advance=lambda _: None)
            side = SIDE // SMALLER.get(encoder, 1)
            source = images.source if given.command == "demo" else enlarge(images, Path(folder), side)
            try:
                ready, form = make_ready(network.eval(), "fused"), "fused"
            except Exception:
                ready, form = network.eval(), "plain"
            row = {"scene": given.command, "encoder": encoder, "form": form, "epochs": given.epochs, "chips": given.chips}
            row |= measure(Scene(ready, source, side, bundle))
            file.write(json.dumps(row) + "\n")
            print(json.dumps(row), file=sys.stderr, flush=True)


def main() -> int:
    """Measure or gather."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, encoders in (("taizhou", ENCODERS), ("demo", ENCODERS[:1])):
        command = commands.add_parser(name)
        command.add_argument("folder", type=Path)
        command.add_argument("rows", type=Path)
        command.add_argument("--encoders", nargs="+", default=list(encoders))
        command.add_argument("--epochs", type=int, default=6)
        command.add_argument("--chips", type=int, default=96)
    table = commands.add_parser("table")
    table.add_argument("out", type=Path)
    table.add_argument("rows", type=Path, nargs="+")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.command != "table":
        learn(given)
        return 0
    rows = [json.loads(line) for path in given.rows for line in path.read_text(encoding="utf-8").splitlines()]
    content = {"machine": {**describe_machine(), "torch": torch.__version__, "threads": 1}, "core": CORES[-1]}
    content |= {"times_without_margin": weigh(), "rows": rows}
    given.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
