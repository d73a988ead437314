"""Ranking: which encoder's features tell the labelled pixels of this territory apart best, and whether that can be told."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from landshift.flows.runtime.progress import step
from landshift.flows.steps.images.epochs import Prepared
from landshift.flows.steps.learning.fitting import build_network, encoder_called, encoder_facts
from landshift.flows.steps.learning.labelling import labels_key_of, read_masks
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.errors import InputError
from landshift.pipeline.labels.read import Labels
from landshift.pipeline.labels.regions import block_index
from landshift.pipeline.manifest import short_hash, value_hash, write_json
from landshift.pipeline.raster.statistics import band_statistics
from landshift.pipeline.scores.evidence import rank_with_abstention, resampled

if TYPE_CHECKING:
    from landshift.models.transfer.features import PixelFeatures
    from landshift.models.transfer.pixels import Pixels

DIMENSIONS = 32
"""Principal components that every encoder is reduced to, so that a wide one has no advantage."""

_FORMAT = 1

_FEWEST_REGIONS = 8
"""Below this the regions of the labels are too few to resample, and the blocks of the split take their place."""


def candidates(ws: Workspace) -> tuple[str, ...]:
    """Return the names of the encoders to rank: the config's, else the model's own and every one that needs no download."""
    from landshift.models.encoders.table import encoders

    if ws.project.assess.encoders:
        return ws.project.assess.encoders
    here = [e.name for e in encoders() if e.source in ("pypi", "random")]
    own = ws.project.model.encoder
    return (own, *(name for name in here if name != own))


def rank_encoders(ws: Workspace, prepared: Prepared, labels_hash: str) -> dict[str, Any]:
    """Score every candidate on labelled pixels, unless that is done already from the same inputs.

    Returns:
        `rows` in order, `choice` (None where the first cannot be told from another), `sentence`, `left_out` with reasons,
        `target`, `pixels`, `groups` and `dimensions`.
    """
    assess = ws.project.assess
    path = ws.assessment / "ranking.json"
    names = candidates(ws)
    rows = {name: _facts(ws, name) for name in names}
    key = value_hash(
        [_FORMAT, prepared.hashes, labels_hash, labels_key_of(ws), rows, assess.pixels, assess.replicates, DIMENSIONS,
         ws.project.model_dump(mode="json", include={"split", "model", "sensor", "labels"})]
    )  # fmt: skip
    manifest = ws.manifest(ws.assessment)
    if not manifest.is_current("ranking", key):
        found = _ranked(ws, prepared, names, key)
        write_json(path, found)
        if not found["left_out"]:
            # Weights that could not be had may be there the next time; the features of the others are kept.
            manifest.record("ranking", key, [path])
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _facts(ws: Workspace, name: str) -> dict[str, Any]:
    try:
        return encoder_facts(encoder_called(ws, name))
    except InputError as error:
        return {"name": name, "error": str(error)}


def groups_of(ws: Workspace, labels: Labels) -> np.ndarray:
    """Return which pixels stand or fall together: the regions that labels name where there are many, else blocks.

    Returns:
        int32 (y, x), -1 = none.
    """
    region = labels.region
    if region is not None and len(np.unique(region[region >= 0])) >= _FEWEST_REGIONS:
        return region.astype(np.int32)
    side = ws.project.split.block_px
    height, width = labels.change.shape
    block = block_index(np.arange(height)[:, None], np.arange(width)[None, :], width, side)
    return np.where(labels.labelled, block, -1).astype(np.int32)


def _ranked(ws: Workspace, prepared: Prepared, names: tuple[str, ...], key: str) -> dict[str, Any]:
    from landshift.models.transfer.pixels import draw_pixels

    assess = ws.project.assess
    labels = read_masks(ws).labels
    is_change = ws.project.heads != "landuse"
    target = labels.change if is_change else labels.before
    groups = groups_of(ws, labels)
    sample = draw_pixels(target, groups, limit=assess.pixels, seed=0)
    truth, group = target[sample.y, sample.x], groups[sample.y, sample.x]
    if len(np.unique(truth)) < 2:
        raise InputError(
            f"The labels hold one class only ({len(sample)} pixels); an encoder can only be ranked by how well it tells "
            f"classes apart. Label another class."
        )
    features: dict[str, Any] = {}
    left_out, rows = [], {}
    with step("Ranking encoders") as advance:
        for number, name in enumerate(names, start=1):
            try:
                features[name], seen, rows[name] = _described(ws, prepared, name, sample, truth, group, is_change, key)
            except InputError as error:
                left_out.append({"encoder": name, "reason": str(error)})
            advance(number / (len(names) + 1))
        if not rows:
            reasons = "; ".join(f"{row['encoder']}: {row['reason']}" for row in left_out)
            raise InputError(f"No encoder can be used here. {reasons}")
        # The bands are the same for all, and so are the pixels that are observed in every one of them.
        truth, group = truth[seen], group[seen]
        draws = resampled(group, assess.replicates, 0)
        scores = {n: _resampled_scores(f, truth, draws, rows[n]["scores"]["LogME"]) for n, f in features.items()}
        advance(1.0)
    ranking = rank_with_abstention(scores, {n: r["scores"]["LogME"] for n, r in rows.items()})
    return {
        "target": "change" if is_change else "land use before", "pixels": len(truth), "groups": len(np.unique(group)),
        "dimensions": DIMENSIONS, "choice": ranking.choice, "sentence": ranking.sentence,
        "rows": [{**asdict(row), **rows[row.name]} for row in ranking.rows], "left_out": left_out,
    }  # fmt: skip


def _resampled_scores(features: np.ndarray, truth: np.ndarray, draws: Sequence[np.ndarray], point: float) -> np.ndarray:
    """Score every resample, NaN where it holds one class only.

    Repeated pixels are easier to explain than new ones, which lifts every resample's score: that bias is taken out.
    """
    from landshift.models.transfer.scores import log_me

    scores = np.array([log_me(features[i], truth[i]) if len(np.unique(truth[i])) > 1 else np.nan for i in draws])
    return np.asarray(scores - np.nanmean(scores) + point)


def _described(
    ws: Workspace, prepared: Prepared, name: str, sample: "Pixels", truth: np.ndarray, group: np.ndarray, is_change: bool,
    key: str,
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:  # fmt: skip
    """Return the reduced features of one encoder, which pixels of the sample they are of, and its scores at every depth."""
    from landshift.models.encoders.expectations import band_findings
    from landshift.models.transfer.features import pixel_features
    from landshift.models.transfer.probe import features_cache, probe_score
    from landshift.models.transfer.scores import SCORES, log_me, reduce, standardise
    from landshift.models.use.inference import device_of

    made = prepared.plan
    encoder = encoder_called(ws, name)
    built = build_network(ws, prepared, encoder, "frozen", 0)
    device = device_of(ws.project.detect.device)

    def make() -> "PixelFeatures":
        return pixel_features(built.network.eval().to(device), prepared.images, sample, device=device)

    # Weights of a hub can change under the same name; random ones are those of seed 0.
    found = features_cache(
        ws.assessment / "features" / f"{short_hash(value_hash(name), 12)}.safetensors", f"{key} {built.weights_hash}", make
    )
    seen = found.observed
    truth, group = truth[seen], group[seen]
    maps = [m[seen] for m in (found.difference if is_change else found.before)]
    ready = [reduce(standardise(m), DIMENSIONS) for m in maps]
    whole = reduce(np.concatenate([standardise(m) for m in maps], axis=1), DIMENSIONS)
    scores: dict[str, float | None] = {s.name: float(s.function(whole, truth)) for s in SCORES if not s.needs_source_head}
    source = _source_probabilities(ws, prepared, name, sample, is_change)
    scores |= {
        s.name: None if source is None else float(s.function(source[seen], truth)) for s in SCORES if s.needs_source_head
    }
    statistics = band_statistics(prepared.images)
    return (
        whole,
        seen,
        {
            "scores": scores,
            "probe_f1": probe_score(whole, truth, group),
            "depths": {d: float(log_me(r, truth)) for d, r in zip(found.depths, ready, strict=True)},
            "bands": [asdict(f) for f in band_findings(built.normalisation, statistics, made.bands)],
            "notes": list(built.notes),
            "source": {k: getattr(encoder, k) for k in ("task", "sensor", "licence", "citation")},
        },
    )


def _source_probabilities(ws: Workspace, prepared: Prepared, name: str, sample: "Pixels", is_change: bool) -> np.ndarray | None:
    """Return what the classes that the encoder was trained on say of each pixel, where it can say so pixel by pixel."""
    from landshift.models.encoders.weights import cloud_model
    from landshift.models.transfer.source import joint, source_input, source_probabilities
    from landshift.models.use.inference import device_of

    encoder = encoder_called(ws, name)
    if not encoder.has_decoder:
        return None
    made, statistics = prepared.plan, band_statistics(prepared.images)
    device = device_of(ws.project.detect.device)
    try:
        given = source_input(
            encoder, made.bands, made.sensor.units, (statistics.mean, statistics.std), wavelengths=made.wavelengths_nm
        )
    except InputError:
        # Its encoder can still serve; only its head needs every band.
        return None
    before, after = source_probabilities(cloud_model(encoder).to(device), given, prepared.images, sample, device=device)
    return joint(before, after) if is_change else before
