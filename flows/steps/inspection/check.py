"""Check of a project without heavy work, and the cost of its work."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from landshift.flows.config.learning import TrainingConfig
from landshift.flows.runtime.reply import Reply
from landshift.flows.steps.images.gating import gates_of_look, gates_of_plan
from landshift.flows.steps.learning.fitting import encoder_of, require_model_fits
from landshift.flows.steps.learning.labelling import assign_roles, read_labels
from landshift.flows.steps.monitoring.season import describe_pairs
from landshift.flows.steps.project.disk import bytes_required, free_bytes, require_disk
from landshift.flows.steps.project.finding import find_scenes
from landshift.flows.steps.project.plan import Plan, legend_of, plan, sensor_of
from landshift.flows.steps.project.workspace import Workspace
from landshift.flows.steps.publication.maps import areas_in
from landshift.pipeline.gates import MARK, NOT_MEASURED, PASS, Gate, require_open
from landshift.pipeline.grid import crs_name, pixel_area_ha
from landshift.pipeline.labels.read import LabelSummary, summary
from landshift.pipeline.records import IfAny, content_of
from landshift.pipeline.tiles import STRIDE

_PROBE = 256
"""Side in pixels of the window that the expected time is measured on."""
_BACKWARD = 3.0
"""Forward and backward pass cost about this many forward passes."""


@dataclass(frozen=True)
class GridFacts:
    """The region's grid."""

    crs: str
    """Name of the CRS."""
    rows: int
    """Pixels."""
    columns: int
    """Pixels."""
    pixel_size_m: float
    """Side of a pixel in metres."""
    area_ha: float
    """Of the rectangle, in hectares."""


@dataclass(frozen=True)
class CloudFacts:
    """Masks of clouds."""

    mask: str
    """As configured."""
    model: str | None
    """Masks the scenes that need it; None where none does."""
    unmasked: tuple[str, ...]
    """Scenes without a mask, in sentences."""


@dataclass(frozen=True)
class AreaList:
    """Areas of interest."""

    names: tuple[str, ...]
    """In the order of the file."""
    notes: tuple[str, ...]
    """Sentences about areas that are cut or left out."""


@dataclass(frozen=True)
class EncoderFacts:
    """The encoder of the project."""

    name: str
    """In the encoder table."""
    bands: tuple[str, ...]
    """That enter, in order."""
    notes: tuple[str, ...]
    """How bands are matched, in sentences."""
    device: str
    """Where it runs."""


@dataclass(frozen=True, kw_only=True)
class ProjectCheck:
    """Plan of a project's work, in the order of `landshift check --json`."""

    project: str
    """Its name."""
    scenes: Mapping[str, tuple[str, ...]]
    """Epoch to the day and id of each scene."""
    grid: GridFacts
    """Of the region."""
    bands: tuple[str, ...]
    """In order."""
    units: str
    """Of the images."""
    tiles: int
    """That detect maps."""
    disk: Mapping[str, float]
    """`needed_gb` and `free_gb`."""
    gates: tuple[Gate, ...]
    """That need no images: cover, season, and levels as a few windows of local scenes show them."""
    skipped: tuple[str, ...]
    """Faulty scenes, in sentences."""
    clouds: CloudFacts
    """Masks of clouds."""
    resampled: tuple[str, ...]
    """What does not lie on the pixels of the grid, and from what it is resampled; sentences."""
    areas_of_interest: IfAny[AreaList] = None
    """None without a file of them."""
    monitor: tuple[str, ...] = ()
    """Which pairs a monitor would make, in sentences; empty where the config has no `monitor:`."""
    labels: IfAny[LabelSummary] = None
    """None without labels."""
    splits: IfAny[Mapping[str, Mapping[str, int]]] = None
    """Role to class to pixels; None without labels."""
    split_notes: tuple[str, ...] = ()
    """Of a given split: how near its roles lie, and what is short, in sentences."""
    method: str
    """What maps the changes: `model`, `ir-mad` or `cva`."""
    encoder: IfAny[EncoderFacts] = None
    """Of the project; None where a classical method maps the changes and there are no labels to train on."""
    expected_minutes: Mapping[str, float | None]
    """`train`, None without labels, and `detect`."""


def check_project(ws: Workspace) -> Reply:
    """Validate a project and plan its work.

    Returns:
        A `ProjectCheck` as JSON, and as lines for people.

    Raises:
        InputError: Whatever would stop `train` or `detect`.
    """
    ws.require_writable()
    made = plan(ws)
    require_disk(ws, made)
    gates = (*gates_of_plan(ws, made), *gates_of_look(ws, made))
    require_open(gates)
    if ws.project.trained_model is not None:
        require_model_fits(ws, made)
    areas, labels = areas_in(ws, made.grid), None if ws.project.labels is None else read_labels(ws, made.grid)
    splits = None if labels is None else assign_roles(ws, labels, made.grid)[1]
    (height, width), (count, read) = made.grid.shape, _tiling(ws, made)
    method = ws.project.detect.method
    encoder, minutes = None, dict[str, float | None](train=None, detect=None)
    if method == "model" or labels is not None:
        encoder, minutes = measure_network(ws, made.bands, made.wavelengths_nm, read)
    if method != "model":
        minutes["detect"] = None
    check = ProjectCheck(
        project=ws.project.name,
        scenes={e.name: tuple(f"{s.date} {s.id}" for s in e.scenes) for e in made.epochs},
        grid=GridFacts(
            crs_name(made.grid.crs), height, width, made.grid.transform.a,
            area_ha=round(height * width * pixel_area_ha(made.grid), 2),
        ),
        bands=made.bands,
        units=made.sensor.units,
        tiles=count,
        disk={"needed_gb": round(bytes_required(made) / 1e9, 3), "free_gb": round(free_bytes(ws) / 1e9, 3)},
        gates=tuple(gates),
        skipped=made.skipped,
        clouds=CloudFacts(ws.project.scenes.clouds.mask, made.cloud_model, made.unmasked),
        resampled=made.resampled,
        areas_of_interest=None if areas is None else AreaList(tuple(areas.frame["name"]), tuple(areas.notes)),
        labels=None if labels is None else summary(labels, legend_of(ws.project)),
        splits=None if splits is None else splits.counts, split_notes=() if splits is None else splits.notes,
        monitor=_describe_monitor(ws), method=method, encoder=encoder,
        expected_minutes=minutes,
    )  # fmt: skip
    return content_of(check), _lines(check)


def _describe_monitor(ws: Workspace) -> tuple[str, ...]:
    if "monitor" not in ws.project.model_fields_set:
        return ()
    return tuple(describe_pairs(ws, find_scenes(ws, sensor_of(ws.project.sensor), tolerant=True)))


def _tiling(ws: Workspace, made: Plan) -> tuple[int, int]:
    """Return how many tiles there will be and how many pixels they read together, without listing them."""
    config = ws.project.detect
    # One that is calibrated is not known yet.
    margin = config.settle_margin((int(made.grid.shape[0]), int(made.grid.shape[1])))
    core, around = config.core, 2 * (config.margin_px if margin is None else margin)
    count = read = 1
    for side in made.grid.shape:
        whole, rest = divmod(int(side), core)
        count *= whole + bool(rest)
        read *= whole * (core + around) + (-(-rest // STRIDE) * STRIDE + around if rest else 0)
    return count, read


def measure_network(
    ws: Workspace, bands: tuple[str, ...], wavelengths_nm: Mapping[str, float], read: int
) -> tuple[EncoderFacts, dict[str, float | None]]:
    """Return the encoder, and the minutes of work by one window with random weights; detect reads `read` pixels."""
    from landshift.models.encoders.backbones import build_encoder
    from landshift.models.encoders.bands import match_bands
    from landshift.models.encoders.normalisation import Normalisation
    from landshift.models.network.siamese import ChangeNetwork, NetworkSpec
    from landshift.models.use.inference import device_of, predict
    from landshift.pipeline.epochs.matching import PairWindow
    from landshift.pipeline.scores.training import Temperatures

    encoder = encoder_of(ws)
    matched = match_bands(encoder, bands, wavelengths_nm, extra=ws.project.model.extra_bands)
    config, classes = ws.project.model, len(ws.project.legend)
    heads = ws.project.heads
    spec = NetworkSpec(
        encoder.architecture, matched.used, matched.used, heads, classes=classes if heads != "change" else 0,
        decoder=config.decoder,
        fusion=config.fusion, decoder_channels=config.decoder_channels, landuse_channels=config.landuse_channels,
    )  # fmt: skip
    ones = tuple(1.0 for _ in matched.used)
    device = device_of(ws.project.detect.device)
    network = ChangeNetwork(spec, build_encoder(encoder.architecture, len(ones)), Normalisation(ones, ones, 1.0, "encoder"))
    network = network.eval().to(device)
    pixels = np.zeros((len(ones), _PROBE, _PROBE), dtype=np.float32)
    window = PairWindow(pixels, pixels)
    predict(network, window, Temperatures())
    started = time.perf_counter()
    predict(network, window, Temperatures())
    per_pixel = (time.perf_counter() - started) / _PROBE**2
    train = round(_training_pixels(ws.project.training) * per_pixel / 60, 1) if ws.project.labels else None
    facts = EncoderFacts(encoder.name, tuple(matched.used), tuple(matched.notes), str(device))
    return facts, {"train": train, "detect": round(read * per_pixel * ws.project.detect.phases / 60, 1)}


def _training_pixels(config: TrainingConfig) -> float:
    """Return how many pixels of forward pass a whole training is worth, if it does not stop early."""
    networks = len(config.seeds) * len(config.network_strategies)
    return networks * config.epochs * config.chips_per_epoch * config.chip**2 * _BACKWARD


def _gate_lines(gates: tuple[Gate, ...]) -> list[str]:
    words = {PASS: "passed", MARK: "take care", NOT_MEASURED: "not measured"}
    lines = [f"{g.name}: {words[g.outcome]}, {g.found} (expected {g.limit})" for g in gates]
    lines += [g.caution.full for g in gates if g.outcome in (MARK, NOT_MEASURED)]
    return [f"{'' if i else 'Gates':<8} {line}" for i, line in enumerate(lines)]


def _lines(check: ProjectCheck) -> list[str]:
    grid, minutes = check.grid, check.expected_minutes
    lines = [
        f"Project  {check.project}: "
        + ("everything fits." if check.labels else "the scenes fit; without labels it can detect, but not train."),
        *(f"{name.capitalize():<8} {', '.join(scenes)}" for name, scenes in check.scenes.items()),
        f"Grid     {grid.columns} x {grid.rows} pixels (width x height) of {grid.pixel_size_m:g} m, {grid.crs}, "
        f"{grid.area_ha:,.0f} ha",
        *(f"         {sentence}" for sentence in check.resampled),
        f"Bands    {', '.join(check.bands)} ({check.units})",
        *([f"Method   {check.method}: detect needs no model"] if check.method != "model" else []),
        *([f"Encoder  {check.encoder.name} on {check.encoder.device}"] if check.encoder else []),
        *(f"         {note}" for note in (check.encoder.notes if check.encoder else ())),
        f"Tiles    {check.tiles}",
        *_gate_lines(check.gates),
        *(f"{'' if i else 'Monitor':<8} {sentence}" for i, sentence in enumerate(check.monitor)),
        *([f"Clouds   masked by {check.clouds.model}"] if check.clouds.model else []),
        *(f"Warning  {sentence}" for sentence in (*check.skipped, *check.clouds.unmasked)),
    ]
    if check.labels is None or check.splits is None:
        needs = "detect needs a trained model (or `--method ir-mad`), " if check.method == "model" else ""
        lines.append(f"Labels   none: {needs}train needs `labels:`")
    else:
        lines += [f"Warning  {note}" for note in (*check.labels.notes, *check.split_notes)]
        lines.append(f"Labels   {check.labels.labelled:,} pixels")
        lines += [
            f"  {role:<10} " + ", ".join(f"{k} {v:,}" for k, v in counts.items()) for role, counts in check.splits.items()
        ]
    if check.areas_of_interest is not None:
        names = check.areas_of_interest.names
        lines.append(f"Areas    {len(names):,}: {', '.join(names[:6])}{', ...' if len(names) > 6 else ''}")
        lines += [f"         {note}" for note in check.areas_of_interest.notes]
    train = "" if minutes["train"] is None else f"train at most {minutes['train']:g} min, "
    detect = "detect: a few readings of the images" if minutes["detect"] is None else f"detect {minutes['detect']:g} min"
    lines.append(f"Time     {train}{detect}{' (measured on one window here)' if check.encoder else ''}")
    lines.append(f"Disk     {check.disk['needed_gb']:g} GB needed, {check.disk['free_gb']:g} GB free")
    return lines
