"""A free 1 x 1 model over a pair of 8,192 pixels and four bands: Landshift, raster-vision, and a loop over torchgeo.

    python benchmarks/peers.py [--out FILE] [--size 8192] [--folder FOLDER] [--environment FOLDER] [--who NAME ...]

Each reads both dates, decides changed or unchanged by the difference of red and of near infrared, and writes one map as a
GeoTIFF, in a process of its own that is watched. `detect` is the whole command of Landshift, with land use, polygons, styles
and page besides. raster-vision wants its own versions of many packages: ENVIRONMENT is a virtual environment for it, which is
made where it is not there (`pip install rastervision==0.31.*`, about 6 GB with its PyTorch).
"""

import argparse
import importlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

WHO = ("landshift", "detect", "torchgeo", "rastervision", "rastervision-margins", "rastervision-defaults")
WINDOWS = {"rastervision": (1024, 0, 4), "rastervision-margins": (1024, 128, 4), "rastervision-defaults": (300, 0, 8)}
"""Of raster-vision: core, margin that is cut off, and windows at once."""
VERSION = "0.31.*"
SIDE, MARGIN = 1024, 128
THRESHOLD = 0.06


def free_model() -> Any:  # noqa: ANN401 (libraries differ by environment)
    """Return a module that turns both dates, stacked (batch, 8, y, x), into logits (batch, 2, y, x)."""
    import torch

    class Free(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = torch.nn.Parameter(torch.zeros(1))

        def forward(self, x: Any) -> Any:  # noqa: ANN401
            gap = (x[:, 6] - x[:, 2]).abs() + (x[:, 7] - x[:, 3]).abs() - THRESHOLD
            return torch.stack([-gap, gap], dim=1)

    return Free().eval()


def scenes_of(data: Path) -> list[Path]:
    """Return the file before and the file after."""
    return sorted(data.glob("*.tif"))


def map_by_landshift(data: Path, out: Path) -> None:
    """Stream the pair through a free network, and write its change."""
    import free_model as free

    free.install()
    from landshift.models.use.bundle import load
    from landshift.models.use.inference import DecisionRule
    from landshift.models.use.streaming import MappedTile, stream, write_behind
    from landshift.pipeline.epochs.matching import PairSource
    from landshift.pipeline.raster.read import inspect
    from landshift.pipeline.raster.write import Layout, open_writer
    from landshift.pipeline.tiles import tiles

    bundle, network = load(data.parent / "binary")
    before, after = scenes_of(data)
    info = inspect(before)
    with open_writer(out, Layout(info.grid, 1, "uint8", 0)) as write:

        def finish(done: MappedTile) -> None:
            if done.decision is not None:
                write(done.tile.core, done.decision.change[None])

        rule = DecisionRule(bundle.legend, bundle.threshold)
        mapped = stream(network, PairSource(before, after), tiles(info.shape, SIDE, MARGIN), bundle.temperatures, rule=rule)
        for _ in write_behind(mapped, finish):
            pass


def map_by_torchgeo(data: Path, out: Path) -> None:
    """Sample a grid of overlapping chips of both dates, and stitch the middle of each."""
    # Lets a CUDA build of torchvision be imported beside a CPU build of PyTorch.
    importlib.import_module("landshift.models")
    import numpy as np
    import rasterio
    import torch
    from torch.utils.data import DataLoader
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import GridGeoSampler

    model = free_model()
    before, after = (RasterDataset(paths=[path]) for path in scenes_of(data))
    both = before & after
    sampler = GridGeoSampler(both, size=SIDE, stride=SIDE - 2 * MARGIN)
    with rasterio.open(scenes_of(data)[0]) as file:
        profile, shape = file.profile, file.shape
    stitched, left, top, pixel = (
        np.zeros(shape, np.uint8),
        profile["transform"].c,
        profile["transform"].f,
        profile["transform"].a,
    )
    places = [(round((top - y.stop) / pixel), round((x.start - left) / pixel)) for x, y, _ in sampler]
    loader = DataLoader(both, batch_size=4, sampler=sampler, collate_fn=stack_samples, num_workers=0)
    with torch.inference_mode():
        for number, batch in enumerate(loader):
            image = batch["image"] * 1e-4
            said = (model(image).argmax(dim=1) + 1).to(torch.uint8)
            said[(image[:, :4] == 0).all(dim=1) | (image[:, 4:] == 0).all(dim=1)] = 0
            for (y, x), codes in zip(places[4 * number : 4 * number + 4], said.numpy(), strict=True):
                # The margin is cut off where another chip covers it.
                y0, x0 = (MARGIN if at > 0 else 0 for at in (y, x))
                y1, x1 = (SIDE - MARGIN if at + SIDE < n else n - at for at, n in zip((y, x), shape, strict=True))
                y0, x0 = max(y0, -y), max(x0, -x)
                stitched[y + y0 : y + y1, x + x0 : x + x1] = codes[y0:y1, x0:x1]
    profile.update(count=1, dtype="uint8", nodata=0, compress="deflate")
    with rasterio.open(out, "w", **profile) as target:
        target.write(stitched, 1)


def map_by_rastervision(data: Path, out: Path, core: int, margin: int, batch: int) -> None:
    """Predict window by window, and save labels, as raster-vision's own examples do."""
    import numpy as np
    from rastervision.core.data import ClassConfig, MultiRasterSource, RasterioSource, Scene, SemanticSegmentationLabels
    from rastervision.pytorch_learner import (
        SemanticSegmentationGeoDataConfig,
        SemanticSegmentationLearner,
        SemanticSegmentationLearnerConfig,
        SemanticSegmentationSlidingWindowGeoDataset,
        SolverConfig,
    )

    sources = [RasterioSource(str(path), allow_streaming=True) for path in scenes_of(data)]
    classes = ClassConfig(names=["unchanged", "changed"], null_class="unchanged")
    scene = Scene(id="pair", raster_source=MultiRasterSource(raster_sources=sources, primary_source_idx=0))
    dataset = SemanticSegmentationSlidingWindowGeoDataset(
        scene=scene, size=core + 2 * margin, stride=core, padding=margin, normalize=False
    )
    settings = SemanticSegmentationLearnerConfig(
        data=SemanticSegmentationGeoDataConfig(class_config=classes, num_workers=0, img_channels=8),
        solver=SolverConfig(batch_sz=batch),
    )
    model = free_model()
    given = model.forward
    # It hands over the numbers of the files.
    model.forward = lambda x: given(x * 1e-4)
    learner = SemanticSegmentationLearner(settings, model=model, training=False, output_dir=str(out.parent / "learner"))
    said = learner.predict_dataset(dataset, raw_out=False, numpy_out=True, progress_bar=False)
    labels = SemanticSegmentationLabels.from_predictions(
        dataset.windows,
        ((np.asarray(one)) for one in said),
        extent=scene.extent,
        num_classes=2,
        smooth=False,
        crop_sz=margin or None,
    )
    labels.save(str(out), crs_transformer=sources[0].crs_transformer, class_config=classes)


def make_environment(folder: Path) -> Path:
    """Return the Python of an environment with raster-vision, made where it is not there."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", f"rastervision=={VERSION}"], check=True)
    return python


def compare(options: argparse.Namespace, pairs: Path, folder: Path) -> dict[str, Any]:
    """Run everyone on the same pair, and compare the maps."""
    import numpy as np
    import rasterio
    from detect_path import detect
    from free_model import save_free_model
    from machine import describe_machine, run_watched, say
    from made import BANDS, SCALE, Recipe, make_pair

    home = make_pair(pairs, Recipe(options.size, 4))
    save_free_model(home / "binary", BANDS[4], 0, scale=SCALE)
    result: dict[str, Any] = {"machine": describe_machine(), "size_px": options.size, "bands": 4, "rows": {}}
    maps: dict[str, Any] = {}
    for who in options.who:
        say(f"{who} over {options.size} px")
        if who == "detect":
            result["rows"][who] = detect(home, folder).cost.figures
            continue
        room = folder / who
        room.mkdir()
        try:
            python = make_environment(options.environment) if who in WINDOWS else Path(sys.executable)
            words = [python, __file__, "--run", who, "--data", home / "data", "--map", room / "map.tif"]
            result["rows"][who] = run_watched(words, [room], {"TMPDIR": str(room)}).figures
        except (RuntimeError, subprocess.CalledProcessError) as error:
            result["rows"][who] = {"failed": str(error)[-600:]}
            continue
        # raster-vision writes `labels.tif` into a folder, and counts classes from 0.
        made = room / "map.tif"
        with rasterio.open(made / "labels.tif" if made.is_dir() else made) as file:
            maps[who] = file.read(1) == (1 if who in WINDOWS else 2)
        shutil.rmtree(room / "learner", ignore_errors=True)
    result["changed_elsewhere_ppm"] = {
        who: round(float(np.mean(found != maps["landshift"])) * 1e6, 1) for who, found in maps.items() if "landshift" in maps
    }
    return result


def main() -> None:
    """Compare, or run one of them in this process."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--column", default="now")
    parser.add_argument("--size", type=int, default=8192)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--environment", type=Path, default=Path(".venv-rastervision"))
    parser.add_argument("--who", nargs="+", choices=WHO, default=list(WHO))
    for name in ("--run", "--data", "--map"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        data, out = Path(options.data), Path(options.map)
        if options.run in WINDOWS:
            map_by_rastervision(data, out, *WINDOWS[options.run])
        else:
            {"landshift": map_by_landshift, "torchgeo": map_by_torchgeo}[options.run](data, out)
        return
    from machine import keep_figures

    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        content = compare(options, options.folder or Path(name) / "pairs", Path(name))
        keep_figures(options.out, options.column, content)


if __name__ == "__main__":
    main()
