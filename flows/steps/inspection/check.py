"""Check: everything about a project that can be told without heavy work, and what it will cost."""

import time
from typing import Any

import numpy as np

from landshift.flows.config.learning import TrainingConfig
from landshift.flows.steps.images.gating import gates_of_plan
from landshift.flows.steps.learning.fitting import encoder_of, require_model_fits
from landshift.flows.steps.learning.labelling import read_labels, split_labels
from landshift.flows.steps.project.disk import free_bytes, needed_bytes, require_disk
from landshift.flows.steps.project.plan import Plan, legend_of, plan
from landshift.flows.steps.project.workspace import Workspace
from landshift.flows.steps.publication.maps import areas_in
from landshift.pipeline.gates import MARK, PASS, require_open
from landshift.pipeline.grid import crs_name, pixel_area_ha
from landshift.pipeline.labels.read import summary
from landshift.pipeline.records import content_of
from landshift.pipeline.tiles import STRIDE

_PROBE = 256
"""Side in pixels of the window that the expected time is measured on."""

_BACKWARD = 3.0
"""Forward and backward pass cost about this many forward passes."""


def check_project(ws: Workspace) -> tuple[dict[str, Any], list[str]]:
    """Validate a project and plan its work.

    Returns:
        The plan for machines, and as lines for people.

    Raises:
        InputError: Whatever would stop `train` or `detect`.
    """
    ws.require_writable()
    made = plan(ws)
    require_disk(ws, made)
    gates = gates_of_plan(ws, made)
    require_open(gates)
    if ws.project.trained_model is not None:
        require_model_fits(ws, made)
    content: dict[str, Any] = {"project": ws.project.name, **_images(ws, made), "gates": [content_of(g) for g in gates]}
    content["skipped"] = list(made.skipped)
    content["clouds"] = {"mask": ws.project.scenes.clouds.mask, "model": made.cloud_model, "unmasked": list(made.unmasked)}
    areas = areas_in(ws, made.grid)
    if areas is not None:
        content["areas_of_interest"] = {"names": areas.frame["name"].tolist(), "notes": list(areas.notes)}
    if ws.project.labels is not None:
        labels = read_labels(ws, made.grid)
        content["labels"] = content_of(summary(labels, legend_of(ws.project)))
        content["splits"] = dict(split_labels(ws, labels)[1].counts)
    content |= _network(ws, made)
    return content, _lines(content)


def _tiling(ws: Workspace, made: Plan) -> tuple[int, int]:
    """Return how many tiles there will be and how many pixels they read together, without listing them."""
    core, around = ws.project.detect.core, 2 * ws.project.detect.margin_px
    count = read = 1
    for side in made.grid.shape:
        whole, rest = divmod(int(side), core)
        count *= whole + bool(rest)
        read *= whole * (core + around) + (-(-rest // STRIDE) * STRIDE + around if rest else 0)
    return count, read


def _images(ws: Workspace, made: Plan) -> dict[str, Any]:
    height, width = made.grid.shape
    pixels = height * width
    return {
        "scenes": {e.name: [f"{s.date} {s.id}" for s in e.scenes] for e in made.epochs},
        "grid": {
            "crs": crs_name(made.grid.crs),
            "rows": height, "columns": width, "pixel_size_m": made.grid.transform.a,
            "area_ha": round(pixels * pixel_area_ha(made.grid), 2),
        },
        "bands": list(made.bands), "units": made.sensor.units,
        "tiles": _tiling(ws, made)[0],
        "disk": {"needed_gb": round(needed_bytes(made) / 1e9, 3), "free_gb": round(free_bytes(ws) / 1e9, 3)},
    }  # fmt: skip


def _network(ws: Workspace, made: Plan) -> dict[str, Any]:
    """Say what the encoder comes to, and measure one window with random weights."""
    from landshift.models.encoders.backbones import build_encoder
    from landshift.models.encoders.bands import match_bands
    from landshift.models.encoders.normalisation import Normalisation
    from landshift.models.network.siamese import ChangeNetwork, NetworkSpec
    from landshift.models.use.inference import device_of, predict
    from landshift.pipeline.scores.training import Temperatures

    encoder = encoder_of(ws)
    matched = match_bands(encoder, made.bands, made.wavelengths_nm, extra=ws.project.model.extra_bands)
    config, classes = ws.project.model, len(ws.project.legend)
    heads = ws.project.heads
    spec = NetworkSpec(
        encoder.architecture, matched.used, matched.used, heads, classes if heads != "change" else 0, config.decoder,
        config.fusion, config.decoder_channels,
    )  # fmt: skip
    ones = tuple(1.0 for _ in matched.used)
    device = device_of(ws.project.detect.device)
    network = ChangeNetwork(spec, build_encoder(encoder.architecture, len(ones)), Normalisation(ones, ones, 1.0, "encoder"))
    network = network.eval().to(device)
    image = np.zeros((len(ones), _PROBE, _PROBE), dtype=np.float32)
    predict(network, image, image, Temperatures())
    started = time.perf_counter()
    predict(network, image, image, Temperatures())
    per_pixel = (time.perf_counter() - started) / _PROBE**2
    read = _tiling(ws, made)[1]
    return {
        "encoder": {"name": encoder.name, "bands": list(matched.used), "notes": list(matched.notes), "device": str(device)},
        "expected_minutes": {
            "train": round(_training_pixels(ws.project.training) * per_pixel / 60, 1) if ws.project.labels else None,
            "detect": round(read * per_pixel / 60, 1),
        },
    }


def _training_pixels(config: TrainingConfig) -> float:
    """Return how many pixels of forward pass a whole training is worth, if it does not stop early."""
    return len(config.seeds) * config.epochs * config.chips_per_epoch * config.chip**2 * _BACKWARD


def _gate_lines(gates: list[dict[str, Any]]) -> list[str]:
    """Say what can be asked of the data already; what pixels have to tell, detect asks before it begins."""
    words = {PASS: "passed", MARK: "take care"}
    lines = [f"{g['name']}: {words[g['outcome']]}, {g['found']} (expected {g['limit']})" for g in gates]
    lines += [g["meaning"] for g in gates if g["outcome"] == MARK]
    return [f"{'' if i else 'Gates':<8} {line}" for i, line in enumerate(lines)]


def _lines(content: dict[str, Any]) -> list[str]:
    grid, disk, minutes = content["grid"], content["disk"], content["expected_minutes"]
    lines = [
        f"Project  {content['project']}: "
        + ("everything fits." if "labels" in content else "the scenes fit; without labels it can detect, but not train."),
        *(f"{name.capitalize():<8} {', '.join(scenes)}" for name, scenes in content["scenes"].items()),
        f"Grid     {grid['columns']} x {grid['rows']} pixels (width x height) of {grid['pixel_size_m']:g} m, {grid['crs']}, "
        f"{grid['area_ha']:,.0f} ha",
        f"Bands    {', '.join(content['bands'])} ({content['units']})",
        f"Encoder  {content['encoder']['name']} on {content['encoder']['device']}",
        *(f"         {note}" for note in content["encoder"]["notes"]),
        f"Tiles    {content['tiles']}",
        *_gate_lines(content["gates"]),
        *([f"Clouds   masked by {content['clouds']['model']}"] if content["clouds"]["model"] else []),
        *(f"Warning  {sentence}" for sentence in (*content["skipped"], *content["clouds"]["unmasked"])),
    ]
    if "labels" in content:
        lines.append(f"Labels   {content['labels']['labelled']:,} pixels")
        lines += [
            f"  {role:<10} " + ", ".join(f"{k} {v:,}" for k, v in counts.items()) for role, counts in content["splits"].items()
        ]
    else:
        lines.append("Labels   none: detect needs a trained model, train needs `labels:`")
    if "areas_of_interest" in content:
        names, notes = content["areas_of_interest"]["names"], content["areas_of_interest"]["notes"]
        lines.append(f"Areas    {len(names):,}: {', '.join(names[:6])}{', ...' if len(names) > 6 else ''}")
        lines += [f"         {note}" for note in notes]
    train = "" if minutes["train"] is None else f"train at most {minutes['train']:g} min, "
    lines.append(f"Time     {train}detect {minutes['detect']:g} min (measured on one window here)")
    lines.append(f"Disk     {disk['needed_gb']:g} GB needed, {disk['free_gb']:g} GB free")
    return lines
