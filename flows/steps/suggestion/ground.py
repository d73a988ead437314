"""The territory that blocks are suggested for: of a project, or of a finished run."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from landshift.flows.runtime.limits import model_slot
from landshift.flows.runtime.progress import step
from landshift.flows.steps.images.epochs import Pair
from landshift.flows.steps.learning.labelling import LABELS, current_labels
from landshift.flows.steps.project.plan import legend_of
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.change.decision import PROBABILITY_NODATA, decide, probability_codes
from landshift.pipeline.epochs.matching import PairSource
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid
from landshift.pipeline.legend import NOT_LABELLED, Legend
from landshift.pipeline.raster.read import read_raster
from landshift.pipeline.raster.write import Layout, open_writer
from landshift.pipeline.run.record import read_run
from landshift.pipeline.run_files import IMAGES, PROBABILITY
from landshift.pipeline.tiles import tiles

_MODEL = "model.json"
_BLOCK = 64
"""Side of a block where only a run is known, pixels: the default of `split: block_px`."""


@dataclass(frozen=True)
class Member:
    """A method whose chances of change are asked."""

    name: str
    """For people."""
    chances: Path
    """Raster as `change_probability.tif` of a run."""


@dataclass(frozen=True, eq=False)
class Ground:
    """A territory of which blocks are to be labelled."""

    project: str
    """Name."""
    dates: tuple[date, date]
    """Of the images before and after."""
    legend: Legend
    """Of the labels that are wanted."""
    grid: Grid
    """Where the pixels are."""
    source: PairSource
    """Both dates."""
    members: tuple[Member, ...]
    """Models that were asked; IR-MAD is asked besides."""
    labelled: np.ndarray
    """bool (y, x): where something is labelled already."""
    block_px: int
    """Side of a block, pixels."""
    notes: tuple[str, ...] = ()
    """What is not known, in sentences."""


def ask_project(ws: Workspace, prepared: Pair, folder: Path) -> Ground:
    """Describe the territory of a project: its images, its labels where it has some, and the chances by its models.

    Args:
        ws: The project.
        prepared: Its images.
        folder: Where rasters of chances go.

    Raises:
        InputError: The labels cannot be read, or a model that was named does not fit.
    """
    made, notes = prepared.plan, []
    shape = made.grid.shape.yx
    if ws.project.labels is None:
        labelled = np.zeros(shape, dtype=bool)
        notes.append("The config has no `labels:`, so no block counts as labelled.")
    else:
        labelled = current_labels(ws, made.grid).labelled
    members = []
    for number, model in enumerate(_models_of(ws), start=1):
        name = model.parent.name if model.parent.parent == ws.training else "model"
        reason = _why_unfit(ws, prepared, model)
        if reason and ws.uses_other_model:
            raise InputError(f"The model {model} cannot be asked: {reason}. Name another with --model.")
        if reason:
            notes.append(f"The model {name} was not asked: {reason}.")
        else:
            members.append(Member(name, _map_chances(ws, prepared, model, folder / f"raw_chances_{number}.tif")))
    if not members:
        notes.append("There is no trained model to ask yet; train one, and suggest again, to find what it does not know.")
    return Ground(
        ws.project.name, (made.before.date, made.after.date), legend_of(ws.project), made.grid, source=prepared.source,
        members=tuple(members), labelled=labelled, block_px=ws.project.split.block_px, notes=tuple(notes),
    )  # fmt: skip


def ask_run(folder: Path) -> Ground:
    """Describe the territory of a finished run, by its display images and its probabilities.

    Labels are known where those of the training lie beside the run, on the same grid.

    Raises:
        InputError: It is not the folder of a run, or its images are not there.
    """
    record = read_run(folder)
    images = [folder / name for name in IMAGES.values()]
    missing = [i.name for i in images if not i.is_file()]
    if missing:
        raise InputError(f"{folder} lacks {', '.join(missing)}: copy the run with all its files, or give the config instead.")
    chances, grid = read_raster(folder / PROBABILITY)
    notes = ["Only the three colours of the run's images are known; the config shows all bands, and asks every seed's model."]
    labelled, split = np.zeros(chances.shape, dtype=bool), record.config.get("split") or {}
    masks = folder.parent / "training" / LABELS
    known = read_raster(masks) if masks.is_file() else None
    if known is not None and known[1] == grid:
        layers = np.stack([known[0], *(read_raster(masks, band)[0] for band in (2, 3))])
        labelled = (layers != NOT_LABELLED).any(axis=0)
    else:
        notes.append(f"No labels lie beside the run ({masks.parent.name}/{masks.name}), so no block counts as labelled.")
    model = () if record.model is None else (Member(f"model {record.model.name}", folder / PROBABILITY),)
    return Ground(
        record.name, (record.before_date, record.after_date), Legend(record.legend), grid,
        source=PairSource(images[0], images[1]),
        members=model, labelled=labelled, block_px=int(split.get("block_px", _BLOCK)), notes=tuple(notes),
    )  # fmt: skip


def _models_of(ws: Workspace) -> Sequence[Path]:
    """Return the models to ask: one that is named, else one a seed, else that in use."""
    if ws.uses_other_model:
        return [ws.model_in_use]
    seeds = sorted(path.parent for path in ws.training.glob(f"seed-*/model/{_MODEL}"))
    # Their folders are named by the number of the seed.
    return seeds or [model for model in (ws.model_in_use,) if (model / _MODEL).is_file()]


def _why_unfit(ws: Workspace, prepared: Pair, model: Path) -> str:
    """Return why a model cannot be asked about these images; empty where it can."""
    from landshift.models.use.bundle import describe

    bundle, made, radiometry = describe(model), prepared.plan, prepared.radiometry
    if bundle.spec.image_bands != made.bands:
        return f"it needs the bands {', '.join(bundle.spec.image_bands)}, and the images have {', '.join(made.bands)}"
    if bundle.units != made.sensor.units:
        return f"it was trained on {bundle.units}, and the images are in {made.sensor.units}"
    if bundle.treatment != radiometry.treatment:
        return f"it was trained on pairs with {bundle.treatment}, and these images have {radiometry.treatment}"
    return "it needs the IR-MAD statistic of the pair" if bundle.spec.priors and radiometry.statistic is None else ""


def _map_chances(ws: Workspace, prepared: Pair, model: Path, path: Path) -> Path:
    """Write the chance of change of each pixel by one model, tile by tile."""
    from landshift.models.use.bundle import load
    from landshift.models.use.inference import device_of
    from landshift.models.use.streaming import stream

    config, grid = ws.project.detect, prepared.plan.grid
    bundle, network = load(model)
    network = network.eval().to(device_of(config.device))
    work = tiles(grid.shape.yx, config.core, config.margin_px)
    layout = Layout(grid, 1, "uint8", PROBABILITY_NODATA)
    with model_slot(), step(f"Asking {model.parent.name}") as advance, open_writer(path, layout) as write:
        for number, mapped in enumerate(stream(network, prepared.source, work, bundle.temperatures), start=1):
            found = mapped.probabilities
            decision = decide(found.change, found.before, found.after, bundle.legend, threshold=bundle.threshold)
            write(mapped.tile.core, probability_codes(decision.change_probability)[np.newaxis])
            advance(number / len(work))
    return path
