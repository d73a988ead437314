"""Demo: a landscape with known truth, from nothing to a finished map."""

import shutil
import time
from pathlib import Path

import numpy as np

from landshift.flows.config.project import find_config, load_project
from landshift.flows.runtime.progress import step
from landshift.flows.runtime.reply import Reply
from landshift.flows.steps.project.plan import legend_of
from landshift.pipeline.demo.files import make_territory
from landshift.pipeline.demo.territories import NORTH, Territory
from landshift.pipeline.drawing.pictures import change_picture, display_picture, png, side_by_side
from landshift.pipeline.legend import CHANGED, NOT_OBSERVED, Legend
from landshift.pipeline.manifest import replace_when_done
from landshift.pipeline.raster.read import read_raster
from landshift.pipeline.records import content_of
from landshift.pipeline.run_files import CHANGE_MAP, CHANGES, IMAGES, PAGE, PROJECT, RUN
from landshift.pipeline.scores.accuracy import BinaryScores, binary_scores

_SIDE = 512


def run_demo(folder: Path, seed: int) -> Reply:
    """Make the demo's data unless they are there, train, detect, estimate, and compare with the truth.

    Args:
        folder: Where everything goes.
        seed: Which landscape.

    Returns:
        The result for machines, and as lines for people.
    """
    started = time.perf_counter()
    data = make_once(folder, seed, NORTH)
    config = folder / "demo.yaml"
    shutil.copyfile(find_config("demo.yaml"), config)
    project = load_project(config)
    from landshift.flows.demo.sample import estimate_demo
    from landshift.flows.detect import detect
    from landshift.flows.steps.release.showing import score_lines
    from landshift.flows.train import train

    output = folder / "runs"
    trained = train(project, data, output)
    detected = detect(project, data, output)
    truth = _score_against_truth(detected.run, data)
    estimated, estimate_lines = estimate_demo(detected.run, data)
    picture = _write_picture(detected.run, legend_of(project), folder / "demo.png")
    seconds = time.perf_counter() - started
    content = {
        "run": str(detected.run), "model": str(trained.model), "seconds": round(seconds, 1),
        "changed_ha": detected.changed_ha, "polygons": detected.polygons, "outside_labels": content_of(truth),
        "estimated": estimated,
    }  # fmt: skip
    lines = [
        *score_lines(trained.report),
        *trained.told,
        "",
        f"Against the exact truth outside the labelled blocks: F1 {truth.f1:.3f}, kappa {truth.kappa:.3f} "
        f"({truth.n:,} pixels without a label).",
        f"{detected.changed_ha:,.1f} ha mapped as changed (pixel count, biased), in {detected.polygons:,} patches.",
        *estimate_lines,
        f"{seconds:.0f} s in all.",
        "",
        f"Page    {detected.run / PAGE}     (any browser)",
        f"QGIS    {detected.run / PROJECT}     (images, changes and maps, and a layout to print)",
        f"Map     {detected.run / CHANGE_MAP}      (open it in QGIS: it comes with its colours)",
        f"Layers  {detected.run / CHANGES}",
        f"Picture {picture}     (before, after, change)",
        f"Numbers {detected.run / RUN}, {trained.report}",
    ]
    return content, lines


def make_once(folder: Path, seed: int, territory: Territory) -> Path:
    """Return the folder of a territory of a landscape, which is made where it is not there yet.

    Args:
        folder: Of the demo.
        seed: Which landscape.
        territory: Which part of it.
    """
    home = folder / f"landscape-{seed}" / territory.name
    if not home.is_dir():
        with step(f"Making the landscape ({territory.name})") as advance, replace_when_done(home) as temporary:
            make_territory(temporary, territory, seed=seed)
            advance(1.0)
    return home


def _write_picture(run: Path, legend: Legend, path: Path) -> Path:
    """Put before, after and change side by side."""
    before, after = (display_picture(run / file, _SIDE) for file in IMAGES.values())
    change = change_picture(run / CHANGE_MAP, legend.changes, after, _SIDE)
    with replace_when_done(path) as temporary:
        temporary.write_bytes(png(side_by_side([before, after, change]), colours=256))
    return path


def _score_against_truth(run: Path, data: Path) -> BinaryScores:
    """Score the map on every observed pixel that no label covered."""
    before, after = (read_raster(data / f"truth_{name}.tif")[0] for name in ("before", "after"))
    labelled = read_raster(data / "labels_before.tif")[0] > 0
    found = read_raster(run / CHANGE_MAP)[0]
    used = ~labelled & (found != NOT_OBSERVED)
    truth = (before != after).astype(np.uint8)
    return binary_scores(truth[used], (found[used] >= CHANGED).astype(np.float32), 0.5)
