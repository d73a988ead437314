"""Ranking of encoders by how well their features separate the labelled pixels of the territory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from landshift.flows.runtime.progress import step
from landshift.flows.steps.images.epochs import Pair
from landshift.flows.steps.learning.fitting import build_network, encoder_called, encoder_facts
from landshift.flows.steps.learning.labelling import labels_key_of, read_masks
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.epochs.matching import PairSource
from landshift.pipeline.errors import InputError
from landshift.pipeline.labels.read import Labels
from landshift.pipeline.labels.regions import block_index
from landshift.pipeline.manifest import short_hash, value_hash
from landshift.pipeline.raster.images import band_statistics
from landshift.pipeline.records import read_record, write_record
from landshift.pipeline.scores.ranking import (
    EncoderRanking,
    EncoderRow,
    EncoderSource,
    LeftOut,
    RankedEncoder,
    rank_with_abstention,
    resample_groups,
)
from landshift.pipeline.scores.training import BandFinding

if TYPE_CHECKING:
    from landshift.models.encoders.bands import Encoder
    from landshift.models.transfer.features import PixelFeatures
    from landshift.models.transfer.pixels import Pixels

DIMENSIONS = 32
"""Principal components that every encoder is reduced to, so that a wide one has no advantage."""

_FORMAT = 1
_FEWEST_REGIONS = 8
"""Below this the regions of the labels are too few to resample, and the blocks of the split take their place."""


@dataclass(frozen=True)
class _Labelled:
    sample: "Pixels"
    """Labelled pixels."""
    truth: np.ndarray
    """(pixel,), their codes."""
    group: np.ndarray
    """(pixel,), the region or block of each."""
    is_change: bool
    """Whether the codes are of change, else of the land use before."""


@dataclass(frozen=True)
class _Described:
    features: np.ndarray
    """(pixel, dimension), of the pixels that are observed."""
    seen: np.ndarray
    """bool (pixel,), which pixels of the sample these are."""
    scores: dict[str, float | None]
    probe_f1: float | None
    depths: dict[str, float]
    bands: tuple[BandFinding, ...]
    notes: tuple[str, ...]
    source: EncoderSource

    @property
    def log_me(self) -> float:
        """The score that encoders are ranked by."""
        return self.scores["LogME"] or 0.0


def candidates(ws: Workspace) -> tuple[str, ...]:
    """Return the names of the encoders to rank: the config's, else the model's own and every one that needs no download."""
    from landshift.models.encoders.table import encoders

    if ws.project.assess.encoders:
        return ws.project.assess.encoders
    here = [e.name for e in encoders() if e.source in ("pypi", "random")]
    own = ws.project.model.encoder
    return (own, *(name for name in here if name != own))


def rank_encoders(ws: Workspace, prepared: Pair, labels_hash: str) -> EncoderRanking:
    """Rank every candidate on labelled pixels, unless that is done already from the same inputs."""
    assess = ws.project.assess
    path = ws.assessment / "ranking.json"
    names = candidates(ws)
    rows = {name: _facts(ws, name) for name in names}
    key = value_hash(
        [_FORMAT, prepared.key, labels_hash, labels_key_of(ws), rows, assess.pixels, assess.replicates, DIMENSIONS,
         ws.project.model_dump(mode="json", include={"split", "model", "sensor", "labels"})]
    )  # fmt: skip
    manifest = ws.manifest(ws.assessment)
    if not manifest.is_current("ranking", key):
        found = _rank(ws, prepared, names, key)
        write_record(path, found)
        if not found.left_out:
            # Weights that could not be had may be there the next time; the features of the others are kept.
            manifest.record("ranking", key, [path])
    return read_record(path, EncoderRanking)


def _facts(ws: Workspace, name: str) -> Any:  # noqa: ANN401 (JSON)
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


def _rank(ws: Workspace, prepared: Pair, names: tuple[str, ...], key: str) -> EncoderRanking:
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
            f"The labels hold one class only ({len(sample)} pixels); an encoder can only be ranked by how well it "
            f"separates classes. Label another class."
        )
    labelled = _Labelled(sample, truth, group, is_change)
    described: dict[str, _Described] = {}
    left_out = []
    with step("Ranking encoders") as advance:
        for number, name in enumerate(names, start=1):
            try:
                described[name] = _describe(ws, prepared, name, labelled, key=key)
            except InputError as error:
                left_out.append(LeftOut(name, str(error)))
            advance(number / (len(names) + 1))
        if not described:
            reasons = "; ".join(f"{row.encoder}: {row.reason}" for row in left_out)
            raise InputError(f"No encoder can be used here. {reasons}")
        # The bands are the same for all, and so are the pixels that are observed in every one of them.
        seen = next(reversed(described.values())).seen
        truth, group = truth[seen], group[seen]
        draws = resample_groups(group, assess.replicates, 0)
        scores = {name: _score_resamples(d, truth, draws) for name, d in described.items()}
        advance(1.0)
    ranking = rank_with_abstention(scores, {name: d.log_me for name, d in described.items()})
    return EncoderRanking(
        target="change" if is_change else "land use before", pixels=len(truth), groups=len(np.unique(group)),
        dimensions=DIMENSIONS, choice=ranking.choice, sentence=ranking.sentence,
        rows=tuple(_row(row, described[row.name]) for row in ranking.rows), left_out=tuple(left_out),
    )  # fmt: skip


def _score_resamples(described: _Described, truth: np.ndarray, draws: Sequence[np.ndarray]) -> np.ndarray:
    """Score every resample, NaN where it holds one class only.

    Repeated pixels are easier to explain than new ones, which lifts every resample's score: that bias is taken out.
    """
    from landshift.models.transfer.scores import log_me

    features = described.features
    scores = np.array([log_me(features[i], truth[i]) if len(np.unique(truth[i])) > 1 else np.nan for i in draws])
    return np.asarray(scores - np.nanmean(scores) + described.log_me)


def _row(ranked: RankedEncoder, described: _Described) -> EncoderRow:
    known = {name: value for name, value in vars(described).items() if name not in ("features", "seen")}
    return EncoderRow(**vars(ranked), **known)


def _describe(ws: Workspace, prepared: Pair, name: str, labelled: _Labelled, key: str) -> _Described:
    from landshift.models.encoders.expectations import band_findings
    from landshift.models.transfer.features import pixel_features
    from landshift.models.transfer.probe import features_cache, probe_score
    from landshift.models.transfer.scores import SCORES, log_me, reduce, standardise
    from landshift.models.use.inference import device_of

    made = prepared.plan
    encoder = encoder_called(ws, name)
    built = build_network(ws, prepared, encoder, "frozen", seed=0)
    device = device_of(ws.project.detect.device)

    def make() -> "PixelFeatures":
        return pixel_features(built.network.eval().to(device), prepared.source, labelled.sample, device=device)

    # Weights of a hub can change under the same name; random ones are those of seed 0.
    found = features_cache(
        ws.assessment / "features" / f"{short_hash(value_hash(name), 12)}.safetensors", f"{key} {built.weights_hash}", make
    )
    seen = found.observed
    truth = labelled.truth[seen]
    maps = [standardise(m[seen]) for m in (found.difference if labelled.is_change else found.before)]
    whole = reduce(np.concatenate(maps, axis=1), DIMENSIONS)
    scores: dict[str, float | None] = {s.name: float(s.function(whole, truth)) for s in SCORES if not s.needs_source_head}
    source = _source_probabilities(ws, prepared, encoder, labelled)
    scores |= {
        s.name: None if source is None else float(s.function(source[seen], truth)) for s in SCORES if s.needs_source_head
    }
    return _Described(
        whole, seen, scores, probe_score(whole, truth, labelled.group[seen]),
        depths={d: float(log_me(reduce(m, DIMENSIONS), truth)) for d, m in zip(found.depths, maps, strict=True)},
        bands=band_findings(built.normalisation, prepared.source.statistics(), made.bands), notes=built.notes,
        source=EncoderSource(encoder.task, encoder.sensor, encoder.licence, encoder.citation),
    )  # fmt: skip


def _source_probabilities(ws: Workspace, prepared: Pair, encoder: "Encoder", labelled: _Labelled) -> np.ndarray | None:
    """Return the probabilities of the classes that the encoder was trained on; None where it has no head for pixels."""
    from landshift.models.encoders.weights import cloud_model
    from landshift.models.transfer.source import joint, source_input, source_probabilities
    from landshift.models.use.inference import device_of

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
    network = cloud_model(encoder).to(device)
    before, after = source_probabilities(network, given, PairSource(*prepared.images), labelled.sample, device=device)
    return joint(before, after) if labelled.is_change else before
